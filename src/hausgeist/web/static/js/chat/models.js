/** Which models can be asked, and the list that one is chosen from. */

import { get } from "../api.js";
import { find, h, icon, put } from "../dom.js";
import { preference } from "../preferences.js";
import { bytes, number, t } from "../text.js";

/** Models by their names. What only some servers tell (`capabilities`, `loaded`, ...) may be missing. */
export class Models {
  async load() {
    const [named, known] = await Promise.all([get("/v1/models"), get("/house/v1/models").catch(() => ({ data: [] }))]);
    const facts = new Map(known.data.map(one => [one.id, one]));
    const speaks = one => !one.capabilities || one.capabilities.includes("completion");
    this.all = named.data.map(one => ({ ...facts.get(one.id), id: one.id })).filter(speaks);
    this.all.sort((a, b) => Boolean(b.loaded) - Boolean(a.loaded) || (b.last_used ?? 0) - (a.last_used ?? 0) || a.id.localeCompare(b.id));
    return this.all;
  }

  get(id) {
    return this.all?.find(one => one.id === id);
  }

  /** The one that was used last, else one that is more than the guide. */
  preferred() {
    const last = preference("model");
    if (last && this.get(last)) return last;
    return (this.all.find(one => one.id !== "guide") ?? this.all[0])?.id ?? "";
  }

  get onlyGuide() {
    return this.all.length > 0 && this.all.every(one => one.id === "guide");
  }

  /** Whether a model can look at pictures; those of which nothing is known may try. */
  sees(id) {
    const one = this.get(id);
    return !one || !one.capabilities || one.capabilities.includes("vision") || (one.engine !== undefined && one.engine !== "llamacpp");
  }

  thinks(id) {
    return this.get(id)?.capabilities?.includes("thinking") ?? false;
  }
}

/** The list in the top bar. `chosen(id)` is called with what is chosen. */
export class ModelPicker {
  constructor(models, chosen) {
    this.models = models;
    this.chosen = chosen;
    this.anchor = find("#model");
    this.anchor.addEventListener("click", () => (this.box ? this.close() : this.open()));
    document.addEventListener("pointerdown", event => { if (this.box && !this.box.contains(event.target) && !this.anchor.contains(event.target)) this.close({ restore: false }); });
  }

  say(id) {
    this.current = id;
    find("#model-name").textContent = id || t("chat.no_model");
  }

  close({ restore = true } = {}) {
    if (!this.box) return;
    this.box.remove();
    this.box = null;
    this.looking.abort();
    this.anchor.setAttribute("aria-expanded", "false");
    if (restore) this.anchor.focus();
  }

  async open() {
    if (this.box) return;
    this.input = h("input", { type: "search", role: "combobox", "aria-label": t("chat.find_model"), placeholder: t("chat.find_model"), "aria-expanded": "true", "aria-controls": "model-list", autocomplete: "off", on: { input: () => this.#draw(), keydown: event => this.#key(event) } });
    this.list = h("ul", { class: "model-list", id: "model-list", role: "listbox", "aria-label": t("chat.models") });
    this.box = h("div", { class: "picker", role: "dialog", "aria-label": t("chat.choose_model") },
      h("div", { class: "searchbox" }, icon("search"), this.input), this.list, h("p", { class: "small picker-more" }, h("a", { href: "/models" }, t("chat.more_models"))));
    document.body.append(this.box);
    const at = this.anchor.getBoundingClientRect();
    this.box.style.top = `${at.bottom + 4}px`;
    this.box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - this.box.offsetWidth - 8))}px`;
    this.anchor.setAttribute("aria-expanded", "true");
    this.at = Math.max(0, this.models.all?.findIndex(one => one.id === this.current) ?? 0);
    this.#draw();
    this.input.focus();
    // What is in memory changes: looked at anew while the list is open.
    this.looking = new AbortController();
    const { signal } = this.looking;
    await this.models.load().then(() => this.box && this.#draw()).catch(() => {});
    if (!signal.aborted) await this.#lookAt(signal).catch(() => {});
  }

  /** Whether they fit this machine, of those that are not in memory. The planner is asked while the list is open, and loaded with it. */
  async #lookAt(signal) {
    const names = this.models.all.filter(one => one.size && !one.loaded && one.id !== "guide").map(one => one.id);
    this.fits = await import("../models/fits.js");
    if (names.length) await this.fits.lookAt(names, { signal, told: () => signal.aborted || this.#draw() });
    if (!signal.aborted) this.#draw();
  }

  #draw() {
    const words = this.input.value.toLowerCase().trim();
    this.shown = (this.models.all ?? []).filter(one => one.id.toLowerCase().includes(words));
    this.at = Math.min(Math.max(0, this.at), Math.max(0, this.shown.length - 1));
    put(this.list, this.shown.map((one, place) => h("li", { role: "option", id: `model-${place}`, class: place === this.at ? "at" : null, "aria-selected": String(one.id === this.current), on: { click: () => this.#choose(one.id) } },
      h("span", { class: "model-title" }, h("bdi", {}, one.id), one.id === this.current ? icon("check", { small: true }) : null), h("span", { class: "small soft" }, facts(one, one.loaded ? null : this.fits?.fitOf(one.id), this.fits)))));
    if (!this.shown.length) this.list.append(h("li", { class: "soft", role: "option", "aria-disabled": "true", "aria-selected": "false" }, t("chat.no_such_model")));
    this.#mark();
  }

  #mark() {
    [...this.list.children].forEach((one, place) => one.classList.toggle("at", place === this.at && this.shown.length > 0));
    if (this.shown.length) this.input.setAttribute("aria-activedescendant", `model-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
    this.list.children[this.at]?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); this.close(); }
    else if (event.key === "Tab" && event.shiftKey) this.close();
    else if (event.key === "Enter") { event.preventDefault(); if (this.shown[this.at]) this.#choose(this.shown[this.at].id); }
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const many = this.shown.length || 1;
      this.at = (this.at + (event.key === "ArrowDown" ? 1 : -1) + many) % many;
      this.#mark();
    }
  }

  #choose(id) {
    this.close();
    this.chosen(id);
  }
}

/** What is worth knowing of a model when one chooses, in a line. */
function facts(one, fit, fits) {
  const parts = [];
  if (one.id === "guide") parts.push(t("chat.guide_is"));
  if (one.loaded) parts.push(t("chat.in_memory"));
  else if (fit && !fit.error) parts.push(t(`chat.fit_${fits.kindOf(fit)}`));
  if (one.size && one.id !== "guide") parts.push(bytes(one.size));
  if (one.context) parts.push(t("chat.context", { tokens: number(one.context) }));
  for (const name of ["vision", "tools", "thinking"]) if (one.capabilities?.includes(name)) parts.push(t(`chat.can_${name}`));
  return parts.join(" · ");
}
