// The fire times of a job one after the other: what became of those that have passed, and those to come.
import { now } from "./api.js";
import { html } from "./html.js";
import { between, moment } from "./words.js";

export function Timeline({ runs, upcoming }) {
  const past = runs.toReversed();
  if (!past.length && !upcoming.length) return null;
  return html`<ol class="timeline" aria-label="Fire times" onKeyDown=${walk}>
    ${past.map((run, number) => html`<li key=${run.run_id}><${Past} run=${run} first=${number === 0} /></li>`)}
    <li class="now" key="now"><span>now</span></li>
    ${upcoming.map((at) => html`<li key=${at}><span class="tick to-come" role="img" aria-label=${`to come: ${moment(at, now())} UTC`} title=${`${moment(at, now())} UTC`}></span></li>`)}
  </ol>`;
}

function Past({ run, first }) {
  const words = said(run);
  return html`<a class="tick ${run.state}" href=${`#/runs/${run.run_id}`} tabindex=${first ? 0 : -1} aria-label=${words} title=${words}></a>`;
}

function said({ state, scheduled_for: at, started_at: from, finished_at: to, missed, reason, requested }) {
  const times = missed && missed.count > 1 ? `${missed.count} fire times until ${moment(missed.until, now())}` : "";
  const took = from && to ? `took ${between(from, to)}` : "";
  return [`${state}: ${moment(at, now())} UTC`, requested && "on request", times, took, reason].filter(Boolean).join(", ");
}

// One tab stop for all; the arrows lead from one to the other.
function walk(event) {
  const links = [...event.currentTarget.querySelectorAll("a")];
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const next = step && links[links.indexOf(document.activeElement) + step];
  if (next) {
    next.focus();
    event.preventDefault();
  }
}
