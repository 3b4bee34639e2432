// One run: how long it waited and took, what it was given, and how it ended; trying it again, and cancelling it.
import { now, ofJob, ofRun } from "./api.js";
import { Button, JsonField, read, useAction } from "./action.js";
import { html, useState } from "./html.js";
import { useLive } from "./live.js";
import { Dialog, Facts, Job, Json, Live, State, Time, Trouble } from "./parts.js";
import { go } from "./place.js";
import { duration } from "./words.js";

const AGAIN = ["failed", "cancelled", "missed"];
const OPEN = ["queued", "running"];

export function Run({ id }) {
  const live = useLive(ofRun(id));
  return html`<p class="crumbs"><a href="#/runs">Runs</a></p>
    <h1>Run <span class="id">${id}</span></h1>
    <${Live} of=${live} show=${(run) => html`<${Details} run=${run} refresh=${live.refresh} />`} />`;
}

function Details({ run, refresh }) {
  const job = useLive(run.job_id && run.job_version !== null ? ofJob(run.job_id) : null);
  const kwargs = run.kwargs ?? job.data?.kwargs;
  const [retrying, setRetrying] = useState(false);
  const whose = run.kwargs ? "Keyword arguments of this run" : "Keyword arguments, as the job has them now";
  return html`
    <${Facts} of=${[
      ["State", html`<${State} of=${run.state} />`],
      ["Job", html`<${Job} id=${run.job_id} />`],
      ["Handler", run.actor],
      ["Due", html`<${Time} at=${run.scheduled_for} />`],
      ["Attempt", run.attempt > 1 ? `${run.attempt}, of which ${run.failures} failed and ${run.recoveries} lost their worker` : run.attempt],
      ["Queue", run.queue],
      ["Worker", run.worker],
      ["Stands for", run.missed && html`${run.missed.count} fire times, until <${Time} at=${run.missed.until} />`],
      ["Tries again", run.retry_of && html`<a href=${`#/runs/${run.retry_of}`}>an earlier run</a>`],
      ["Asked for", run.requested && "by somebody, outside its schedule"],
      ["To be cancelled since", run.cancel_requested_at && html`<${Time} at=${run.cancel_requested_at} />`],
    ]} />
    <div class="buttons">
      ${AGAIN.includes(run.state) && html`<button type="button" class="first" onClick=${() => setRetrying(true)}>Try again …</button>`}
      ${OPEN.includes(run.state) && html`<${Button} label="Cancel" kind="danger" method="POST" path=${`${ofRun(run.run_id)}/cancel`} done=${refresh} />`}
    </div>
    ${retrying && html`<${Retry} run=${run} kwargs=${kwargs} close=${() => setRetrying(false)} />`}
    ${run.reason && html`<h2>${run.state === "failed" ? "Error" : "Reason"}</h2><p><bdi>${run.reason}</bdi></p>`}
    <${Timing} run=${run} />
    <${Progress} of=${run.progress} />
    ${run.traceback && html`<h2>Traceback</h2><pre class="unwrapped" tabindex="0" role="region" aria-label="Traceback">${run.traceback}</pre>`}
    ${kwargs && html`<h2>${whose}</h2><${Json} label="Keyword arguments" value=${kwargs} />`}`;
}

function Retry({ run, kwargs = {}, close }) {
  const [wrong, setWrong] = useState(null);
  const { busy, error, perform } = useAction((answer) => {
    close();
    go(`/runs/${answer.run.run_id}`);
  });
  const submit = (event) => {
    event.preventDefault();
    try {
      const edited = read(event.target, "kwargs");
      setWrong(null);
      const same = JSON.stringify(edited) === JSON.stringify(kwargs);
      perform("POST", `${ofRun(run.run_id)}/retry`, same ? {} : { body: { kwargs: edited } });
    } catch (reason) {
      setWrong(reason);
    }
  };
  return html`<${Dialog} title="Try again" close=${close}>
    <form onSubmit=${submit}>
      <p>It becomes a run of its own. What it is given can be edited; the job keeps its own.</p>
      <${JsonField} name="kwargs" label="Keyword arguments" value=${kwargs} />
      <${Trouble} error=${wrong && { message: `This is no JSON: ${wrong.message}` }} />
      <${Trouble} error=${error} />
      <div class="buttons"><button class="first" disabled=${busy}>Try again</button>
        <button type="button" onClick=${close}>Close</button></div>
    </form>
  <//>`;
}

// How long it was late, waited and took, as bars on one scale. An open run grows.
function Timing({ run }) {
  const [due, queued, started, finished] = ["scheduled_for", "queued_at", "started_at", "finished_at"].map((name) => Date.parse(run[name]));
  if (!started) return null;
  const end = finished || now();
  const spans = [
    ["Due to queued", due, Math.max(due, queued)],
    ["Queued to started", Math.max(due, queued), started],
    [finished ? "Started to finished" : "Started, and executing", started, end],
  ];
  const whole = Math.max(1, end - due);
  return html`<h2>Timing</h2><table class="timing" aria-label="Timing"><tbody>${spans.map(
    ([label, from, to]) => html`<tr><th scope="row">${label}</th><td>${duration(Math.max(0, to - from) / 1000)}</td>
      <td><svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect x=${((from - due) / whole) * 100} width=${Math.max(0.4, ((to - from) / whole) * 100)} height="4" /></svg></td></tr>`,
  )}</tbody></table>`;
}

function Progress({ of: progress }) {
  if (!progress) return null;
  const { done, total, text } = progress;
  return html`<h2>Progress</h2><p><progress value=${done} max=${total ?? undefined} aria-label="Progress"></progress>
    ${" "}${done}${total ? ` of ${total}` : ""} <bdi>${text}</bdi></p>`;
}
