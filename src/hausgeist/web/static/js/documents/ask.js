/** The part of a collection's page where one asks: the box, the answer or the passages below it, earlier questions. */

import { closeViewer } from "../citations/index.js";
import { copy } from "../copying.js";
import { button, h, icon, put } from "../dom.js";
import { preference } from "../preferences.js";
import { ago, t } from "../text.js";
import { complain, safely, toast } from "../toast.js";
import { Answer } from "./answer.js";
import { asked, citations, forget, models, note, passages, question, questionOf, resume, stop, stored } from "./asking.js";
import { foundList, nothingFound } from "./found.js";

const WAYS = ["", "extractive", "whole"];
/** What the papers of the demo answer, in the papers' own languages. */
const DEMO = [
  ["en", "Which grease is used for the drum bearings?"],
  ["de", "Wann endet das Mietverhältnis?"],
  ["en", "How often must the chaff collector be emptied?"],
  ["de", "Wie hoch ist die Kaution?"],
];

export class Asking {
  /** `store`: a function that returns it as it is now. */
  constructor(store) {
    this.store = store;
    this.working = null;
    this.shown = null;
    this.box = h("textarea", { id: "question", rows: "1", maxlength: "8000", placeholder: t("documents.ask_placeholder"), "aria-label": t("documents.question"), dir: "auto" });
    this.send = h("button", { type: "submit", class: "primary-action icon-only send", "aria-label": t("documents.ask"), title: t("documents.ask") }, icon("send"));
    const radio = (value, label) => h("label", { class: "segment" }, h("input", { type: "radio", name: "kind", value, checked: value === "answer", on: { change: () => this.#kind() } }), h("span", {}, label));
    this.kinds = h("fieldset", { class: "segments" }, h("legend", { class: "visually-hidden" }, t("documents.kind")), radio("answer", t("documents.kind_answer")), radio("passages", t("documents.kind_passages")));
    this.way = h("select", { "aria-label": t("documents.way"), class: "small-select" }, WAYS.map(way => h("option", { value: way }, t(`documents.way_${way || "auto"}`))));
    this.model = h("select", { "aria-label": t("documents.model"), class: "small-select", hidden: true, on: { change: () => preference("documents.model", this.model.value) } });
    this.form = h("form", { class: "card asking" }, h("div", { class: "asking-line" }, this.box, this.send), h("div", { class: "row asking-options" }, this.kinds, this.way, this.model));
    this.starts = h("div", { class: "starts" });
    this.result = h("div", { class: "result" });
    this.earlier = h("details", { class: "earlier", hidden: true }, h("summary", {}, t("documents.earlier")), h("ul", {}));
    this.element = h("div", { class: "ask-part" }, this.form, this.starts, this.result, this.earlier);
    this.earlier.addEventListener("toggle", () => this.earlier.open && this.#showEarlier());
    this.form.addEventListener("submit", event => { event.preventDefault(); this.#ask(this.box.value); });
    this.box.addEventListener("keydown", event => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.box.addEventListener("input", () => this.#grow());
    new ResizeObserver(() => this.#grow()).observe(this.form);
    addEventListener("popstate", () => this.#visit());
  }

  /** Once the collection is known. */
  begin() {
    this.#listEarlier();
    this.#suggest();
    this.#models();
    return this.#visit();
  }

  /** What is in the collection has changed. */
  told() {
    const empty = this.store().file_counts.completed === 0;
    this.box.disabled = this.send.disabled = empty;
    this.box.placeholder = t(empty ? "documents.ask_empty" : "documents.ask_placeholder");
    this.#suggest();
  }

  focus() {
    this.box.focus();
  }

  #models = safely(async () => {
    const found = await models(), before = preference("documents.model");
    put(this.model, found.map(name => h("option", { value: name }, name)));
    if (found.includes(before)) this.model.value = before;
    this.model.hidden = found.length < 2;
    this.none = found.length === 0;
  });

  #kind() {
    const answer = this.form.elements.kind.value === "answer";
    this.way.disabled = this.model.disabled = !answer;
  }

  #grow() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight + 2, 220)}px`;
  }

  #suggest() {
    const demo = this.store().metadata?.demo === "1" || this.store().name === "demo";
    this.starts.hidden = !demo || this.shown !== null || this.store().file_counts.completed === 0;
    if (this.starts.hidden) return;
    put(this.starts, h("p", { class: "small soft" }, t("documents.try")), DEMO.map(([lang, text]) => button(text, { kind: "start", lang, on: () => this.#ask(text) })));
  }

  #listEarlier() {
    this.earlier.hidden = asked(this.store().id).length === 0;
    if (this.earlier.open) this.#showEarlier();
  }

  #showEarlier = safely(async () => {
    const store = this.store().id;
    const texts = await Promise.all(asked(store).map(async one => {
      try {
        return { ...one, text: await questionOf(one.id) };
      } catch (error) {
        if (error.status === 404) note(store, one.id, { gone: true });
        return null;
      }
    }));
    const visit = id => event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#go(id);
      this.#visit();
    };
    put(this.earlier.querySelector("ul"), texts.filter(Boolean).map(one => h("li", {}, h("a", { href: this.#address(one.id), on: { click: visit(one.id) } }, h("bdi", {}, one.text)), h("span", { class: "soft small" }, ` ${ago(one.at)}`))));
  });

  #address(id, words = "") {
    const address = new URL(location.pathname, location.origin);
    if (id) address.searchParams.set("answer", id);
    if (words) address.searchParams.set("search", words);
    return address.pathname + address.search;
  }

  /** An answer and a search have addresses, so that a reload and the way back find them. */
  #go(id, words = "") {
    const address = this.#address(id, words);
    if (address !== location.pathname + location.search) history.pushState(null, "", address);
  }

  #ask(text) {
    text = text.trim();
    if (!text || this.box.disabled) return this.box.focus();
    this.#leave();
    this.box.value = "";
    this.#grow();
    return this.form.elements.kind.value === "passages" ? this.#search(text) : this.#answer(text);
  }

  #leave() {
    this.working?.abort();
    this.working = new AbortController();
    closeViewer({ restore: false });
    this.earlier.open = false;
  }

  #show(answer) {
    this.shown = answer;
    this.words = "";
    this.starts.hidden = true;
    put(this.result, answer.element);
    return answer;
  }

  #new(text) {
    const answer = new Answer(text, {
      stop: safely(() => this.id && stop(this.id)),
      retry: () => { this.#leave(); this.#answer(text); },
      remove: safely(async () => {
        await forget(this.store().id, this.id);
        this.#go("");
        this.#clear();
        this.#listEarlier();
        toast(t("documents.answer_deleted"));
        this.box.focus();
      }),
      copy: async (copied, control) => { control.querySelector("span").textContent = t(await copy(copied) ? "common.copied" : "common.not_copied"); },
    });
    return this.#show(answer);
  }

  #clear() {
    this.shown = null;
    this.id = this.words = "";
    put(this.result);
    this.#suggest();
  }

  async #answer(text) {
    const answer = this.#new(text), { signal } = this.working;
    this.id = "";
    try {
      if (!this.model.options.length) await this.#models();
      const model = this.model.value || "guide";
      const made = response => { this.id = response.id; note(this.store().id, response.id); this.#go(response.id); this.#listEarlier(); };
      const response = await question(this.store().id, { model, text, mode: this.way.value, signal, heard: { made, text: delta => answer.text(delta), cited: one => answer.annotate(one) } });
      answer.end(response, await citations(response.id));
    } catch (error) {
      if (error.name !== "AbortError") answer.fail(error);
    }
  }

  async #search(text) {
    const { signal } = this.working;
    this.shown = "passages";
    this.id = "";
    this.words = text;
    this.#go("", text);
    this.starts.hidden = true;
    put(this.result, h("p", { class: "answer-state soft", role: "status" }, h("span", { class: "spinner" }), h("span", {}, t("documents.searching"))));
    try {
      const hits = await passages(this.store().id, text, { signal });
      const heading = [h("h2", { class: "question", tabindex: "-1", dir: "auto" }, text), h("p", { class: "small soft" }, t("documents.found", { n: hits.length }))];
      put(this.result, h("div", { dataset: { answer: "" } }, hits.length ? [heading, foundList(hits, text)] : nothingFound()), h("p", { class: "visually-hidden", role: "status" }, t("documents.found", { n: hits.length })));
    } catch (error) {
      if (error.name === "AbortError") return;
      put(this.result, h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {}, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", kind: "tiny", on: () => { this.#leave(); this.#search(text); } }))));
    }
  }

  /** The answer that the address names, as it was kept; one that is still being made goes on. */
  async #visit() {
    const query = new URLSearchParams(location.search), id = query.get("answer") ?? "", words = id ? "" : query.get("search") ?? "";
    if (id === (this.id ?? "") && words === (this.words ?? "") && this.shown) return;
    this.#leave();
    if (words) {
      this.form.elements.kind.value = "passages";
      this.#kind();
      return this.#search(words);
    }
    if (!id) return this.#clear();
    const { signal } = this.working;
    put(this.result, h("p", { class: "answer-state soft", role: "status" }, h("span", { class: "spinner" }), h("span", {}, t("common.loading"))));
    this.starts.hidden = true;
    try {
      const { response, question: text, facts } = await stored(id);
      if (signal.aborted) return;
      const answer = this.#new(text);
      this.id = id;
      if (["queued", "in_progress"].includes(response.status)) {
        const done = await resume(id, { signal, heard: { made: () => {}, text: delta => answer.text(delta), cited: one => answer.annotate(one) } });
        answer.end(done, await citations(id));
      } else answer.end(response, facts);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      if (error.status === 404) {
        note(this.store().id, id, { gone: true });
        this.#listEarlier();
        this.#go("");
        this.#clear();
        toast(t("documents.answer_gone"));
        return;
      }
      put(this.result);
      complain(error);
    }
  }
}
