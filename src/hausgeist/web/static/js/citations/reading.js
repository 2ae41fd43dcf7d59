/** What a file says, as text, with a passage marked: for files without pages of their own, and for whoever rather reads. */

import { button, h, put } from "../dom.js";
import { t } from "../text.js";
import { textOf, unitAt } from "./files.js";

const AROUND = 6000;
const MORE = 20000;

/**
 * The text of a file around a passage, or of a part of it. `from`, `to`: the part (a page) in characters; long ones come piece by piece.
 * `passage`: {start, end} or null. Resolves with the element; its mark has the class "text-mark".
 */
export async function reading(file, { characters, from = 0, to = characters, passage = null }) {
  const inside = passage && passage.start < to && passage.end > from ? passage : null;
  const near = to - from <= 4 * AROUND;
  const first = near ? from : inside ? Math.max(from, inside.start - AROUND) : from;
  const last = near ? to : Math.min(to, (inside ? inside.end : from) + (inside ? AROUND : MORE));
  const body = h("div", { class: "reading", dir: "auto" });
  let begin = first, end = last;
  const before = button(t("citations.earlier"), { icon: "up", kind: "quiet tiny", on: () => extend(-1) });
  const after = button(t("citations.later"), { icon: "down", kind: "quiet tiny", on: () => extend(1) });
  const element = h("div", { class: "reading-sheet" }, before, body, after);
  const told = () => { before.hidden = begin <= from; after.hidden = end >= to; };

  async function extend(way) {
    const control = way < 0 ? before : after;
    control.disabled = true;
    try {
      if (way < 0) {
        const start = Math.max(from, begin - MORE);
        body.prepend(...pieces(await textOf(file, start, begin), []));
        begin = start;
      } else {
        const stop = Math.min(to, end + MORE);
        body.append(...pieces(await textOf(file, end, stop), []));
        end = stop;
      }
      told();
    } finally {
      control.disabled = false;
    }
  }

  const text = await textOf(file, first, last);
  const spans = inside ? [[unitAt(text, Math.max(0, inside.start - first)), unitAt(text, Math.min(last, inside.end) - first)]] : [];
  put(body, text ? pieces(text, spans) : h("p", { class: "soft" }, t("citations.no_text")));
  told();
  return element;
}

/** Lines of a text; those with tabs are rows of a table. `spans`: [start, end] to be marked, in UTF-16 units. */
function pieces(text, spans) {
  const found = [];
  let at = 0, rows = null;
  for (const line of text.split("\n")) {
    const cells = line.split("\t");
    if (cells.length > 2 || (rows && cells.length > 1)) {
      if (!rows) {
        rows = h("tbody");
        found.push(h("div", { class: "scroller", tabindex: "0", role: "group", "aria-label": t("common.table") }, h("table", {}, rows)));
      }
      let place = at;
      rows.append(h("tr", {}, cells.map(cell => { const made = h("td", {}, marked(cell, place, spans)); place += cell.length + 1; return made; })));
    } else {
      rows = null;
      if (line.trim()) found.push(h("p", {}, marked(line, at, spans)));
    }
    at += line.length + 1;
  }
  return found;
}

function marked(text, at, spans) {
  const nodes = [];
  let from = 0;
  for (const [start, end] of spans) {
    const a = Math.max(0, start - at), b = Math.min(text.length, end - at);
    if (b <= a) continue;
    nodes.push(text.slice(from, a), h("mark", { class: "text-mark" }, text.slice(a, b)));
    from = b;
  }
  nodes.push(text.slice(from));
  return nodes;
}
