/** Questions and answers as elements, each with what can be done to it. They are filled when the reader comes near. */

import { button, h, icon, put } from "../dom.js";
import { duration, number, t, when } from "../text.js";
import { growingPiece, textPiece, thoughtPiece, toolPiece } from "./pieces.js";
import { asked, clean, numbered, piecesOf, place, wordsOf } from "./said.js";

const LINE = 26, CHARACTERS = 78;

/** About how high a text will be, so that the place in a long chat is right before all of it was drawn. */
const guess = text => Math.round(72 + LINE * (Math.ceil(text.length / CHARACTERS) + (text.match(/\n/g)?.length ?? 0)));

/** What of a question can be seen, to tell whether it is still the same. */
const seen = ({ text, images, files }) => [text, images.length, files.map(file => file.filename)];

class Turn {
  constructor(entry, page, name) {
    this.page = page;
    this.element = h("article", { class: `turn ${name}` });
    this.foot = h("footer", { class: "doings" });
    this.filled = false;
    this.signature = "";
    this.entry = entry;
  }

  /** The entry as it is now; drawn again only where it differs. */
  update(entry, last) {
    this.entry = entry;
    const words = entry.items.map(one => `${one.item.id}${one.item.status}`).join();
    if (words !== this.words) {
      const same = this.words !== undefined && this.saysTheSame(entry);
      this.words = words;
      if (this.filled && !same) this.#draw();
      this.element.style.containIntrinsicSize = `auto ${guess(this.length())}px`;
    }
    const signature = JSON.stringify([entry.beside, entry.made, last, entry.cut, this.page.reading]);
    if (signature !== this.signature) {
      this.signature = signature;
      this.last = last;
      if (this.filled) this.drawFoot();
    }
  }

  fill() {
    if (this.filled) return;
    this.filled = true;
    this.#draw();
    this.drawFoot();
  }

  /** One that cannot be drawn is shown as it is kept, and does not hide the others. */
  #draw() {
    try {
      this.draw();
    } catch (error) {
      console.warn("a turn is shown as it is kept", error);
      this.bare(JSON.stringify(this.entry.items.map(one => one.item), null, 1).slice(0, 20000));
    }
  }

  branches() {
    const { beside, key } = this.entry;
    if (!beside || beside.length < 2) return null;
    const here = beside.indexOf(key);
    const step = (by, name, label) => button(t(label), { icon: name, bare: true, kind: "quiet tiny", disabled: here + by < 0 || here + by >= beside.length, on: () => this.page.show(beside[here + by]) });
    return h("span", { class: "branches", role: "group", "aria-label": t("chat.branches") }, step(-1, "left", "chat.branch_before"), h("span", { class: "small" }, `${number(here + 1)} / ${number(beside.length)}`), step(1, "right", "chat.branch_after"));
  }

  doing(label, name, run, more = {}) {
    return button(t(label), { icon: name, bare: true, kind: "quiet tiny", on: event => run(event.currentTarget), ...more });
  }
}

export class Question extends Turn {
  constructor(entry, page) {
    super(entry, page, "question");
    this.bubble = h("div", { class: "bubble" });
    this.element.setAttribute("aria-label", t(entry.items[0].item.role === "user" ? "chat.you_said" : "chat.told_model"));
    this.element.append(this.bubble, this.foot);
  }

  length() {
    return asked(this.entry).text;
  }

  bare(kept) {
    put(this.bubble, h("p", { class: "plain" }, kept));
  }

  saysTheSame(entry) {
    return this.drawn === JSON.stringify(seen(asked(entry)));
  }

