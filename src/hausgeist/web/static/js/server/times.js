/** Ranges of time and the marks below charts of them, on round hours and days where the person lives. */

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const STEPS = [MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY];

/** Round times between two, no more than there is room for. */
export function clock(from, to, most = matchMedia("(max-width: 40rem)").matches ? 3 : 6) {
  const step = STEPS.find(one => (to - from) / one <= most) ?? STEPS.at(-1);
  const shift = new Date(from * 1000).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at < to; at += step) found.push(at);
  return found;
}

/** What can be chosen: [seconds, seconds of a step]. */
export const RANGES = { "24h": [DAY, HOUR], "7d": [7 * DAY, DAY], "30d": [30 * DAY, DAY], "90d": [90 * DAY, DAY] };

/** The range until now, its first step on a round hour or day. */
export function range(name) {
  const [length, step] = RANGES[name], now = Date.now() / 1000, shift = new Date().getTimezoneOffset() * MINUTE;
  return { since: Math.floor((now - length - shift) / step) * step + step + shift, until: Math.floor(now) + 1, step };
}

/** How times in such a range are said. */
export const spoken = name => (name === "24h" ? { hour: "numeric" } : name === "7d" ? { weekday: "short", day: "numeric" } : { day: "numeric", month: "short" });
