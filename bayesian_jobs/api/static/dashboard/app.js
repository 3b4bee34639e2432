// The frame around the screens: where one is, signing in and out, light and dark, the keyboard.
import { get, token } from "./api.js";
import { html, render, useEffect, useState } from "./html.js";
import { Add, Edit } from "./edit.js";
import { Failures } from "./failures.js";
import { Job } from "./job.js";
import { Jobs } from "./jobs.js";
import { Empty, Live } from "./parts.js";
import { Overview } from "./overview.js";
import { usePlace } from "./place.js";
import { Run } from "./run.js";
import { Runs } from "./runs.js";
import { Service } from "./service.js";
import { SignIn } from "./signin.js";
import { useTheme } from "./theme.js";

const SCREENS = [["overview", "Overview"], ["jobs", "Jobs"], ["runs", "Runs"], ["failures", "Failures"], ["service", "Service"]];

function screen({ parts: [name = "overview", id, ...rest], query }) {
  if (name === "overview" && !id) return html`<${Overview} query=${query} />`;
  if (name === "jobs" && !id) return html`<${Jobs} query=${query} />`;
  if (name === "jobs" && !rest.length) return html`<${Job} key=${id} id=${id} />`;
  if (name === "jobs" && rest[0] === "edit") return html`<${Edit} key=${id} id=${id} />`;
  if (name === "add") return html`<${Add} query=${query} />`;
  if (name === "runs" && !id) return html`<${Runs} query=${query} />`;
  if (name === "runs" && !rest.length) return html`<${Run} key=${id} id=${id} />`;
  if (name === "failures" && !id) return html`<${Failures} />`;
  if (name === "service" && !id) return html`<${Service} />`;
  return html`<h1>Not found</h1><${Empty}>There is no such screen. <a href="#/jobs">To the jobs</a><//>`;
}

function App() {
  const place = usePlace();
  const [access, look] = useAccess();
  const [theme, turn] = useTheme();
  useEffect(() => listen(), []);
  const signOut = () => {
    token.forget();
    look();
  };
  const here = place.parts[0] ?? "overview";
  return html`<a class="skip" href="#main" onClick=${skip}>To the content</a>
    <header>
      <a class="brand" href="#/">bayesian-jobs</a>
      <nav aria-label="Screens">${SCREENS.map(
        ([name, title]) => html`<a href=${`#/${name}`} aria-current=${here === name ? "page" : undefined}>${title}</a>`,
      )}<a href="api/v1/ui/">API</a></nav>
      <span class="tools">
        <button type="button" class="quiet" onClick=${turn}>${theme === "dark" ? "Light" : "Dark"}</button>
        ${access.data && token.get() && html`<button type="button" class="quiet" onClick=${signOut}>Sign out</button>`}
      </span>
    </header>
    <main id="main" tabindex="-1">${access.error?.status === 401
      ? html`<${SignIn} error=${access.error} done=${look} />`
      : html`<${Live} of=${access} show=${() => screen(place)} />`}</main>
    <footer>All times are UTC.</footer>`;
}

// Whether the API lets this tab in: asked once, and again after a token has been given or forgotten.
function useAccess() {
  const [access, setAccess] = useState({ data: null, error: null });
  const look = () =>
    get("/service/state").then(
      (data) => setAccess({ data, error: null }),
      (error) => setAccess({ data: null, error }),
    );
  useEffect(() => {
    look();
  }, []);
  useEffect(() => {
    if (!access.error || access.error.status === 401) return undefined;
    const timer = setTimeout(look, 2000);
    return () => clearTimeout(timer);
  }, [access]);
  return [access, look];
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

// "/" leads to the search of a screen that has one.
function listen() {
  const press = (event) => {
    const search = document.querySelector("[data-search]");
    if (event.key !== "/" || !search || event.target.matches("input, textarea, select")) return;
    search.focus();
    event.preventDefault();
  };
  document.addEventListener("keydown", press);
  return () => document.removeEventListener("keydown", press);
}

render(html`<${App} />`, document.body);
