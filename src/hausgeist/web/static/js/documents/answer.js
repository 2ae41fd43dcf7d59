/** An answer as it comes and as it is kept: text with numbered marks, how it was made in words, what stands where, what does not. */

import { anchor, anchored, citationList, citationMark, unfounded } from "../citations/index.js";
import { button, h, icon, put } from "../dom.js";
import { Growing, markdown } from "../markdown.js";
import { number, t } from "../text.js";

/** Modes in which the server itself puts the answer together: its text is no Markdown, and quotations are shown as they are written. */
const PLAIN = new Set(["extractive", "counted"]);

export class Answer {
  /** `acts`: {stop(), retry(), remove(), copy(text)}. */
  constructor(text, acts) {
    this.acts = acts;
    this.list = [];
    this.body = h("div", { class: "prose answer-text" });
    this.state = h("p", { class: "answer-state soft", role: "status" }, h("span", { class: "spinner" }), h("span", {}, t("documents.searching")));
    this.below = h("div", { class: "answer-below" });
    this.halt = button(t("documents.stop"), { icon: "stop", kind: "tiny", on: () => acts.stop() });
    this.heading = h("h2", { class: "question", tabindex: "-1", dir: "auto" }, text);
    this.element = h("article", { class: "answer", dataset: { answer: "" } }, this.heading, this.state, this.halt, this.body, this.below);
    this.heard = h("p", { class: "visually-hidden", role: "status" });
    this.element.append(this.heard);
    this.said = "";
    this.cited = 0;
  }

  /** What of the response arrives. */
  text(delta) {
    this.state.hidden = true;
    this.growing ??= new Growing(this.body, { anchor: one => citationMark(this.list, one - 1) });
    this.said += delta;
    this.growing.write(delta);
  }

  annotate(annotation) {
    if (annotation.type !== "file_citation") return;
    this.list.push({ file_id: annotation.file_id, filename: annotation.filename });
    this.growing?.write(anchor((this.cited += 1)));
  }

  /** How it ended, with what was checked. */
  end(response, facts) {
    this.growing?.end();
    this.growing = null;
    this.halt.hidden = true;
    this.state.hidden = true;
    const parts = response.output.filter(item => item.type === "message").flatMap(item => item.content).filter(part => part.type === "output_text");
    const text = parts.map(part => part.text).join("\n\n"), annotations = parts[0]?.annotations ?? [];
    const located = facts.data.filter(one => one.file_id);
    const nearest = facts.answered === false;
    this.list = located.length ? located : annotations.filter(one => one.type === "file_citation");
    this.said = text;
    const mark = one => (this.list[one - 1] ? citationMark(this.list, one - 1) : null);
    const whole = parts.length === 1 ? anchored(text, annotations) : text;
    put(this.body, PLAIN.has(facts.mode) ? plain(whole, mark) : markdown(whole, { anchor: mark }));
    // Where the documents do not answer, what is cited only comes nearest.
    if (nearest) this.body.before(h("p", { class: "badge warn silent" }, icon("info", { small: true }), t("documents.silent")));
    this.heard.textContent = nearest ? t("documents.silent") : t("documents.answered", { n: this.list.length });
    const mode = response.metadata?.mode ?? facts.mode;
    put(this.below, this.#ended(response), unfounded(facts.data), mode ? h("p", { class: "small soft answer-mode" }, icon("info", { small: true }), h("span", {}, this.#how(mode, response, facts))) : null,
      this.list.length ? h("section", {}, h("h3", {}, nearest ? t("documents.nearest") : t("documents.places", { n: this.list.length })), citationList(this.list)) : null,
      h("div", { class: "row answer-acts" },
        text ? button(t("common.copy"), { icon: "copy", kind: "quiet tiny", on: event => this.acts.copy(this.plainText(), event.currentTarget) }) : null,
        button(t("documents.ask_again"), { icon: "retry", kind: "quiet tiny", on: () => this.acts.retry() }),
        button(t("documents.delete_answer"), { icon: "trash", kind: "quiet tiny", on: () => this.acts.remove() })));
  }

  #ended(response) {
    if (response.status === "cancelled") return h("p", { class: "badge warn" }, icon("stop", { small: true }), t("documents.stopped"));
    if (response.status === "incomplete") return h("p", { class: "badge warn" }, icon("warning", { small: true }), t("documents.cut_short"));
    if (response.status === "failed") return this.#problem(response.error?.message ?? t("documents.answer_failed"));
    return null;
  }

  #how(mode, response, facts) {
    const values = { model: response.model, n: facts.documents ?? 0, read: response.metadata?.read ?? "" };
    return { extractive: t("documents.mode_extractive"), counted: t("documents.mode_counted", values), whole: t("documents.mode_whole", values), model: t("documents.mode_model", values) }[mode] ?? mode;
  }

  /** With the places as words, for the clipboard. */
  plainText() {
    const places = this.list.map((one, place) => `[${number(place + 1)}] ${one.label || one.filename}`);
    return [this.said, ...(places.length ? [places.join("\n")] : [])].join("\n\n");
  }

  fail(error) {
    this.growing?.end();
    this.growing = null;
    this.halt.hidden = true;
    this.state.hidden = true;
    put(this.below, this.#problem(error.message), h("div", { class: "row" }, button(t("common.retry"), { icon: "retry", on: () => this.acts.retry() })));
  }

  #problem(message) {
    return h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {}, h("p", {}, message)));
  }
}

/** Paragraphs and lists without any markup; `mark` for the places of citations. */
function plain(text, mark) {
  const inline = line => line.split(/(\ue000\d{1,3}\ue001)/).map(part => { const found = /^\ue000(\d{1,3})\ue001$/.exec(part); return found ? mark(Number(found[1])) : part; });
  return text.split(/\n{2,}/).map(block => {
    const lines = block.split("\n");
    if (lines.every(line => line.startsWith("- "))) return h("ul", {}, lines.map(line => h("li", {}, h("bdi", {}, inline(line.slice(2))))));
    return h("p", { dir: "auto" }, lines.map((line, place) => [place ? h("br") : null, inline(line)]));
  });
}
