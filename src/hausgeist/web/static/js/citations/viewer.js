/**
 * The viewer: a page of a file beside what is being read, with the passage marked, and the way from one citation to the next. On wide screens a column
 * of the frame, on narrow ones a sheet over all of it.
 */

import { button, find, h, put } from "../dom.js";
import { t } from "../text.js";
import { boxesOf, pagesOf, pictureOf } from "./files.js";
import { placeOf, verdict } from "./places.js";
import { reading } from "./reading.js";
import { sheet, widthFor } from "./sheet.js";

const ZOOMS = [1, 1.25, 1.5, 2, 3];
const wide = matchMedia("(min-width: 64rem)");

let viewer = null;

/** Open the viewer at a citation of a list. `opener`: gets the focus back when it is closed. */
export function openCitation(list, index, { opener = document.activeElement } = {}) {
  viewer ??= new Viewer();
  return viewer.open({ list, index, opener });
}

/** Open the viewer at a page of a file. */
export function openFile(file, { page = 1, opener = document.activeElement } = {}) {
  viewer ??= new Viewer();
  return viewer.open({ list: [{ ...file, page }], index: 0, opener, single: true });
}

/** Close it, where it is open. */
export function closeViewer({ restore = true } = {}) {
  viewer?.close({ restore });
}

class Viewer {
  constructor() {
    this.title = h("bdi", {});
    this.place = h("p", { class: "viewer-place small soft" });
    this.status = h("p", { class: "visually-hidden", role: "status" });
    this.stage = h("div", { class: "viewer-stage", tabindex: "0", role: "group" });
    this.count = h("span", { class: "viewer-count" });
    this.previous = button(t("citations.previous"), { icon: "left", bare: true, kind: "quiet tiny", on: () => this.go(-1) });
    this.next = button(t("citations.next"), { icon: "right", bare: true, kind: "quiet tiny", on: () => this.go(1) });
    this.walk = h("div", { class: "viewer-walk", role: "group", "aria-label": t("citations.citations") }, this.previous, this.count, this.next);
    this.pageCount = h("span", { class: "viewer-count" });
    this.back = button(t("citations.page_before"), { icon: "up", bare: true, kind: "quiet tiny", on: () => this.turn(-1) });
    this.forth = button(t("citations.page_after"), { icon: "down", bare: true, kind: "quiet tiny", on: () => this.turn(1) });
    this.turning = h("div", { class: "viewer-walk", role: "group", "aria-label": t("citations.pages") }, this.back, this.pageCount, this.forth);
    this.smaller = button(t("citations.smaller"), { icon: "minus", bare: true, kind: "quiet tiny", on: () => this.scale(-1) });
    this.larger = button(t("citations.larger"), { icon: "plus", bare: true, kind: "quiet tiny", on: () => this.scale(1) });
    this.zooming = h("div", { class: "viewer-walk", role: "group", "aria-label": t("citations.zoom") }, this.smaller, this.larger);
    this.asText = button(t("citations.text"), { kind: "quiet tiny", "aria-pressed": "false", on: () => { this.text = !this.text; this.show(); } });
    this.element = h("section", { class: "viewer", "aria-label": t("citations.viewer") },
      h("header", {}, h("div", { class: "viewer-name" }, h("h2", { tabindex: "-1" }, this.title), this.place), button(t("common.close"), { icon: "close", bare: true, kind: "quiet", on: () => this.close() })),
      h("div", { class: "viewer-tools" }, this.walk, this.turning, this.zooming, this.asText),
      this.stage, this.status);
    this.element.addEventListener("keydown", event => this.key(event));
    this.host = null;
    this.zoom = 1;
    this.text = false;
    this.turnNumber = 0;
    wide.addEventListener("change", () => this.host && this.lay());
    this.width = 0;
    new ResizeObserver(() => this.resized()).observe(this.stage);
  }

  async open({ list, index, opener, single = false }) {
    this.list = list;
    this.index = index;
    this.single = single;
    this.opener = opener;
    if (!this.host) this.lay();
    await this.arrive();
    this.stage.focus({ preventScroll: true });
  }

