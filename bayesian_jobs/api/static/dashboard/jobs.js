// The jobs: search, filter, state, when each runs next and how it ran last.
import { html, useEffect, useRef, useState } from "./html.js";
import { useLive } from "./live.js";
import { Empty, Job, Live, Pages, State, Table, Time } from "./parts.js";
import { go } from "./place.js";
import { schedule } from "./words.js";

const STATES = ["running", "paused", "pending", "finished"];
const COLUMNS = [
  ["Job", (job) => html`<${Job} id=${job.job_id} />${job.description && html`<small><bdi>${job.description}</bdi></small>`}`],
  ["State", (job) => html`<${State} of=${job.state} />${job.paused?.reason && html`<small><bdi>${job.paused.reason}</bdi></small>`}`],
  ["Runs", (job) => html`<span>${schedule(job)}</span><small>${job.handler}</small>`],
  ["Next run", (job) => html`<${Time} at=${job.next_run_at} brief />`],
  ["Last run", (job) => lastRun(job.last_run)],
];

export function Jobs({ query }) {
  const live = useLive("/jobs", { job_type: "user", limit: 50, ...query });
  return html`<h1>Jobs</h1>
    <${Filters} query=${query} />
    <${Live} of=${live} show=${({ jobs, next }) => html`
      ${jobs.length ? html`<${Table} label="Jobs" id="job_id" columns=${COLUMNS} rows=${jobs} />` : html`<${NoJobs} query=${query} />`}
      <${Pages} place="/jobs" query=${query} next=${next} />`} />`;
}

function Filters({ query }) {
  const { after, text = "", ...others } = query;
  const [typed, setTyped] = useState(text);
  const timer = useRef();
  useEffect(() => setTyped(text), [text]);
  const apply = (form, delay) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => go("/jobs", { ...others, ...Object.fromEntries(new FormData(form)) }), delay);
  };
  const type = ({ target }) => {
    setTyped(target.value);
    apply(target.form, 250);
  };
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label>Search <input type="search" name="text" data-search value=${typed} onInput=${type} /></label>
    <label>State <select name="state" value=${query.state ?? ""} onChange=${({ target }) => apply(target.form, 0)}>
      <option value="">any</option>
      ${STATES.map((state) => html`<option value=${state}>${state}</option>`)}
    </select></label>
    <a class="add" href="#/add">Add a job</a>
  </form>`;
}

function NoJobs({ query }) {
  if (Object.keys(query).length) return html`<${Empty}>No job fits. <a href="#/jobs">Show all jobs</a><//>`;
  return html`<${Empty}>There are no jobs yet. <a href="#/add">Add one</a>, or put a file into the folder of
    default jobs.<//>`;
}

function lastRun(run) {
  if (!run) return html`<span class="faint">–</span>`;
  return html`<a href=${`#/runs/${run.run_id}`}><${State} of=${run.state} /></a><small><${Time} at=${run.finished_at ?? run.scheduled_for} brief /></small>`;
}
