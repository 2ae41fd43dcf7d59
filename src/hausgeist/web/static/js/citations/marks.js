/** Marks of citations in a text, and the list of them below it. What was checked is said in words, not only by a colour. */

import { h, icon } from "../dom.js";
import { t } from "../text.js";
import { placeOf, verdict } from "./places.js";
import { openCitation } from "./viewer.js";

// Characters of the private use area: no text that is shown has them, and the lexer of Markdown leaves them alone.
const OPEN = "\ue000", CLOSE = "\ue001";

/** The place of a mark in a text that is written as Markdown. */
export const anchor = number => `${OPEN}${number}${CLOSE}`;

/** A text with the places of its marks. `annotations`: as a response has them; `index`: characters (not UTF-16 units) before a mark. */
export function anchored(text, annotations) {
  const cited = annotations.filter(one => one.type === "file_citation").map((one, place) => ({ at: one.index, number: place + 1 }));
  const characters = Array.from(text, one => (one === OPEN || one === CLOSE ? "\ufffd" : one));
  for (const { at, number } of cited.toSorted((a, b) => b.at - a.at || b.number - a.number)) characters.splice(at, 0, anchor(number));
  return characters.join("");
}

/** A button with the number of a citation. `list` may still grow or be told more: it is looked at when the button is used. */
export function citationMark(list, index, { number = index + 1 } = {}) {
  const one = list[index] ?? {};
  const said = verdict(one);
  const name = [t("citations.number", { number: String(number) }), one.filename ? placeOf(one) : "", said?.words ?? ""].filter(Boolean).join(" · ");
  const mark = h("button", { type: "button", class: `cite${said ? ` ${said.kind}` : ""}`, "aria-label": name, title: name, dataset: { citation: String(index) } }, String(number), said?.kind === "warn" ? h("span", { "aria-hidden": "true" }, "?") : null);
  mark.addEventListener("click", () => list[index]?.file_id && openCitation(list, index, { opener: mark }));
  return mark;
}

/** The citations of an answer as a numbered list; each opens the viewer. */
export function citationList(list) {
  return h("ol", { class: "citations" }, list.map((one, index) => {
    const said = verdict(one);
    const opener = h("button", { type: "button", class: "citation", dataset: { source: String(index) }, on: { click: () => openCitation(list, index, { opener }) } },
      h("span", { class: "citation-number", "aria-hidden": "true" }, String(index + 1)),
      h("span", { class: "citation-text" },
        h("bdi", { class: "citation-place" }, placeOf(one)),
        one.quote ? h("q", { class: "citation-quote" }, short(one.quote)) : null,
        said ? h("span", { class: `verdict ${said.kind}` }, icon(said.icon, { small: true }), h("span", {}, said.words), one.moved ? h("span", { class: "soft" }, ` · ${t("citations.moved")}`) : null) : null),
      icon("right", { small: true }));
    return h("li", {}, opener);
  }));
}

/** What was said and stands nowhere, as a notice. */
export function unfounded(list) {
  const said = list.filter(one => !one.file_id && one.said);
  if (!said.length) return null;
  return h("div", { class: "notice warn" }, icon("warning"), h("div", {},
    h("p", {}, h("strong", {}, t("citations.unfounded", { n: said.length }))),
    h("ul", {}, said.map(one => h("li", {}, h("bdi", {}, short(one.said)))))));
}

const short = text => { const flat = text.replace(/\s+/g, " ").trim(); return flat.length > 280 ? `${flat.slice(0, 279)}…` : flat; };