  draw() {
    const { text, images, files, role } = asked(this.entry);
    this.drawn = JSON.stringify(seen(asked(this.entry)));
    this.bubble.classList.toggle("system", role !== "user");
    put(this.bubble,
      images.length ? h("div", { class: "pictures" }, images.map(one => (/^data:image\//.test(one.image_url ?? "") ? h("img", { src: one.image_url, alt: t("chat.picture"), loading: "lazy" }) : h("span", { class: "badge" }, icon("image", { small: true }), t("chat.picture"))))) : null,
      files.length ? h("div", { class: "row" }, files.map(one => h("span", { class: "badge" }, icon("documents", { small: true }), h("bdi", {}, one.filename ?? t("chat.file"))))) : null,
      role === "user" ? null : h("p", { class: "small faint" }, t("chat.told_model")),
      text ? h("p", { class: "plain", dir: "auto" }, text) : null);
  }

  drawFoot() {
    const { page, entry } = this;
    if (entry.pending) return put(this.foot);
    return put(this.foot,
      this.branches(),
      this.doing("common.copy", "copy", anchor => page.copy(asked(entry).text, anchor)),
      entry.items[0].item.role === "user" ? this.doing("chat.edit", "edit", () => page.edit(this)) : null,
      this.doing("common.more", "more", anchor => page.more(this, anchor), { "aria-haspopup": "menu", "aria-expanded": "false" }),
      h("span", { class: "made small" }, h("time", {}, when(entry.items[0].created, { timeStyle: "short", dateStyle: "medium" }))));
  }
}

export class Answer extends Turn {
  constructor(entry, page) {
    super(entry, page, "answer");
    this.parts = h("div", { class: "parts" });
    this.element.setAttribute("aria-label", t("chat.answered"));
    this.element.append(this.parts, this.foot);
  }

  length() {
    return wordsOf(this.entry);
  }

  bare(kept) {
    put(this.parts, h("pre", { class: "folded-code" }, kept));
  }

  saysTheSame(entry) {
    return this.drawn === JSON.stringify(piecesOf(entry).map(piece => piece.text ?? piece.id));
  }

  draw() {
    const pieces = piecesOf(this.entry);
    this.drawn = JSON.stringify(pieces.map(piece => piece.text ?? piece.id));
    let cites = 0;
    put(this.parts, pieces.map(piece => {
      if (piece.kind === "thought") return thoughtPiece(piece.text).element;
      if (piece.kind === "tool") return toolPiece(piece.item, { decide: this.last ? this.page.decide : null });
      const element = textPiece(piece, cites, this.page.cite);
      cites += piece.cites.length;
      return element;
    }));
    if (!pieces.some(piece => piece.text || piece.kind === "tool")) this.parts.append(h("p", { class: "faint" }, t("chat.said_nothing")));
  }

  drawFoot() {
    const { page, entry } = this;
    if (this.going) return;
    this.element.classList.toggle("last", Boolean(this.last));
    put(this.foot,
      this.branches(),
      this.doing("common.copy", "copy", anchor => page.copy(wordsOf(entry), anchor)),
      this.doing("chat.again", "retry", anchor => page.againMenu(this, anchor), { "aria-haspopup": "menu", "aria-expanded": "false" }),
      this.last && entry.cut ? button(t("chat.go_on"), { icon: "play", kind: "quiet tiny", on: () => page.goOn() }) : null,
      this.doing("common.more", "more", anchor => page.more(this, anchor), { "aria-haspopup": "menu", "aria-expanded": "false" }),
      entry.made ? figures(entry.made) : null);
  }

  // While it is being made

  /** Begin, or go on in the middle of what stands there. */
  begin() {
    this.going = true;
    this.filled = true;
    this.words ??= "";
    this.growing = null;
    this.said = [];
    this.cites = [];
    this.tools = new Map();
    this.ids = new Set();
    // What is looked at stays drawn: to begin leaving it out at the end would make it flicker.
    this.element.classList.add("live", "going");
    const pieces = this.entry ? piecesOf(this.entry) : [];
    if (!this.entry?.cut) {
      put(this.parts);
    } else if (pieces.at(-1)?.kind === "text") {
      this.said = pieces.slice(0, -1).map(piece => piece.text ?? piece.id);
      this.cites = pieces.flatMap(piece => piece.cites ?? []);
      this.resumed = pieces.at(-1);
    }
    this.waiting = h("p", { class: "waiting" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), this.note = h("span", { class: "small soft" }));
    this.parts.append(this.waiting);
    put(this.foot);
  }

  say(note) {
    if (this.note) this.note.textContent = note;
  }

  #heard() {
    this.waiting?.remove();
    this.waiting = null;
  }

  event(event) {
    switch (event.type) {
      case "response.created": this.response = event.response.id; break;
      case "response.output_item.added": this.#begin(event.item); break;
      case "response.content_part.added": if (event.content_index > 0 && event.part.type !== "reasoning_text") this.#text(); break;
      case "response.output_text.delta": case "response.refusal.delta": this.#heard(); this.#write(event.delta); break;
      case "response.reasoning_text.delta": case "response.reasoning_summary_text.delta": this.thought?.add(event.delta); this.said[this.said.length - 1] += event.delta; break;
      case "response.output_text.annotation.added": this.#annotate(event.annotation); break;
      case "response.output_item.done": this.#done(event.item); break;
      default:
    }
  }

  #begin(item) {
    this.ids.add(item.id);
    if (item.type === "message") return this.#text();
    this.#heard();
    this.#settle();
    if (this.resumed) this.said.push(this.resumed.text);
    this.resumed = null;
    if (item.type === "reasoning") {
      this.thought = thoughtPiece("", { going: true });
      this.parts.append(this.thought.element);
      this.said.push("");
    } else {
      const element = toolPiece(item, { going: true });
      this.tools.set(item.id, element);
      this.parts.append(element);
      this.said.push(item.id);
    }
    return undefined;
  }

  #text() {
    this.#settle();
    const { element, growing } = growingPiece(this.cites, this.page.cite);
    this.growing = growing;
    if (this.resumed) {
      const old = this.parts.querySelector(":scope > .prose:last-of-type");
      const from = this.cites.length - this.resumed.cites.length;
      growing.write(numbered(this.resumed.text, this.resumed.cites, from));
      this.said.push(this.resumed.text);
      this.resumed = null;
      old ? old.replaceWith(element) : this.parts.append(element);
      element.after(...(this.waiting ? [this.waiting] : []));
    } else {
      this.said.push("");
      this.parts.append(element, ...(this.waiting ? [this.waiting] : []));
    }
  }

