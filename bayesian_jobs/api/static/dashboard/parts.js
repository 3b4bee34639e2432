// What all screens are made of.
import { now } from "./api.js";
import { html, useEffect, useRef } from "./html.js";
import { useTick } from "./live.js";
import { distance, moment } from "./words.js";

export const State = ({ of: state }) => html`<span class="state ${state}">${state}</span>`;

// How far away a moment is, and its time in UTC beside it or, if `brief`, as its title.
export function Time({ at, brief }) {
  useTick();
  if (!at) return html`<span class="faint">–</span>`;
  const exact = moment(at, now());
  const far = distance(at, now());
  return html`<time datetime=${at} title=${`${exact} UTC`}>${brief ? far : `${exact} · ${far}`}</time>`;
}

export const Job = ({ id }) =>
  id ? html`<a class="name" href=${`#/jobs/${encodeURIComponent(id)}`}><bdi>${id}</bdi></a>` : html`<span class="faint">–</span>`;

export const Json = ({ value, label }) =>
  html`<pre tabindex="0" role="region" aria-label=${label}>${JSON.stringify(value, null, 2)}</pre>`;

export const Facts = ({ of: facts }) =>
  html`<dl class="facts">${facts
    .filter(([, value]) => value || value === 0)
    .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

// A table whose rows become cards on a narrow screen. `columns`: head, and what it shows of a row.
export const Table = ({ label, columns, rows, id }) => html`
  <table aria-label=${label}>
    <thead><tr>${columns.map(([head]) => html`<th scope="col">${head}</th>`)}</tr></thead>
    <tbody>${rows.map(
      (row) => html`<tr key=${row[id]}>${columns.map(([head, show]) => html`<td data-label=${head}>${show(row)}</td>`)}</tr>`,
    )}</tbody>
  </table>`;

// Why something could not be had or done, and what to do about it.
export function Trouble({ error, stale }) {
  if (!error) return null;
  return html`<div class="trouble" role="alert">
    <p><strong>${error.message}</strong></p>
    ${(error.errors ?? []).map((each) => html`<p><code>${each.option}</code> ${each.reason}</p>`)}
    <p>${advice(error)}${stale && " Below is what was known last."}</p>
  </div>`;
}

function advice({ status }) {
  if (status === 0) return "Is it running, and is the network up? This page tries again by itself.";
  if (status === 403) return "Sign out, and sign in with a token that has this scope.";
  if (status === 412) return "Somebody else has changed it meanwhile: load this page again to see how, and edit that.";
  if (status === 429) return "This page tries again by itself.";
  if (status === 404) return "It may have been removed since.";
  if (status >= 500) return "bayesian-jobs doctor tells what is wrong. This page tries again by itself.";
  return "";
}

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

// What a screen shows of a useLive: its trouble, and `show` of its data once there is any.
export function Live({ of: live, show }) {
  return html`<${Trouble} error=${live.error} stale=${live.data !== null} />
    ${live.data ? show(live.data) : !live.error && html`<p class="empty" aria-busy="true">Loading …</p>`}`;
}

// A modal dialog, open as long as it is rendered; Escape closes it.
export function Dialog({ title, close, children }) {
  const element = useRef();
  useEffect(() => element.current.showModal(), []);
  return html`<dialog ref=${element} aria-label=${title} onClose=${close}><h2>${title}</h2>${children}</dialog>`;
}

// The links to the first and the next page of a list, if there are such.
export function Pages({ place, query, next }) {
  const { after, ...filters } = query;
  const to = (cursor) => `#${place}?${new URLSearchParams(cursor ? { ...filters, after: cursor } : filters)}`;
  if (!next && !after) return null;
  return html`<nav class="pages" aria-label="Pages">
    ${after && html`<a href=${to("")}>First page</a>`} ${next && html`<a href=${to(next)}>Next page</a>`}
  </nav>`;
}
