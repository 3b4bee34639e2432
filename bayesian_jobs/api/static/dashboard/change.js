// What is done to a job from its screen: run it now, pause it with a reason and until when, resume it, delete it.
import { ofJob } from "./api.js";
import { Button, useAction } from "./action.js";
import { html, useState } from "./html.js";
import { Dialog, Trouble } from "./parts.js";
import { go } from "./place.js";

export function Changes({ job, refresh }) {
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  const place = ofJob(job.job_id);
  const done = () => {
    close();
    refresh();
  };
  return html`<div class="buttons">
    <${Button} label="Run now" method="POST" path=${`${place}/run`} done=${(answer) => go(`/runs/${answer.run.run_id}`)} />
    ${job.state === "paused" && html`<${Button} label="Resume" method="PUT" path=${place} query=${{ state: "running" }} done=${refresh} />`}
    ${job.state === "running" && html`<button type="button" onClick=${() => setOpen("pause")}>Pause …</button>`}
    <a class="button" href=${`#/jobs/${encodeURIComponent(job.job_id)}/edit`}>Edit</a>
    <button type="button" class="danger" onClick=${() => setOpen("delete")}>Delete …</button>
  </div>
  ${open === "pause" && html`<${Pause} place=${place} what=${`Pause ${job.job_id}`} close=${close} done=${done} />`}
  ${open === "delete" && html`<${Delete} place=${place} id=${job.job_id} close=${close} />`}`;
}

// Of a job or of the service, whose path is `place`.
export function Pause({ place, what, close, done }) {
  const { busy, error, perform } = useAction(done);
  const submit = (event) => {
    event.preventDefault();
    perform("PUT", place, { query: { state: "paused", ...Object.fromEntries(new FormData(event.target)) } });
  };
  return html`<${Dialog} title=${what} close=${close}>
    <form onSubmit=${submit}>
      <p>Nothing is started from the answer on. What executes goes on to its end.</p>
      <label>Why, for those who look at it later <input name="reason" maxlength="1000" /></label>
      <label>Until, in UTC; left empty, until somebody resumes it <input name="until" placeholder="2027-12-24 18:00" /></label>
      <${Trouble} error=${error} />
      <div class="buttons"><button class="first" disabled=${busy}>Pause</button>
        <button type="button" onClick=${close}>Close</button></div>
    </form>
  <//>`;
}

function Delete({ place, id, close }) {
  const { busy, error, perform } = useAction(() => go("/jobs"));
  return html`<${Dialog} title="Delete this job" close=${close}>
    <form onSubmit=${(event) => {
      event.preventDefault();
      perform("DELETE", place);
    }}>
      <p><bdi>${id}</bdi> is removed, and its queued runs are cancelled. Its history stays under Runs.</p>
      <${Trouble} error=${error} />
      <div class="buttons"><button class="danger" disabled=${busy}>Delete</button>
        <button type="button" onClick=${close}>Close</button></div>
    </form>
  <//>`;
}
