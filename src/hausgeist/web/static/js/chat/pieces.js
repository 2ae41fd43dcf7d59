/** The pieces of an answer as elements: text with its citations, thoughts and tool calls folded. */

import { h, icon } from "../dom.js";
import { Growing, markdown } from "../markdown.js";
import { number, t } from "../text.js";
import { listed, numbered } from "./said.js";

/** A number that leads to the place that it cites. `cite`: {annotation, response, place}. */
export function citeMark(place, cite, open) {
  const name = cite.annotation.filename ?? "";
  return h("button", { type: "button", class: "cite-mark", title: name, "aria-label": t("chat.citation", { number: place, name }), on: { click: event => open(cite, event.currentTarget) } }, String(place));
}

/** Text as Markdown. `cites`: those of the whole answer; the first of this text is number `from` + 1. */
export function textPiece(piece, from, open) {
  const element = h("div", { class: "prose" });
  const mark = at => { const cite = piece.cites[at - from - 1]; return cite ? citeMark(at, cite, open) : null; };
  element.append(...markdown(numbered(piece.text, piece.cites, from), piece.cites.length ? { anchor: mark } : {}));
  return element;
}

/** Text that grows. `cites` is added to by who writes. */
export function growingPiece(cites, open) {
  const element = h("div", { class: "prose growing" });
  const growing = new Growing(element, { anchor: at => (cites[at - 1] ? citeMark(at, cites[at - 1], open) : null) });
  return { element, growing };
}

/** Thoughts, which are read by who opens them. */
export function thoughtPiece(text, { going = false } = {}) {
  const words = document.createTextNode(text), label = h("span", {});
  const element = h("details", { class: "folded thought" }, h("summary", {}, icon("bulb", { small: true }), label), h("div", { class: "folded-text" }, words));
  const say = on => { label.textContent = t(on ? "chat.thinking" : "chat.thought"); element.classList.toggle("going", on); };
  say(going);
  return { element, add: more => words.appendData(more), done: () => say(false) };
}

const pretty = text => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return String(text ?? "");
  }
};

const labelled = (label, text) => (text ? [h("p", { class: "small soft" }, label), h("pre", { class: "folded-code", tabindex: "0" }, text)] : null);

/** What a tool was asked and what it said. `decide`: called with true or false where a person has to allow the call. */
export function toolPiece(item, { going = false, decide = null } = {}) {
  const [named, label, body] = described(item, going);
  const element = h("details", { class: going ? "folded going" : "folded" }, h("summary", {}, icon(named, { small: true }), h("span", {}, label)), h("div", {}, body));
  if (item.type !== "mcp_approval_request" || !decide) return element;
  const answer = approve => h("button", { type: "button", class: approve ? "primary-action tiny" : "tiny", on: { click: () => decide(item, approve) } }, t(approve ? "chat.allow" : "chat.refuse"));
  return h("div", { class: "notice" }, icon("shield"), h("div", {}, h("p", {}, t("chat.may_call", { name: item.name, server: item.server_label })), labelled(t("chat.called_with"), pretty(item.arguments)), h("p", { class: "row" }, answer(true), answer(false))));
}

function described(item, going) {
  switch (item.type) {
    case "file_search_call": {
      const results = listed(item.results), words = Array.isArray(item.queries) ? item.queries.map(String).join(" · ") : "";
      const label = going ? t("chat.searching") : item.results ? t("chat.searched", { n: results.length }) : t("chat.searched_documents");
      const found = results.map(one => h("li", {}, h("p", { class: "small" }, h("bdi", {}, one.filename), h("span", { class: "faint" }, ` · ${number(one.score, 2)}`)), h("blockquote", { class: "small" }, one.text)));
      return ["documents", label, [words ? h("p", { class: "small soft" }, words) : null, found.length ? h("ol", { class: "passages" }, found) : null]];
    }
    case "mcp_call":
      return ["tool", t(item.error ? "chat.tool_failed" : going ? "chat.tool_calling" : "chat.tool_called", { name: item.name }), [labelled(t("chat.called_with"), pretty(item.arguments)), labelled(t("chat.tool_said"), item.error ? pretty(JSON.stringify(item.error)) : pretty(item.output))]];
    case "mcp_list_tools":
      return ["tool", t("chat.tools_listed", { server: item.server_label ?? "" }), h("p", { class: "small" }, listed(item.tools).map(tool => tool.name).join(", "))];
    case "mcp_approval_request": case "mcp_approval_response":
      return ["shield", t(item.type === "mcp_approval_request" ? "chat.asked_leave" : item.approve ? "chat.allowed" : "chat.refused", { name: item.name ?? "" }), labelled(t("chat.called_with"), pretty(item.arguments))];
    default:
      return ["tool", t("chat.tool_called", { name: item.name ?? item.type }), [labelled(t("chat.called_with"), pretty(item.arguments)), labelled(t("chat.tool_said"), pretty(item.output))]];
  }
}