  /** Put it where there is room. */
  lay() {
    this.lift();
    if (wide.matches) {
      this.host = h("aside", { class: "viewer-column", "aria-label": t("citations.viewer") }, this.element);
      find(".app").append(this.host);
      find(".app").classList.add("with-viewer");
    } else {
      this.host = h("dialog", { class: "viewer-over", "aria-label": t("citations.viewer") }, this.element);
      this.host.addEventListener("cancel", event => { event.preventDefault(); this.close(); });
      document.body.append(this.host);
      this.host.showModal();
    }
  }

  lift() {
    this.host?.close?.();
    this.host?.remove();
    this.host = null;
    find(".app").classList.remove("with-viewer");
  }

  close({ restore = true } = {}) {
    if (!this.host) return;
    this.lift();
    this.turnNumber += 1;
    put(this.stage);
    this.here(null);
    if (restore && this.opener?.isConnected) this.opener.focus();
  }

  get one() {
    return this.list[this.index];
  }

  places() {
    return this.list.map((one, place) => (one.file_id ? place : -1)).filter(place => place >= 0);
  }

  go(way) {
    const places = this.places(), next = places[places.indexOf(this.index) + way];
    if (next === undefined) return;
    this.index = next;
    this.arrive();
  }

  turn(way) {
    const number = this.page + way;
    if (!this.told?.pages.some(page => page.number === number)) return;
    this.page = number;
    this.show({ turned: true });
  }

