// Asks for a token where the API does.
import { token } from "./api.js";
import { html, useState } from "./html.js";

export function SignIn({ error, done }) {
  const [refused, setRefused] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    token.set(new FormData(event.target).get("token").trim());
    await done();
    setRefused(true);
  };
  return html`<form class="sign-in" onSubmit=${submit}>
    <h1>Sign in</h1>
    <p>This API asks for a token. It is kept for this tab only, and forgotten when you close it.</p>
    ${refused && html`<div class="trouble" role="alert"><p>${error.message}</p></div>`}
    <label>Token <input name="token" type="password" autocomplete="off" required /></label>
    <button type="submit" class="first">Sign in</button>
    <p class="faint">One is made on the server by <code>bayesian-jobs token create NAME --scope write</code></p>
  </form>`;
}
