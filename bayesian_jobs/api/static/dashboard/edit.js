// Adding a job, and editing one: the form, and what would come of it, told by the API while somebody types.
import { call, newKey, now, ofJob, tags } from "./api.js";
import { Fields, readKwargs } from "./fields.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { useLive } from "./live.js";
import { Facts, Live, Trouble } from "./parts.js";
import { go } from "./place.js";
import { moment } from "./words.js";

const OPTIONS = [
  ["periodically", "How often: 1 week, 5:00:00, or cron such as 0 5 * * 1-5. Left empty: once"],
  ["when", "First time, in UTC. Left empty: now"],
  ["timezone", "In which a cron expression is read. Left empty: UTC"],
  ["misfire_grace_time", "How late a run may still start, such as 1 hour. Left empty: no limit"],
  ["description", "Words about it, for people"],
];

export function Add({ query }) {
  const handlers = useLive("/handlers");
  return html`<p class="crumbs"><a href="#/jobs">Jobs</a></p><h1>Add a job</h1>
    <${Live} of=${handlers} show=${({ handlers }) => {
      const chosen = handlers.find(({ name }) => name === query.handler) ?? handlers[0];
      return html`<label>What it does <select value=${chosen.name} onChange=${({ target }) => go("/add", { handler: target.value })}>
          ${handlers.map(({ name }) => html`<option value=${name}>${name}</option>`)}</select></label>
        <p class="handler">${chosen.summary}</p>
        <${Form} key=${chosen.name} handler=${chosen} values=${chosen.example} />`;
    }} />`;
}

export function Edit({ id }) {
  const [job, setJob] = useState({ data: null, error: null });
  const handlers = useLive("/handlers");
  useEffect(() => {
    call("GET", ofJob(id)).then((data) => setJob({ data, error: null }), (error) => setJob({ data: null, error }));
  }, []);
  return html`<p class="crumbs"><a href=${`#/jobs/${encodeURIComponent(id)}`}>Back to the job</a></p><h1>Edit <bdi>${id}</bdi></h1>
    <${Live} of=${job} show=${(job) => html`<${Live} of=${handlers} show=${({ handlers }) => {
      const handler = handlers.find(({ name }) => name === job.handler);
      return handler ? html`<${Form} handler=${handler} values=${job.kwargs} job=${job} />` : html`<p>Its handler is not known here.</p>`;
    }} />`} />`;
}

// Of a new job or, if there is a `job`, of that. What is sent is judged before by the same request as a dry run.
function Form({ handler, values, job }) {
  const form = useRef();
  const timer = useRef();
  const once = useRef(newKey());
  const [{ told, error, busy }, setState] = useState({ told: null, error: null, busy: false });
  const ask = async (dry) => {
    const body = bodyOf(form.current, handler, job);
    const query = dry ? { dry_run: true } : {};
    if (job) return call("PATCH", ofJob(job.job_id), { body, query, match: tags.get(job) });
    return call("POST", "/jobs", { body: { handler: handler.name, ...body }, query, once: dry ? undefined : once.current });
  };
  const preview = () => ask(true).then((told) => setState({ told, error: null, busy: false }), (error) => setState({ told: null, error, busy: false }));
  const later = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(preview, 300);
  };
  const submit = async (event) => {
    event.preventDefault();
    clearTimeout(timer.current);
    setState({ told, error: null, busy: true });
    try {
      const answer = await ask(false);
      go(`/jobs/${encodeURIComponent(answer.job.job_id)}`);
    } catch (error) {
      if (error.status) once.current = newKey();
      setState({ told: null, error, busy: false });
    }
  };
  useEffect(() => {
    preview();
    return () => clearTimeout(timer.current);
  }, []);
  return html`<form class="columns form" ref=${form} onInput=${later} onSubmit=${submit}>
    <section>
      <h2>Keyword arguments</h2><${Fields} schema=${handler.arguments} values=${values} />
      <h2>When it runs</h2>
      ${!job && html`<label><code>job_id</code> <small>Left empty: one is made up</small><input name="job_id" /></label>`}
      ${OPTIONS.map(([name, words]) => html`<label><code>${name}</code> <small>${words}</small><input name=${name} defaultValue=${job?.[name] ?? ""} /></label>`)}
    </section>
    <section class="preview" aria-live="polite"><h2>What would come of it</h2>
      <${Trouble} error=${error} />
      ${told && html`<${Preview} told=${told} isNew=${!job} />`}
      <div class="buttons"><button class="first" disabled=${busy}>${job ? "Save" : "Add"}</button></div>
    </section>
  </form>`;
}

function Preview({ told, isNew }) {
  const changed = isNew ? [] : Object.entries(told.changes);
  return html`${!isNew && (changed.length
      ? html`<${Facts} of=${changed.map(([name, { before, after }]) => [name, html`<bdi>${shown(before)} → ${shown(after)}</bdi>`])} />`
      : html`<p class="faint">Nothing would change.</p>`)}
    <p>It would run at</p>
    <ol class="upcoming">${told.upcoming.after.map((at) => html`<li>${moment(at, now())}</li>`)}</ol>
    ${told.upcoming.after.length === 0 && html`<p class="faint">no time: it is not running, or has no fire time left.</p>`}
    ${told.queued_runs.length > 0 && html`<p>${told.queued_runs.length} queued runs would start with the new definition.</p>`}`;
}

const shown = (value) => (value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value));

// The options that differ from what the job has; what was emptied is null, and so the default.
function bodyOf(form, handler, job) {
  const kwargs = readKwargs(form, handler.arguments);
  const given = Object.entries(Object.fromEntries(new FormData(form))).filter(([name]) => !name.startsWith("kwargs."));
  const changed = given.filter(([name, value]) => value !== String(job?.[name] ?? ""));
  return { kwargs, ...Object.fromEntries(changed.map(([name, value]) => [name, value === "" ? null : value])) };
}
