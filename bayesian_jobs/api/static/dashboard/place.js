// Where in the dashboard somebody is: the part of the address behind #.
import { useEffect, useState } from "./html.js";

// "#/jobs/a%2Fb?state=paused" → { parts: ["jobs", "a/b"], query: { state: "paused" } }
export function read(hash) {
  const [path, query] = hash.replace(/^#/, "").split("?", 2);
  return { parts: path.split("/").filter(Boolean).map(decoded), query: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function go(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  location.hash = path + (given.length ? `?${new URLSearchParams(given)}` : "");
}

export function usePlace() {
  const [place, setPlace] = useState(read(location.hash));
  useEffect(() => {
    const follow = () => setPlace(read(location.hash));
    addEventListener("hashchange", follow);
    follow(); // it may have changed since the first rendering
    return () => removeEventListener("hashchange", follow);
  }, []);
  return place;
}
