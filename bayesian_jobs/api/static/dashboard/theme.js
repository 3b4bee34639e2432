// Light or dark: as the system says, until somebody says otherwise.
import { useEffect, useState } from "./html.js";

const KEY = "theme";
const system = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

export function useTheme() {
  const [theme, setTheme] = useState(localStorage.getItem(KEY) ?? system());
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const turn = () => {
    const next = theme === "dark" ? "light" : "dark";
    localStorage.setItem(KEY, next);
    setTheme(next);
  };
  return [theme, turn];
}
