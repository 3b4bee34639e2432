// The fields of a handler's arguments, made from their JSON schema, and what somebody has put into them.
import { html } from "./html.js";

// One field for each argument; what has no field of its own kind is edited as JSON.
export const Fields = ({ schema, values }) => Object.entries(schema.properties ?? {}).map(([name, property]) => {
  const required = (schema.required ?? []).includes(name);
  const label = html`<span><code>${name}</code>${required ? "" : ` (${otherwise(property)})`}${property.description && html`<small>${property.description}</small>`}</span>`;
  return html`<label key=${name}>${label}${input(name, property, values[name])}</label>`;
});

function input(name, property, value) {
  const field = `kwargs.${name}`;
  switch (kind(property)) {
    case "string":
      return html`<input name=${field} defaultValue=${value ?? ""} />`;
    case "number":
      return html`<input name=${field} inputmode="decimal" defaultValue=${value ?? ""} />`;
    case "boolean":
      return html`<select name=${field}><option value="">not given</option>
        ${["true", "false"].map((each) => html`<option value=${each} selected=${String(value) === each}>${each}</option>`)}</select>`;
    default: {
      const shown = value === undefined ? "" : JSON.stringify(value, null, 2);
      return html`<textarea name=${field} class="json" spellcheck="false" rows=${Math.min(12, shown.split("\n").length + 1)} defaultValue=${shown}></textarea>`;
    }
  }
}

// What an argument is that is not given. It is not put into the field: then the job would keep it for ever.
function otherwise({ default: value }) {
  return value === undefined || value === null ? "optional" : `left empty: ${JSON.stringify(value)}`;
}

function kind({ type }) {
  return type === "integer" ? "number" : type;
}

// The arguments that the form holds; an empty field is an argument that is not given, except of a required text.
// Throws a SyntaxError that names the argument.
export function readKwargs(form, schema) {
  const kwargs = {};
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const text = form.elements[`kwargs.${name}`].value;
    const isText = kind(property) === "string";
    if (text === "" && !(isText && schema.required?.includes(name))) continue;
    kwargs[name] = isText ? text : parsed(name, text);
  }
  return kwargs;
}

function parsed(name, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SyntaxError(`${name} is no JSON: ${error.message}`);
  }
}
