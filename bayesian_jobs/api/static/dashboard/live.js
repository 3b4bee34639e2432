// What is on the screen follows the service, as long as somebody can see it.
import { get } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./html.js";

const EVERY = 5000;

// The answer to GET `path`, asked for again every five seconds while the page is visible. While another answer is
// awaited, or none comes, `data` stays what it was. A path of null asks for nothing.
export function useLive(path, query) {
  const [state, setState] = useState({ data: null, error: null });
  const asked = path === null ? null : JSON.stringify([path, query]);
  const latest = useRef(asked);
  latest.current = asked;
  const refresh = useCallback(async () => {
    if (asked === null) return;
    const change = await get(path, query).then(
      (data) => ({ data, error: null }),
      (error) => ({ error }),
    );
    if (latest.current === asked) setState((before) => ({ ...before, ...change }));
  }, [asked]);
  useEffect(() => repeat(refresh), [refresh]);
  return { ...state, refresh };
}

function repeat(refresh) {
  let timer;
  let over = false;
  const go = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    await refresh();
    clearTimeout(timer);
    if (!over) timer = setTimeout(go, EVERY);
  };
  document.addEventListener("visibilitychange", go);
  go();
  return () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", go);
  };
}

// Renders again every second, for what tells how long ago something was.
export function useTick() {
  const [, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setTick((tick) => tick + 1), 1000);
    return () => clearInterval(timer);
  }, []);
}