  scale(way) {
    this.zoom = ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, ZOOMS.indexOf(this.zoom) + way))];
    this.show();
  }

  /** At a citation: ask what is not known of it, then show it. */
  async arrive() {
    const one = this.one, turn = (this.turnNumber += 1);
    this.here(this.index);
    this.name();
    try {
      const passage = Number.isInteger(one.start) && Number.isInteger(one.end);
      const [told, boxes] = await Promise.all([pagesOf(one.file_id), one.boxes ?? (passage ? boxesOf(one.file_id, one.start, one.end) : [])]);
      if (turn !== this.turnNumber) return;
      this.told = told;
      this.boxes = boxes;
      this.passage = passage ? { start: one.start, end: one.end } : null;
      this.page = boxes[0]?.page ?? pageAt(told.pages, one.start) ?? one.page ?? 1;
      await this.show();
      this.foresee();
    } catch (error) {
      if (turn === this.turnNumber) this.fail(error);
    }
  }

  /** The page of the next citation, before it is asked for. */
  async foresee() {
    const places = this.places(), next = this.list[places[places.indexOf(this.index) + 1]];
    if (this.single || this.text || !next) return;
    try {
      const told = await pagesOf(next.file_id), page = next.boxes?.[0]?.page ?? next.page;
      if (told.pictures && page) await pictureOf(next.file_id, page, widthFor(this.stage.clientWidth * Math.min(devicePixelRatio || 1, 2)));
    } catch {
      // It will be said when it is looked at.
    }
  }

  name() {
    const one = this.one, said = verdict(one), places = this.places();
    this.title.textContent = one.filename ?? "";
    put(this.place, said ? h("span", { class: `verdict ${said.kind}` }, said.words) : null);
    this.place.hidden = !said;
    this.walk.hidden = this.single || places.length < 2;
    const at = places.indexOf(this.index);
    this.count.textContent = t("citations.of", { at: at + 1, of: places.length });
    this.previous.disabled = at <= 0;
    this.next.disabled = at >= places.length - 1;
    this.status.textContent = this.single ? one.filename : [t("citations.at", { at: at + 1, of: places.length }), placeOf(one), said?.words].filter(Boolean).join(". ");
  }

  /** The page or the text, as chosen. */
  async show({ turned = false } = {}) {
    const turn = (this.turnNumber += 1), { told } = this;
    const page = told.pages.find(one => one.number === this.page) ?? told.pages[0] ?? null;
    const pictures = told.pictures && told.pages.length > 0, text = this.text || !pictures;
    this.asText.hidden = !pictures;
    this.asText.setAttribute("aria-pressed", String(text));
    this.zooming.hidden = text;
    this.smaller.disabled = this.zoom === ZOOMS[0];
    this.larger.disabled = this.zoom === ZOOMS.at(-1);
    this.turning.hidden = told.pages.length < 2;
    this.back.disabled = page === told.pages[0];
    this.forth.disabled = page === told.pages.at(-1);
    put(this.pageCount, page?.label ? h("bdi", { class: "viewer-label", title: page.label }, page.label) : t("citations.page_of", { page: page?.number ?? 1, of: told.pages.length }));
    const name = t("citations.page_name", { page: page?.label || String(page?.number ?? 1), file: this.one.filename ?? "" });
    this.stage.setAttribute("aria-label", this.passage && this.one.quote ? `${name}. ${t("citations.marked", { quote: this.one.quote.slice(0, 300) })}` : name);
    if (turned) this.status.textContent = name;
    let shown;
    try {
      shown = text
        ? await reading(this.one.file_id, { characters: told.characters, from: page?.start ?? 0, to: page ? page.end : told.characters, passage: this.passage })
        : sheet(this.one.file_id, page, { boxes: this.boxes, zoom: this.zoom, width: this.stage.clientWidth, name });
    } catch (error) {
      if (turn === this.turnNumber) this.fail(error);
      return;
    }
    if (turn !== this.turnNumber) return;
    put(this.stage, shown);
    this.stage.scrollTo(0, 0);
    const mark = find(".page-mark, .text-mark", shown);
    if (mark) this.toMark(mark);
  }

  toMark(mark) {
    const at = mark.getBoundingClientRect(), around = this.stage.getBoundingClientRect();
    const top = at.top - around.top, left = at.left - around.left;
    this.stage.scrollTo({ top: Math.max(0, top - this.stage.clientHeight / 3), left: left + at.width > this.stage.clientWidth ? Math.max(0, left - 24) : 0 });
  }

  fail(error) {
    if (error.name === "AbortError") return;
    this.turning.hidden = this.zooming.hidden = this.asText.hidden = true;
    put(this.stage, h("div", { class: "page-failed", role: "alert" }, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", on: () => this.arrive() })));
  }

  /** The mark of the citation that is shown, in the text and in the list. */
  here(index) {
    for (const one of document.querySelectorAll("[data-citation], [data-source]")) {
      const current = index !== null && !this.single && Number(one.dataset.citation ?? one.dataset.source) === index && within(one, this.opener);
      current ? one.setAttribute("aria-current", "true") : one.removeAttribute("aria-current");
      if (current && one.dataset.citation && wide.matches) one.scrollIntoView({ block: "nearest" });
    }
  }

  /** A picture for another width is asked for when the viewer has become half as wide again. */
  resized() {
    const width = this.stage.clientWidth;
    if (this.host && width > this.width * 1.5 && this.width > 0) this.show();
    this.width = width;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.target.closest("input, select")) return;
    const acts = { n: () => this.go(1), p: () => this.go(-1), PageDown: () => this.turn(1), PageUp: () => this.turn(-1), "+": () => this.scale(1), "-": () => this.scale(-1), Escape: () => this.close() };
    if (this.zoom === 1 || this.text) Object.assign(acts, { ArrowRight: () => this.go(1), ArrowLeft: () => this.go(-1) });
    const act = acts[event.key];
    if (!act || (this.single && ["n", "p", "ArrowRight", "ArrowLeft"].includes(event.key))) return;
    event.preventDefault();
    act();
  }
}

/** Marks of another answer on the same page have the same numbers: those count that share an answer with what was used. */
function within(mark, opener) {
  const answer = opener?.closest?.("[data-answer]");
  return !answer || answer.contains(mark);
}

function pageAt(pages, character) {
  return character === undefined || character === null ? null : pages.findLast(page => page.start <= character)?.number;
}