  #write(delta) {
    if (!this.growing) this.#text();
    this.growing.write(clean(delta));
    this.said[this.said.length - 1] += delta;
  }

  #annotate(annotation) {
    if (annotation.type !== "file_citation" || !this.growing) return;
    this.cites.push({ annotation, response: this.response, place: this.cites.filter(one => one.response === this.response).length });
    this.growing.write(place(this.cites.length));
  }

  #done(item) {
    if (item.type === "reasoning") this.thought?.done();
    else if (item.type === "message") this.#settle();
    else if (this.tools.has(item.id)) {
      const element = toolPiece(item, { decide: this.page.decide });
      this.tools.get(item.id).replaceWith(element);
      this.tools.set(item.id, element);
    }
  }

  #settle() {
    this.growing?.end();
    this.growing = null;
    this.thought?.done();
    this.thought = null;
  }

  /** What another client's answer says so far. */
  look(items) {
    this.#heard();
    this.entry = { items: items.map(item => ({ item, response: this.response })), cut: false };
    this.draw();
  }

  /** No more comes. */
  end() {
    this.#settle();
    this.#heard();
    this.going = false;
    this.drawn = JSON.stringify(this.said.filter(one => one !== ""));
    this.element.classList.remove("going");
  }

  get text() {
    return this.said.join("\n\n");
  }
}

const MODES = { extractive: "chat.mode_extractive", whole: "chat.mode_whole", counted: "chat.mode_counted" };

/** What it took to make an answer, in one quiet line. */
export function figures(made) {
  const parts = [h("bdi", {}, made.model)];
  if (made.mode in MODES) parts.push(t(MODES[made.mode]));
  if (made.status === "cancelled") parts.push(t("chat.stopped"));
  if (made.output_tokens !== null) parts.push(t("chat.tokens", { n: made.output_tokens }));
  const first = made.first_token_ms === null ? null : made.first_token_ms / 1000;
  if (first !== null) parts.push(t("chat.first_after", { time: duration(first) }));
  const writing = made.completed - made.created - (first ?? 0);
  if (made.output_tokens > 1 && writing > .02) parts.push(t("chat.speed", { rate: number(made.output_tokens / writing, made.output_tokens / writing < 10 ? 1 : 0) }));
  return h("span", { class: "made small", title: made.input_tokens === null ? null : t("chat.read", { n: made.input_tokens }) }, parts.flatMap((part, place) => (place ? [" · ", part] : [part])));
}
