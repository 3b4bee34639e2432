// Times, durations and triggers in words.
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const two = (number) => String(number).padStart(2, "0");

// 90061 → "1 d 1 h": the two largest units.
export function duration(seconds) {
  const length = Math.abs(seconds);
  if (length < 1) return `${Math.round(length * 1000)} ms`;
  if (length < 10) return `${length.toFixed(1)} s`;
  let rest = Math.round(length);
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) parts.push(`${count} ${unit}`);
    else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ");
}

export const between = (from, to) => duration((Date.parse(to) - Date.parse(from)) / 1000);

// "26 Nov 05:00:00", in UTC; with the year if it is another one.
export function moment(iso, now) {
  const at = new Date(iso);
  const year = at.getUTCFullYear() === new Date(now).getUTCFullYear() ? "" : ` ${at.getUTCFullYear()}`;
  const clock = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map(two).join(":");
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}${year} ${clock}`;
}

// "in 3 min", "2 h 5 min ago"; "now" within a second.
export function distance(iso, now) {
  const seconds = (Date.parse(iso) - now) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  const length = duration(Math.abs(seconds) < 10 ? Math.sign(seconds) * Math.ceil(Math.abs(seconds)) : seconds).replace(".0 s", " s");
  return seconds > 0 ? `in ${length}` : `${length} ago`;
}

// When a job fires: "every weekday at 05:00", "every 5 minutes", "once".
export function schedule({ periodically, timezone }) {
  if (!periodically) return "once";
  if (!/^@|^\S+ \S+ \S+ \S+ \S+$/.test(periodically)) return `every ${periodically.replace(/^1 (?=[a-z]+$)/, "")}`;
  const zone = timezone && timezone !== "UTC" ? ` (${timezone})` : "";
  return cronInWords(periodically) + zone;
}

function cronInWords(expression) {
  let words;
  try {
    words = globalThis.cronstrue.toString(expression, { use24HourTimeFormat: true });
  } catch {
    return expression;
  }
  const daily = /^At (\d\d:\d\d)(?:, (?:(Monday through Friday)|only on (\w+day)))?$/.exec(words);
  if (daily) return `every ${daily[2] ? "weekday" : (daily[3] ?? "day")} at ${daily[1]}`;
  return words[0].toLowerCase() + words.slice(1);
}
