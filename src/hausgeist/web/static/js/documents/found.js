/** Passages that a search found: where they stand, how well they fit, with the words of the question marked. */

import { openCitation } from "../citations/index.js";
import { h, icon } from "../dom.js";
import { percent, t } from "../text.js";

const LONG = 420;

/** The list of them. */
export function foundList(hits, text) {
  const list = hits.map(hit => ({ file_id: hit.file_id, filename: hit.filename, page: hit.page, start: hit.start, end: hit.end, quote: hit.text, label: "" }));
  const words = wordsOf(text);
  return h("ol", { class: "found" }, hits.map((hit, index) => {
    const open = h("button", { type: "button", class: "file-name", dataset: { source: String(index) }, on: { click: () => openCitation(list, index, { opener: open }) } }, h("bdi", {}, hit.filename), h("span", { class: "soft" }, hit.page > 1 || /\.pdf$/i.test(hit.filename) ? t("citations.page_short", { page: String(hit.page) }) : ""));
    const body = h("p", { class: "passage", dir: "auto" }, marked(cut(hit.text.replace(/\n{2,}/g, "\n"), words), words));
    return h("li", { class: "card" },
      h("div", { class: "found-head" }, open, h("span", { class: "badge", title: t("documents.score_hint") }, t("documents.score", { score: percent(hit.score) }))),
      hit.heading ? h("p", { class: "small soft" }, h("bdi", {}, hit.heading)) : null, body);
  }));
}

export const nothingFound = () => h("div", { class: "empty" }, icon("search"), h("p", {}, t("documents.nothing_found")));

/** Words that say something: by the browser's own segmenter, which knows languages without spaces. */
function wordsOf(text) {
  const words = new Set();
  for (const { segment, isWordLike } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text.toLowerCase())) if (isWordLike && (segment.length > 3 || /\d/.test(segment) || /[\u3400-\u9fff]/.test(segment))) words.add(segment);
  return words;
}

/** Around the first of the words, where the passage is long. */
function cut(text, words) {
  if (text.length <= LONG) return text;
  const small = text.toLowerCase(), places = [...words].map(word => small.indexOf(word)).filter(place => place >= 0);
  const at = Math.max(0, Math.min(...(places.length ? places : [0])) - 120), from = at ? text.indexOf(" ", at) + 1 || at : 0;
  return `${from ? "… " : ""}${text.slice(from, from + LONG)}${from + LONG < text.length ? " …" : ""}`;
}

function marked(text, words) {
  if (!words.size) return [text];
  const pattern = new RegExp(`(${[...words].sort((a, b) => b.length - a.length).map(RegExp.escape ?? (word => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))).join("|")})`, "giu");
  return text.split(pattern).map((part, place) => (place % 2 ? h("mark", {}, part) : part));
}
