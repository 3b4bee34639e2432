// The runs of all jobs, and messages to actors, the newest first.
import { html } from "./html.js";
import { useLive } from "./live.js";
import { Empty, Job, Live, Pages, State, Table, Time } from "./parts.js";
import { go } from "./place.js";
import { between } from "./words.js";

const STATES = ["queued", "running", "succeeded", "failed", "missed", "skipped", "cancelled"];
const COLUMNS = [
  ["Due", (run) => html`<a href=${`#/runs/${run.run_id}`}><${Time} at=${run.scheduled_for} /></a>`],
  ["Job", (run) => html`<${Job} id=${run.job_id} /><small><bdi>${run.actor}</bdi></small>`],
  ["State", (run) => html`<${State} of=${run.state} />${run.missed && html`<small>${run.missed.count} fire times</small>`}`],
  ["Took", (run) => html`<span class="length">${run.started_at && run.finished_at ? between(run.started_at, run.finished_at) : "–"}</span>`],
  ["Reason", (run) => html`<bdi class="one-line">${run.reason ?? (run.requested ? "on request" : "")}</bdi>`],
];

export function Runs({ query }) {
  const live = useLive("/runs", { limit: 50, ...query });
  const { after, ...others } = query;
  const choose = ({ target }) => go("/runs", { ...others, state: target.value });
  return html`<h1>Runs</h1>
    <form class="filters"><label>State <select value=${query.state ?? ""} onChange=${choose}>
      <option value="">any</option>
      ${STATES.map((state) => html`<option value=${state}>${state}</option>`)}
    </select></label></form>
    <${Live} of=${live} show=${({ runs, next }) => html`
      ${runs.length ? html`<${Table} label="Runs" id="run_id" columns=${COLUMNS} rows=${runs} />` : html`<${Empty}>${
        query.state ? html`No run is ${query.state}. <a href="#/runs">Show all runs</a>` : "Nothing has run yet: a run appears here when a job is due."
      }<//>`}
      <${Pages} place="/runs" query=${query} next=${next} />`} />`;
}
