// Requests to the REST API, and the token that they carry: it is kept for this tab only.
const BASE = new URL("api/v1", document.baseURI).href;
const KEY = "token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

// An answer that is none of success. `status` 0: there was no answer.
export class Problem extends Error {
  constructor(status, message, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

let skew = 0;

// The server's time in milliseconds, as of its last answer: what is late is not judged by this machine's clock.
export const now = () => Date.now() + skew;

// The ETag of what the API has answered, by the answer.
export const tags = new WeakMap();

export const get = (path, query) => call("GET", path, { query });

// `match`: only if what is to be changed still has this ETag. `once`: an Idempotency-Key, so that the request has one effect however often it is sent.
export async function call(method, path, { query, body, once, match } = {}) {
  const headers = { Accept: "application/json" };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (once) headers["Idempotency-Key"] = once;
  if (match) headers["If-Match"] = match;
  const answer = await send(BASE + path + queryOf(query), { method, headers, body: body && JSON.stringify(body) });
  const date = Date.parse(answer.headers.get("Date"));
  if (date && Math.abs(date - now()) > 2000) skew = date - Date.now();
  const document = await answer.json().catch(() => ({}));
  if (answer.headers.get("ETag")) tags.set(document, answer.headers.get("ETag"));
  if (answer.ok) return document;
  throw new Problem(answer.status, document.error ?? `The server answered ${answer.status}`, document.errors);
}

async function send(url, request) {
  try {
    return await fetch(url, { ...request, cache: "no-store", credentials: "omit" });
  } catch {
    throw new Problem(0, "The API does not answer");
  }
}

function queryOf(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

// crypto.randomUUID is missing where a page comes over plain HTTP from another machine.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (each) => each.toString(16)).join("-");
export const ofJob = (id) => `/jobs/${encodeURIComponent(id)}`;
export const ofRun = (id) => `/runs/${encodeURIComponent(id)}`;
