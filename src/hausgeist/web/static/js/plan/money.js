/** The currency of the person who looks. The planner reckons in euros; what one is worth elsewhere comes with its lists. */

import { preference } from "../preferences.js";
import { money } from "../text.js";

const OF_REGIONS = { US: "USD", GB: "GBP", CH: "CHF", LI: "CHF", JP: "JPY", CN: "CNY", CA: "CAD", AU: "AUD", NZ: "NZD" };
let rates = {};
let chosen = preference("currency") || OF_REGIONS[region()] || "EUR";

/** The region of the browser's language, "" where it says none. */
export function region() {
  try {
    return new Intl.Locale(navigator.language).region ?? "";
  } catch {
    return "";
  }
}

export const know = exchange => { rates = exchange; };
export const currencies = () => ["EUR", ...Object.keys(rates)];
export const currency = () => (chosen in rates ? chosen : "EUR");
export const rate = () => rates[currency()]?.per_euro ?? 1;
export const dated = () => rates[currency()]?.date ?? "";
export function choose(code) {
  chosen = code;
  preference("currency", code);
}

/** Euros as money of this currency. */
export const euros = value => theirs(value * rate());

/** Money of this currency: whole where that is exact enough. */
export function theirs(value) {
  const size = Math.abs(value);
  return money(value, currency(), size >= 100 ? 0 : size >= 0.095 || size === 0 ? 2 : size >= 0.0095 ? 3 : 4);
}
