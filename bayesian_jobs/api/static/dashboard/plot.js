// Bars over time, drawn as SVG: one for each step, the height of the highest being that of the plot.
import { now } from "./api.js";
import { html } from "./html.js";
import { duration, moment } from "./words.js";

export const OUTCOMES = ["succeeded", "failed", "missed", "skipped", "cancelled", "open"];
const HEIGHT = 100;
const GAP = 0.15;

export const Legend = ({ sum }) =>
  html`<p class="legend">${OUTCOMES.filter((outcome) => sum(outcome) > 0).map(
    (outcome) => html`<span><i class=${`swatch ${outcome}`}></i>${sum(outcome)} ${outcome}</span> `,
  )}</p>`;

// How many runs of a step ended in which way, one above the other.
export function Outcomes({ steps, length, label }) {
  const highest = Math.max(...steps.map(total));
  const bars = steps.map((step, number) => {
    let below = 0;
    return OUTCOMES.filter((outcome) => step[outcome] > 0).map((outcome) => {
      const bar = html`<${Bar} number=${number} from=${below / highest} to=${(below + step[outcome]) / highest} kind=${outcome} />`;
      below += step[outcome];
      return bar;
    });
  });
  const told = steps.map((step) => OUTCOMES.filter((outcome) => step[outcome] > 0).map((outcome) => `${step[outcome]} ${outcome}`).join(", "));
  return html`<${Plot} steps=${steps} length=${length} label=${label} top=${highest} bars=${bars} told=${told} />`;
}

// The median and the 95th percentile of a length of each step, the one before the other.
export function Lengths({ steps, length, of: name, label }) {
  const highest = Math.max(...steps.map((step) => step[name]?.p95 ?? 0));
  const bars = steps.map(({ [name]: found }, number) => found && ["p95", "median"].map(
    (kind) => html`<${Bar} number=${number} from=${0} to=${highest ? found[kind] / highest : 0} kind=${kind} />`,
  ));
  const told = steps.map(({ [name]: found }) => found && `half within ${duration(found.median)}, 95 % within ${duration(found.p95)}, worst ${duration(found.worst)}`);
  return html`<${Plot} steps=${steps} length=${length} label=${label} top=${duration(highest)} bars=${bars} told=${told} />`;
}

const total = (step) => OUTCOMES.reduce((sum, outcome) => sum + step[outcome], 0);

// However little there is of something, it is seen.
function Bar({ number, from, to, kind }) {
  const height = Math.max((to - from) * HEIGHT, 1.5);
  return html`<rect class=${kind} x=${number + GAP / 2} width=${1 - GAP} y=${HEIGHT - from * HEIGHT - height} height=${height} />`;
}

// `told`: what is said of a step to who points at it.
function Plot({ steps, length, label, top, bars, told }) {
  const middle = steps[Math.floor(steps.length / 2)];
  return html`<div class="plot">
    <span class="top">${top}</span>
    <svg role="img" aria-label=${label} viewBox=${`0 0 ${steps.length} ${HEIGHT}`} preserveAspectRatio="none">
      ${bars.map((bar, number) => html`<g key=${steps[number].at}>
        ${bar}<rect class="whole" x=${number} y="0" width="1" height=${HEIGHT}><title>${`${moment(steps[number].at, now())} UTC: ${told[number] || "nothing"}`}</title></rect></g>`)}
    </svg>
    <p class="axis"><span>${tick(steps[0].at, length)}</span><span>${tick(middle.at, length)}</span><span>${tick(steps.at(-1).at, length)}</span></p>
  </div>`;
}

// "05:30" or, if steps are hours long, "26 Nov".
function tick(at, length) {
  const [day, month, clock] = moment(at, Date.parse(at)).split(" ");
  return length >= 3600 ? `${day} ${month}` : clock.slice(0, 5);
}
