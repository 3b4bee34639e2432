// The whole service: running or paused, and how many schedulers and workers are alive.
import { Button } from "./action.js";
import { Pause } from "./change.js";
import { html, useState } from "./html.js";
import { useLive } from "./live.js";
import { Facts, Live, State, Time } from "./parts.js";

const PLACE = "/service/state";

export function Service() {
  const state = useLive(PLACE);
  const readiness = useLive("/readiness");
  const [pausing, setPausing] = useState(false);
  const done = () => {
    setPausing(false);
    state.refresh();
  };
  return html`<h1>Service</h1>
    <${Live} of=${state} show=${({ state: found, reason, until }) => html`
      <${Facts} of=${[["State", html`<${State} of=${found} />`], ["Because", reason && html`<bdi>${reason}</bdi>`], ["Until", until && html`<${Time} at=${until} />`]]} />
      <div class="buttons">${found === "paused"
        ? html`<${Button} label="Resume" kind="first" method="PUT" path=${PLACE} query=${{ state: "running" }} done=${done} />`
        : html`<button type="button" onClick=${() => setPausing(true)}>Pause everything …</button>`}</div>`} />
    <h2>Who is alive</h2>
    <${Live} of=${readiness} show=${({ checks }) => html`<${Facts} of=${[["Schedulers", checks.schedulers], ["Workers", checks.workers]]} />`} />
    ${pausing && html`<${Pause} place=${PLACE} what="Pause everything" close=${() => setPausing(false)} done=${done} />`}`;
}
