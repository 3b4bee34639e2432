// What has failed, by what went wrong; trying one or all runs of a kind again.
import { call, newKey, ofRun } from "./api.js";
import { useAction } from "./action.js";
import { html, useRef, useState } from "./html.js";
import { useLive } from "./live.js";
import { Dialog, Empty, Job, Live, Table, Time, Trouble } from "./parts.js";

export function Failures() {
  const live = useLive("/failures");
  const [open, setOpen] = useState(null);
  const close = () => {
    setOpen(null);
    live.refresh();
  };
  const columns = [
    ["Error", ({ error, handler }) => html`<bdi>${error ?? "not told"}</bdi><small><bdi>${handler}</bdi></small>`],
    ["Times", ({ count }) => count],
    ["Last", ({ last_at: at, run_ids: [run] }) => (run ? html`<a href=${`#/runs/${run}`}><${Time} at=${at} brief /></a>` : html`<${Time} at=${at} brief />`)],
    ["First", ({ first_at: at }) => html`<${Time} at=${at} brief />`],
    ["Jobs", ({ job_ids: ids }) => html`<span>${ids.map((id) => html`<div><${Job} id=${id} /></div>`)}</span>`],
    ["Again", (group) => group.run_ids.length > 0 && html`<button type="button" onClick=${() => setOpen({ group })}>Try again …</button>`],
  ];
  return html`<h1>Failures</h1>
    <${Live} of=${live} show=${({ failures }) => failures.length
      ? html`<${Table} label="Failures" id="key" columns=${columns} rows=${failures.map((each) => ({ ...each, key: `${each.handler} ${each.error}` }))} />
          <p class="buttons after"><button type="button" class="danger" onClick=${() => setOpen({ all: true })}>Remove all entries …</button></p>`
      : html`<${Empty}>Nothing has failed for good, or all entries have been removed.<//>`} />
    ${open?.group && html`<${Again} group=${open.group} close=${close} />`}
    ${open?.all && html`<${Clean} close=${close} />`}`;
}

// Asks for the runs one after the other; a run that got an answer is not asked for a second time.
function Again({ group, close }) {
  const [{ busy, done, refused, error }, setState] = useState({ busy: false, done: 0, refused: [], error: null });
  const left = useRef(group.run_ids.map((id) => [id, newKey()]));
  const submit = async (event) => {
    event.preventDefault();
    const outcome = { busy: true, done, refused: [...refused], error: null };
    try {
      const request = bodyOf(event.target.elements.kwargs.value);
      const only = event.target.elements.which.value === "newest" ? 1 : left.current.length;
      for (const [id, once] of left.current.slice(0, only)) {
        await call("POST", `${ofRun(id)}/retry`, { ...request, once }).then(() => outcome.done++, refusal(outcome));
        left.current.shift();
        setState({ ...outcome });
      }
    } catch (reason) {
      outcome.error = reason instanceof SyntaxError ? { message: `This is no JSON: ${reason.message}` } : reason;
    }
    setState({ ...outcome, busy: false });
  };
  return html`<${Dialog} title="Try again" close=${close}>
    <form onSubmit=${submit}>
      <p><bdi>${group.error}</bdi></p>
      <label>Which <select name="which">
        <option value="all">all ${group.run_ids.length} runs, the newest first</option>
        <option value="newest">only the newest</option>
      </select></label>
      <label>With other keyword arguments, as JSON; left empty, each with its own
        <textarea name="kwargs" rows="4" class="json" spellcheck="false"></textarea></label>
      ${(done > 0 || refused.length > 0) && html`<p role="status">${done} asked for, ${refused.length} refused.</p>`}
      ${refused.slice(0, 3).map((words) => html`<p class="faint">${words}</p>`)}
      <${Trouble} error=${error} />
      <div class="buttons"><button class="first" disabled=${busy || left.current.length === 0}>Try again</button>
        <button type="button" onClick=${close}>Close</button></div>
    </form>
  <//>`;
}

// A run that cannot be tried again is passed over; anything else ends the round.
const refusal = (outcome) => (error) => {
  if (![404, 409].includes(error.status)) throw error;
  outcome.refused.push(error.message);
};

function bodyOf(text) {
  return text.trim() ? { body: { kwargs: JSON.parse(text) } } : {};
}

function Clean({ close }) {
  const { busy, error, perform } = useAction(close);
  const submit = (event) => {
    event.preventDefault();
    perform("DELETE", "/jobs/clean-failed");
  };
  return html`<${Dialog} title="Remove all failure entries" close=${close}>
    <form onSubmit=${submit}>
      <p>The entries go; the failed runs stay under Runs, and can be tried again there.</p>
      <${Trouble} error=${error} />
      <div class="buttons"><button class="danger" disabled=${busy}>Remove</button>
        <button type="button" onClick=${close}>Close</button></div>
    </form>
  <//>`;
}
