// One job: its fire times on a time line, its history, its definition, and who has changed it.
import { ofJob } from "./api.js";
import { Changes } from "./change.js";
import { html } from "./html.js";
import { useLive } from "./live.js";
import { Empty, Facts, Json, Live, State, Table, Time } from "./parts.js";
import { Timeline } from "./timeline.js";
import { between, schedule } from "./words.js";

const OPTIONS = ["periodically", "timezone", "when", "end", "jitter", "misfire_grace_time", "catch_up", "max_concurrent_runs",
  "overlap", "queue", "priority", "max_retries", "retry_delay", "time_limit"];
const RUNS = [
  ["Fire time", (run) => html`<a href=${`#/runs/${run.run_id}`}><${Time} at=${run.scheduled_for} /></a>`],
  ["State", (run) => html`<${State} of=${run.state} />`],
  ["Took", (run) => html`<span class="length">${run.started_at && run.finished_at ? between(run.started_at, run.finished_at) : "–"}</span>`],
  ["Reason", (run) => html`<bdi class="one-line">${run.reason ?? (run.requested ? "on request" : "")}</bdi>`],
];
const CHANGES = [
  ["When", (entry) => html`<${Time} at=${entry.at} />`],
  ["Who", (entry) => html`<bdi>${entry.who}</bdi>${entry.origin && html`<small><bdi>${entry.origin}</bdi></small>`}`],
  ["What", (entry) => entry.action],
  ["Details", (entry) => html`<bdi class="details">${Object.keys(entry.details).length ? JSON.stringify(entry.details) : ""}</bdi>`],
];

export function Job({ id }) {
  const job = useLive(ofJob(id));
  const runs = useLive(`${ofJob(id)}/runs`, { limit: 40 });
  const upcoming = useLive(`${ofJob(id)}/upcoming`, { count: 8 });
  return html`<p class="crumbs"><a href="#/jobs">Jobs</a></p>
    <h1><bdi>${id}</bdi></h1>
    <${Live} of=${job} show=${(found) => html`
      <${Summary} job=${found} />
      <${Changes} job=${found} refresh=${() => [job, runs, upcoming].forEach((each) => each.refresh())} />
      <${Timeline} runs=${runs.data?.runs ?? []} upcoming=${upcoming.data?.upcoming ?? []} />
      <h2>History</h2>
      <${Live} of=${runs} show=${({ runs }) => runs.length
        ? html`<${Table} label="History" id="run_id" columns=${RUNS} rows=${runs.slice(0, 15)} />`
        : html`<${Empty}>It has not run yet.<//>`} />
      <div class="columns">
        <section><h2>Keyword arguments</h2><${Json} label="Keyword arguments" value=${found.kwargs} /></section>
        <section><h2>Definition</h2><${Facts} of=${[["handler", found.handler], ...OPTIONS.map((name) => [name, found[name]])]} /></section>
      </div>
      <${Log} id=${id} />`} />`;
}

function Summary({ job }) {
  return html`${job.description && html`<p><bdi>${job.description}</bdi></p>`}
    <${Facts} of=${[
      ["State", html`<${State} of=${job.state} />`],
      ["Runs", schedule(job)],
      ["Next run", job.next_run_at && html`<${Time} at=${job.next_run_at} />`],
      ["Paused since", job.paused?.since && html`<${Time} at=${job.paused.since} />`],
      ["Because", job.paused?.reason],
      ["Until", job.paused?.until && html`<${Time} at=${job.paused.until} />`],
      ["Set aside", job.error],
      ["Tags", job.tags.join(", ")],
    ]} />`;
}

function Log({ id }) {
  const live = useLive("/audit", { job_id: id, limit: 10 });
  return html`<h2>Who has changed it</h2>
    ${live.error?.status === 403
      ? html`<${Empty}>Only a token of the scope admin may read who has changed what.<//>`
      : html`<${Live} of=${live} show=${({ entries }) => entries.length
          ? html`<${Table} label="Changes" id="at" columns=${CHANGES} rows=${entries} />`
          : html`<${Empty}>Nobody, as far as the log reaches.<//>`} />`}`;
}
