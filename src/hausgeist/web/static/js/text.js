/** Texts in the person's language, and numbers, dates and sizes as people there write them. */

import { language, told } from "./told.js";

const plurals = new Intl.PluralRules(language);
const cached = new Map();

/** A text by its key; {names} are filled in, `n` also chooses the plural form. A text that is missing shows its key. */
export function t(key, values = {}) {
  let text = told.texts[key] ?? key;
  if (typeof text === "object") text = text[plurals.select(values.n ?? 0)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? (typeof values[name] === "number" ? number(values[name]) : String(values[name])) : whole));
}

const OTHER_WAY = /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufefc]/;

/** A name from elsewhere within a text: whichever way it is written, the text around it stays in order. Long ones are cut. */
export function quoted(name, most = 80) {
  const all = Array.from(String(name)), cut = all.length > most ? `${all.slice(0, most - 1).join("")}…` : String(name);
  return OTHER_WAY.test(cut) ? `\u2068${cut}\u2069` : cut;
}

function formatter(make, options) {
  const key = make.name + JSON.stringify(options);
  if (!cached.has(key)) cached.set(key, new make(language, options));
  return cached.get(key);
}

export const number = (value, digits = 0) => formatter(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);
export const percent = (value, digits = 0) => formatter(Intl.NumberFormat, { style: "percent", maximumFractionDigits: digits }).format(value);
export const money = (value, currency = "EUR", digits = 2) => formatter(Intl.NumberFormat, { style: "currency", currency, maximumFractionDigits: digits, minimumFractionDigits: 0 }).format(value);
export const compact = value => formatter(Intl.NumberFormat, { notation: "compact", maximumFractionDigits: 1 }).format(value);

/** Bytes, in powers of 1,000 as disks and models are sold; `memory` in powers of 1,024. */
export function bytes(value, { memory = false } = {}) {
  if (value === null || value === undefined) return "–";
  const step = memory ? 1024 : 1000, units = memory ? ["B", "KiB", "MiB", "GiB", "TiB"] : ["B", "kB", "MB", "GB", "TB"];
  let size = Number(value), unit = 0;
  while (Math.abs(size) >= step && unit < units.length - 1) { size /= step; unit += 1; }
  return `${number(size, unit === 0 || size >= 100 ? 0 : 1)}\u00a0${units[unit]}`;
}

/** Seconds since 1970 as date and time. */
export const when = (seconds, options = { dateStyle: "medium", timeStyle: "short" }) => formatter(Intl.DateTimeFormat, options).format(new Date(seconds * 1000));
export const day = seconds => when(seconds, { dateStyle: "medium" });

/** "3 hours ago". */
export function ago(seconds) {
  const passed = seconds - Date.now() / 1000;
  for (const [unit, size] of [["year", 31536000], ["month", 2629746], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(passed) >= size) return formatter(Intl.RelativeTimeFormat, { numeric: "auto" }).format(Math.round(passed / size), unit);
  }
  return t("common.just_now");
}

/** A length of time: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min". */
export function duration(seconds) {
  if (seconds < 10) return `${number(seconds, 1)}\u00a0s`;
  if (seconds < 60) return `${number(seconds)}\u00a0s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\u00a0min ${Math.round(seconds % 60)}\u00a0s`;
  return `${Math.floor(seconds / 3600)}\u00a0h ${Math.round((seconds % 3600) / 60)}\u00a0min`;
}
