/**
 * The table of a collection's files: searched, filtered, sorted, chosen from. Only the rows near what is seen are elements; the others are the height of
 * the table's first and last row.
 */

import { button, find, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { ago, bytes, number, quoted, t, when } from "../text.js";
import { language } from "../told.js";
import { mayWrite } from "../told.js";

const HEIGHT = 56;
const BEYOND = 12;
const ORDER = { in_progress: 0, failed: 1, cancelled: 2, completed: 3 };
const SAID = { ready: "documents.ready", failed: "documents.failed", cancelled: "documents.cancelled", reading: "documents.reading", waiting: "documents.waiting" };
const collator = new Intl.Collator(language, { numeric: true, sensitivity: "base" });
const COLUMNS = {
  name: { of: one => one.filename, compare: collator.compare },
  pages: { of: one => one.pages_total },
  size: { of: one => one.attributes.size ?? one.text_bytes },
  state: { of: one => ORDER[one.status] },
  when: { of: one => one.created_at, down: true },
};

export const stateOf = one => ({ in_progress: one.pages_done > 0 || one.pages_total > 0 ? "reading" : "waiting", completed: "ready", failed: "failed", cancelled: "cancelled" })[one.status];

export class FileTable {
  /** `acts`: {open(file, opener), remove(files), retry(files), download(file)}. */
  constructor(acts) {
    this.acts = acts;
    this.files = [];
    this.shown = [];
    this.chosen = new Set();
    this.sort = { by: "when", down: true };
    this.wanted = "";
    this.state = "";
    this.first = this.last = -1;
    this.search = h("input", { type: "search", id: "file-search", placeholder: t("documents.search_files"), "aria-label": t("documents.search_files"), on: { input: () => { this.wanted = this.search.value.trim().toLowerCase(); this.arrange(); } } });
    this.filter = h("select", { "aria-label": t("documents.state"), on: { change: () => { this.state = this.filter.value; this.arrange(); } } });
    this.said = h("p", { class: "small soft files-said", role: "status" });
    this.bulk = h("div", { class: "bulk row", hidden: true, role: "group", "aria-label": t("documents.chosen_files") });
    this.body = h("tbody", { on: { click: event => this.#clicked(event) } });
    this.heads = Object.fromEntries(Object.keys(COLUMNS).map(name => [name, h("th", { scope: "col", class: `col-${name}` }, h("button", { type: "button", class: "quiet tiny sorter", on: { click: () => this.#sortBy(name) } }, h("span", {}, t(`documents.column_${name}`)), h("span", { class: "sorter-mark" })))]));
    this.every = h("input", { type: "checkbox", "aria-label": t("documents.choose_all"), on: { change: () => this.#chooseAll() } });
    this.table = h("table", { class: "files" }, h("thead", {}, h("tr", {}, mayWrite ? h("th", { class: "col-choose" }, this.every) : null, Object.values(this.heads), h("th", { class: "col-more" }, h("span", { class: "visually-hidden" }, t("common.more"))))), this.body);
    this.none = h("p", { class: "empty", hidden: true }, t("documents.no_match"));
    this.element = h("div", { class: "file-table" },
      h("div", { class: "files-tools" }, h("div", { class: "searchbox" }, icon("search"), this.search), this.filter),
      this.bulk, this.said, this.table, this.none);
    find("#main").addEventListener("scroll", () => this.draw(), { passive: true });
    addEventListener("resize", () => this.draw());
  }

  /** These are the files now. */
  take(files) {
    this.files = files;
    const there = new Set(files.map(one => one.id));
    for (const id of this.chosen) if (!there.has(id)) this.chosen.delete(id);
    const counts = {};
    for (const one of files) counts[one.status] = (counts[one.status] ?? 0) + 1;
    const states = Object.keys(ORDER).filter(state => counts[state] || state === this.state);
    put(this.filter, h("option", { value: "" }, t("documents.all_states", { n: files.length })), states.map(state => h("option", { value: state, selected: state === this.state }, t(`documents.state_${state}`, { n: counts[state] ?? 0 }))));
    this.filter.value = this.state;
    this.filter.disabled = states.length < 2 && !this.state;
    this.arrange();
  }

  /** Show those of a state: "" for all. */
  only(state) {
    this.state = state;
    this.take(this.files);
  }

  arrange() {
    const { of, compare } = COLUMNS[this.sort.by], way = this.sort.down ? -1 : 1;
    const found = this.files.filter(one => (!this.state || one.status === this.state) && (!this.wanted || one.filename.toLowerCase().includes(this.wanted) || String(one.attributes.path ?? "").toLowerCase().includes(this.wanted)));
    this.shown = found.sort((a, b) => way * (compare ? compare(of(a), of(b)) : of(a) - of(b)) || collator.compare(a.filename, b.filename));
    for (const [name, head] of Object.entries(this.heads)) {
      const current = name === this.sort.by;
      current ? head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending") : head.removeAttribute("aria-sort");
      put(find(".sorter-mark", head), current ? icon(this.sort.down ? "down" : "up", { small: true }) : null);
    }
    this.table.setAttribute("aria-rowcount", String(this.shown.length + 1));
    this.none.hidden = this.shown.length > 0 || this.files.length === 0;
    this.table.hidden = this.shown.length === 0;
    this.said.textContent = this.wanted || this.state ? t("documents.shown", { n: this.shown.length, all: this.files.length }) : "";
    this.#tellChosen();
    this.first = -1;
    this.draw();
  }

  /** The rows that are seen, and some beyond. */
  draw() {
    if (!this.element.isConnected || this.element.offsetParent === null || this.table.hidden) return;
    const around = find("#main"), top = this.body.getBoundingClientRect().top - around.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / HEIGHT) - BEYOND), last = Math.min(this.shown.length, Math.ceil((around.clientHeight - top) / HEIGHT) + BEYOND);
    if (first === this.first && last === this.last) return;
    this.first = first;
    this.last = last;
    const focused = document.activeElement?.closest?.("tr")?.dataset.file, at = this.body.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const space = rows => (rows > 0 ? h("tr", { class: "space", "aria-hidden": "true", style: { height: `${rows * HEIGHT}px` } }, h("td")) : null);
    put(this.body, space(first), this.shown.slice(first, last).map((one, place) => this.#row(one, first + place)), space(this.shown.length - last));
    if (focused && at) find(`tr[data-file="${CSS.escape(focused)}"] [data-act="${at}"]`, this.body)?.focus({ preventScroll: true });
  }

  #row(one, place) {
    const state = stateOf(one), path = String(one.attributes.path ?? ""), folder = path.endsWith(`/${one.filename}`) ? path.slice(0, -one.filename.length - 1) : "";
    const below = one.status === "failed" ? one.last_error?.message ?? "" : folder;
    return h("tr", { dataset: { file: one.id }, "aria-rowindex": String(place + 2), "aria-selected": this.chosen.has(one.id) ? "true" : null },
      mayWrite ? h("td", { class: "col-choose" }, h("input", { type: "checkbox", checked: this.chosen.has(one.id), "aria-label": t("documents.choose", { name: quoted(one.filename) }), dataset: { act: "choose" } })) : null,
      h("td", { class: "col-name" }, h("button", { type: "button", class: "file-name", title: path || one.filename, dataset: { act: "open" } }, h("bdi", {}, one.filename)),
        below ? h("span", { class: `file-below small ${one.status === "failed" ? "wrong" : "soft"}`, title: below }, h("bdi", {}, below)) : null),
      h("td", { class: "col-pages number" }, one.pages_total ? number(one.pages_total) : "–"),
      h("td", { class: "col-size number" }, bytes(one.attributes.size ?? null)),
      h("td", { class: "col-state" }, badge(one, state)),
      h("td", { class: "col-when soft" }, h("time", { title: when(one.created_at), datetime: new Date(one.created_at * 1000).toISOString() }, ago(one.created_at))),
      h("td", { class: "col-more" }, button(t("documents.more_of", { name: quoted(one.filename) }), { icon: "more", bare: true, kind: "quiet tiny", "aria-haspopup": "menu", "aria-expanded": "false", "data-act": "more" })));
  }

  #clicked(event) {
    const row = event.target.closest("tr[data-file]"), control = event.target.closest("[data-act]");
    const one = row && this.files.find(file => file.id === row.dataset.file);
    if (!one || !control) return;
    if (control.dataset.act === "choose") {
      this.#choose(one.id, control.checked, event.shiftKey);
    } else if (control.dataset.act === "open") this.acts.open(one, control);
    else menu(control, [
      { label: t("documents.open"), icon: "documents", run: () => this.acts.open(one, control) },
      { label: t("documents.download"), icon: "download", run: () => this.acts.download(one) },
      ...(mayWrite ? [...(one.status === "failed" ? [{ label: t("common.retry"), icon: "retry", run: () => this.acts.retry([one]) }] : []), "line", { label: t("documents.remove"), icon: "trash", danger: true, run: () => this.acts.remove([one]) }] : []),
    ]);
  }

  /** With Shift: all between the last one chosen and this one. */
  #choose(id, on, range) {
    const here = this.shown.findIndex(one => one.id === id), before = this.shown.findIndex(one => one.id === this.lastChosen);
    const ids = range && before >= 0 ? this.shown.slice(Math.min(here, before), Math.max(here, before) + 1).map(one => one.id) : [id];
    for (const one of ids) on ? this.chosen.add(one) : this.chosen.delete(one);
    this.lastChosen = id;
    if (ids.length > 1) { this.first = -1; this.draw(); }
    this.#tellChosen();
  }

  #chooseAll() {
    for (const one of this.shown) this.every.checked ? this.chosen.add(one.id) : this.chosen.delete(one.id);
    this.first = -1;
    this.draw();
    this.#tellChosen();
  }

  #tellChosen() {
    const here = this.shown.filter(one => this.chosen.has(one.id)).length;
    this.every.checked = here > 0 && here === this.shown.length;
    this.every.indeterminate = here > 0 && here < this.shown.length;
    const files = this.files.filter(one => this.chosen.has(one.id)), failed = files.filter(one => one.status === "failed");
    this.bulk.hidden = files.length === 0;
    put(this.bulk, h("strong", {}, t("documents.chosen", { n: files.length })),
      failed.length ? button(t("common.retry"), { icon: "retry", kind: "tiny", on: () => this.acts.retry(failed) }) : null,
      button(t("documents.remove"), { icon: "trash", kind: "danger tiny", on: () => this.acts.remove(files) }),
      button(t("documents.choose_none"), { kind: "quiet tiny", on: () => { this.chosen.clear(); this.first = -1; this.draw(); this.#tellChosen(); this.search.focus(); } }));
  }

  #sortBy(name) {
    this.sort = { by: name, down: this.sort.by === name ? !this.sort.down : COLUMNS[name].down ?? false };
    this.arrange();
  }
}

function badge(one, state) {
  const pages = one.pages_total ? t("documents.pages_of", { done: one.pages_done, of: one.pages_total }) : "";
  const kinds = { ready: ["good", "check"], failed: ["bad", "warning"], cancelled: ["warn", "stop"], reading: ["accent", "clock"], waiting: ["", "clock"] };
  const [kind, sign] = kinds[state];
  return h("span", { class: `badge ${kind}` }, icon(sign, { small: true }), state === "reading" && pages ? pages : t(SAID[state]));
}
