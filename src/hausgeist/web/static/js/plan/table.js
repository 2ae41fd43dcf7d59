/** Tables of figures: the first column names the rows, others are numbers unless they are among `words`. They scroll by themselves where they are too wide. */

import { h } from "../dom.js";

export function table(label, head, rows, { words = [], kind = null, lang = null } = {}) {
  const tone = place => (place && !words.includes(place) ? "number" : null);
  const name = (text, place) => (text ? h("th", { scope: "col", class: tone(place) }, text) : h("td", {}));
  const cell = (content, place) => (place ? h("td", { class: tone(place) }, content) : h("th", { scope: "row" }, content));
  const body = h("tbody", {}, rows.map(row => h("tr", {}, row.map(cell))));
  return h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": label, lang }, h("table", { class: kind }, h("thead", {}, h("tr", {}, head.map(name))), body));
}
