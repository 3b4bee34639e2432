// Asking the API for a change: once, however often somebody clicks, and with what it answers if it refuses.
import { call, newKey } from "./api.js";
import { html, useRef, useState } from "./html.js";
import { Trouble } from "./parts.js";

// `perform(method, path, { query, body })` asks, and calls `done` with the answer. A POST that got no answer is sent
// under the same key again, so that it has one effect.
export function useAction(done) {
  const [state, setState] = useState({ busy: false, error: null });
  const key = useRef(newKey());
  const perform = async (method, path, request = {}) => {
    setState({ busy: true, error: null });
    try {
      const answer = await call(method, path, method === "POST" ? { ...request, once: key.current } : request);
      key.current = newKey();
      setState({ busy: false, error: null });
      done?.(answer);
    } catch (error) {
      if (error.status) key.current = newKey();
      setState({ busy: false, error });
    }
  };
  return { ...state, perform };
}

export function Button({ label, kind, method, path, query, done }) {
  const { busy, error, perform } = useAction(done);
  return html`<span><button type="button" class=${kind} disabled=${busy} onClick=${() => perform(method, path, { query })}>${label}</button>
    <${Trouble} error=${error} /></span>`;
}

// JSON that somebody edits; the form's field `name`. `read` of the form throws a SyntaxError for what is no JSON object.
export const JsonField = ({ name, label, value }) => html`<label>${label}
  <textarea name=${name} rows=${Math.min(16, JSON.stringify(value, null, 2).split("\n").length + 1)} spellcheck="false" class="json">${JSON.stringify(value, null, 2)}</textarea></label>`;

export function read(form, name) {
  const value = JSON.parse(form.elements[name].value);
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new SyntaxError("it must be an object, { … }");
  return value;
}
