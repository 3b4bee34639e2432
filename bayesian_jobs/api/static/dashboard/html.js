// Elements as templates. Whatever a template is given becomes text or an attribute, never markup.
import { h } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { render } from "./vendor/preact.js";
export { useCallback, useEffect, useRef, useState } from "./vendor/hooks.js";
export const html = htm.bind(h);
