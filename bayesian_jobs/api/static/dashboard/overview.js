// How the service is doing: what waits, what became of the runs of late, what has failed, and who is alive.
import { now } from "./api.js";
import { html } from "./html.js";
import { useLive } from "./live.js";
import { Empty, Facts, Live, State, Table, Time } from "./parts.js";
import { Legend, Lengths, OUTCOMES, Outcomes } from "./plot.js";
import { duration, moment } from "./words.js";

const STRETCHES = { hour: "Last hour", day: "Last day", week: "Last week" };

export function Overview({ query: { last = "hour" } }) {
  const statistics = useLive("/statistics", { last });
  const processes = useLive("/processes");
  return html`<h1>Overview</h1>
    <${Live} of=${statistics} show=${(found) => html`<${Now} of=${found} processes=${processes.data?.processes} />
      <nav class="stretches" aria-label="How far back">${Object.entries(STRETCHES).map(
        ([name, title]) => html`<a href=${`#/overview?last=${name}`} aria-current=${name === last ? "true" : undefined}>${title}</a>`,
      )}</nav>
      <${OfLate} of=${found} title=${STRETCHES[last] ?? last} />`} />
    <${Failing} />
    <${Living} of=${processes} />`;
}

function Now({ of: { due_jobs: due, waiting_runs: waiting, waiting_since: since }, processes }) {
  const service = useLive("/service/state");
  return html`<${Facts} of=${[
    ["Service", service.data && html`<a class="plain" href="#/service"><${State} of=${service.data.state} /></a>`],
    ["Executing", processes?.reduce((sum, each) => sum + each.executing, 0)],
    ["Waiting for a worker", waiting],
    ["Due without a run yet", due],
    ["The first of them since", since && html`<${Time} at=${since} brief />`],
  ]} />`;
}

function OfLate({ of: { steps, step_seconds: length, since, whole }, title }) {
  const sum = (outcome) => steps.reduce((total, step) => total + step[outcome], 0);
  if (OUTCOMES.every((outcome) => sum(outcome) === 0))
    return html`<${Empty}>No fire time lies in this stretch. <a href="#/jobs">To the jobs</a><//>`;
  return html`${!whole && html`<p class="faint">There were too many runs to read all: this begins at ${moment(since, now())}.</p>`}
    <div class="columns plots">
      <figure><figcaption><h2>What became of the runs</h2><${Legend} sum=${sum} /></figcaption>
        <${Outcomes} steps=${steps} length=${length} label=${`${title}: ${said(sum)}`} /></figure>
      <figure><figcaption><h2>How late they began</h2><${Lateness} steps=${steps} /></figcaption>
        <${Lengths} steps=${steps} length=${length} of="late" label=${`${title}: how late runs began; the table below has the figures`} /></figure>
    </div>
    <details><summary>The same as a table</summary><${Table} label="Steps" id="at" columns=${COLUMNS} rows=${steps.filter(isAny).toReversed()} /></details>`;
}

const isAny = (step) => OUTCOMES.some((outcome) => step[outcome] > 0);
const said = (sum) => OUTCOMES.filter((outcome) => sum(outcome) > 0).map((outcome) => `${sum(outcome)} ${outcome}`).join(", ");
const spread = (found) => (found ? html`<span>${duration(found.median)} · ${duration(found.p95)} · ${duration(found.worst)}</span>` : html`<span class="faint">–</span>`);
const COLUMNS = [
  ["From", ({ at }) => html`<time datetime=${at}>${moment(at, now())}</time>`],
  ...OUTCOMES.map((outcome) => [outcome[0].toUpperCase() + outcome.slice(1), (step) => step[outcome] || html`<span class="faint">–</span>`]),
  ["Late: median · 95 % · worst", ({ late }) => spread(late)],
  ["Took: median · 95 % · worst", ({ took }) => spread(took)],
];

function Lateness({ steps }) {
  const worst = Math.max(...steps.map(({ late }) => late?.worst ?? -1));
  if (worst < 0) return html`<p class="faint">None has begun.</p>`;
  return html`<p class="legend"><span><i class="swatch median"></i>half of them within</span> <span><i class="swatch p95"></i>95 % within</span> <span>worst ${duration(worst)}</span></p>`;
}

function Failing() {
  const live = useLive("/failures");
  const columns = [
    ["Error", ({ error, handler }) => html`<bdi class="one-line">${error ?? "not told"}</bdi><small><bdi>${handler}</bdi></small>`],
    ["Times", ({ count }) => count],
    ["Last", ({ last_at: at, run_ids: [run] }) => (run ? html`<a href=${`#/runs/${run}`}><${Time} at=${at} brief /></a>` : html`<${Time} at=${at} brief />`)],
  ];
  return html`<h2>What has failed</h2>
    <${Live} of=${live} show=${({ failures }) => failures.length
      ? html`<${Table} label="What has failed" id="key" columns=${columns} rows=${failures.slice(0, 5).map((each) => ({ ...each, key: `${each.handler} ${each.error}` }))} />
          <p><a href="#/failures">${failures.length > 5 ? `All ${failures.length} kinds of failures` : "To the failures"}</a></p>`
      : html`<${Empty}>Nothing has failed for good.<//>`} />`;
}

const PROCESSES = [
  ["Process", ({ kind, process_no: number }) => html`<span>${kind} ${number}</span>`],
  ["State", ({ alive }) => html`<span class=${`state ${alive ? "alive" : "failed"}`}>${alive ? "alive" : "not heard of"}</span>`],
  ["Where", ({ hostname, pid }) => html`<bdi>${hostname}</bdi><small>pid ${pid}</small>`],
  ["Since", ({ started_at: at, version }) => html`<${Time} at=${at} brief /><small>version ${version}</small>`],
  ["Executes", ({ executing, queues }) => html`<span>${executing}</span>${queues && html`<small><bdi>${queues.join(", ")}</bdi></small>`}`],
];

function Living({ of: live }) {
  return html`<h2>Who is alive</h2>
    <${Live} of=${live} show=${({ processes }) => html`
      ${["scheduler", "worker"].filter((kind) => !processes.some((each) => each.kind === kind && each.alive)).map((kind) => html`<p class="trouble">No ${kind} is alive: start one, <code>bayesian-jobs ${kind}</code>.</p>`)}
      ${processes.length > 0 && html`<${Table} label="Who is alive" id="process_no" columns=${PROCESSES} rows=${processes} />`}`} />`;
}
