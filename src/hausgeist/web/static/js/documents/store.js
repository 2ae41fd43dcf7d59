/** The page of one collection: what it is called, what is going on in it, the part for asking and the part for its files. */

import { all, ask, get, post, project, remove } from "../api.js";
import { closeViewer, openFile } from "../citations/index.js";
import { button, find, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { t } from "../text.js";
import { mayWrite } from "../told.js";
import { complain, safely, toast } from "../toast.js";
import { Activity, failures } from "./activity.js";
import { Asking } from "./ask.js";
import { askSettings, askToErase, askToRemove } from "./dialogs.js";
import { takeDrops } from "./dropping.js";
import { chosen, sift } from "./gathering.js";
import { Progress } from "./progress.js";
import { listInSide, nameOf, stateBadge, storeOf, stores, summary } from "./stores.js";
import { FileTable } from "./table.js";
import { Uploads } from "./uploads.js";

const BATCH = 500;
const VIEWS = ["ask", "files"];
const FIRST = 200;
const LEAST_PAUSE = 2000;
/** Attributes are whatever a member of the project wrote: only an id may become part of an address. */
const FILE = /^file-[A-Za-z0-9_-]{1,100}$/;

export class StorePage {
  constructor(id) {
    this.id = id;
    this.files = [];
    this.table = new FileTable({ open: (file, opener) => openFile({ file_id: file.id, filename: file.filename }, { opener }), remove: files => this.#removeFiles(files), retry: files => this.#retry(files), download: file => this.#download(file) });
    this.activity = new Activity({ retryUploads: () => this.uploads.retry(), stop: () => this.uploads.stop() });
    this.uploads = new Uploads(id, () => this.files);
    this.uploads.addEventListener("change", () => this.activity.uploads(this.uploads));
    this.uploads.addEventListener("put", () => { this.progress.look(); this.#refresh(); });
    this.progress = new Progress(id, told => this.#heard(told), error => error.status === 404 && complain(error));
    this.asking = new Asking(() => this.store);
    this.listing = null;
    this.reason = h("div");
    this.pick = h("input", { type: "file", multiple: true, hidden: true, "aria-hidden": "true", tabindex: "-1", id: "pick-files", on: { change: () => this.take(chosen(this.pick.files), this.pick) } });
    this.pickFolder = h("input", { type: "file", webkitdirectory: true, hidden: true, "aria-hidden": "true", tabindex: "-1", id: "pick-folder", on: { change: () => this.take(chosen(this.pickFolder.files), this.pickFolder) } });
    addEventListener("beforeunload", event => this.uploads.busy && event.preventDefault());
  }

  /** Ask for what is there and show it. Of many files the first are shown at once. */
  async open() {
    const [store, found, first] = await Promise.all([storeOf(this.id), stores(), get(this.#path, { limit: String(FIRST) })]);
    this.store = store;
    this.files = first.data;
    this.others = found;
    if (first.has_more) this.#refresh();
    this.#build();
    this.#tell();
    if (store.file_counts.in_progress) this.progress.look();
    this.#clearReplaced();
    await this.asking.begin();
  }

  get #path() {
    return `/house/v1/stores/${encodeURIComponent(this.id)}/files`;
  }

  #build() {
    this.heading = h("h1", {}, h("bdi", {}));
    this.line = h("p", { class: "soft store-line" });
    this.add = button(t("documents.add_files"), { icon: "upload", kind: "primary-action", on: () => this.pick.click() });
    const more = button(t("common.more"), { icon: "more", bare: true, "aria-haspopup": "menu", "aria-expanded": "false", on: () => this.#menu(more) });
    this.tabs = Object.fromEntries(VIEWS.map(view => [view, h("button", { type: "button", role: "tab", id: `tab-${view}`, "aria-controls": `panel-${view}`, on: { click: () => this.#view(view, { push: true }) } })]));
    this.panels = {
      ask: h("section", { role: "tabpanel", id: "panel-ask", "aria-labelledby": "tab-ask" }, this.asking.element),
      files: h("section", { role: "tabpanel", id: "panel-files", "aria-labelledby": "tab-files" }, this.reason, this.#dropArea(), this.table.element),
    };
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": t("documents.views") }, Object.values(this.tabs));
    list.addEventListener("keydown", event => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = VIEWS[(VIEWS.indexOf(this.view) + 1) % VIEWS.length];
      this.#view(other, { push: true });
      this.tabs[other].focus();
    });
    put(find("#page"),
      h("a", { href: "/documents", class: "back small" }, icon("left", { small: true }), t("documents.all_collections")),
      h("header", { class: "store-head" }, h("div", {}, this.heading, this.line), h("div", { class: "row" }, mayWrite ? [this.add, more] : null)),
      list, this.panels.ask, this.panels.files, this.pick, this.pickFolder, this.activity.element);
    find("#page").classList.add("store-page");
    find("#page").dataset.store = this.id;
    addEventListener("popstate", () => this.#view(this.#wanted()));
    this.#view(this.#wanted());
    if (mayWrite) takeDrops(t("documents.drop_here"), gathered => this.take(gathered));
  }

  #wanted() {
    const view = new URLSearchParams(location.search).get("view");
    return VIEWS.includes(view) ? view : this.store.file_counts.total || new URLSearchParams(location.search).has("answer") ? "ask" : "files";
  }

  #view(view, { push = false } = {}) {
    this.view = view;
    for (const one of VIEWS) {
      this.tabs[one].setAttribute("aria-selected", String(one === view));
      this.tabs[one].tabIndex = one === view ? 0 : -1;
      this.panels[one].hidden = one !== view;
    }
    if (push) {
      const address = new URL(location.href);
      address.searchParams.set("view", view);
      history.replaceState(null, "", address);
      closeViewer({ restore: false });
      this.activity.quiet();
    }
    this.table.first = -1;
    this.table.draw();
  }

  /** What the store and its files are now, in all places that say it. */
  #tell() {
    const { store } = this;
    find("bdi", this.heading).textContent = nameOf(store);
    document.title = `${nameOf(store)} · Hausgeist`;
    put(this.line, stateBadge(store), h("span", {}, summary(store)));
    put(this.tabs.ask, t("documents.tab_ask"));
    put(this.tabs.files, t("documents.tab_files", { n: store.file_counts.total }));
    listInSide(this.others.map(one => (one.id === store.id ? store : one)), store.id);
    this.table.element.hidden = this.files.length === 0;
    this.table.take(this.files);
    put(this.reason, failures(this.files, { retry: files => this.#retry(files), show: () => this.table.only("failed") }));
    this.drop.classList.toggle("large", this.files.length === 0);
    this.asking.told();
  }

  #heard(told) {
    this.activity.reading(told, { more: this.uploads.busy });
    const counts = JSON.stringify(told.counts);
    if (counts !== this.counts) this.#refresh();
    this.counts = counts;
  }

  /** The list anew; where it is long and much happens, less often. */
  async #refresh() {
    if (this.listing) {
      this.stale = true;
      return;
    }
    this.stale = false;
    const started = performance.now();
    this.listing = Promise.all([storeOf(this.id), all(this.#path, { limit: "1000" }, { most: 200000 })]);
    try {
      [this.store, this.files] = await this.listing;
      this.#tell();
      this.#clearReplaced();
    } catch (error) {
      if (error.type !== "unreachable") complain(error);
    }
    const took = performance.now() - started;
    setTimeout(() => { this.listing = null; if (this.stale) this.#refresh(); }, this.store.file_counts.in_progress ? Math.max(LEAST_PAUSE, 5 * took) : 200);
  }

  /** The older versions of files that were sent again, once the new ones are ready; also those of a page that was closed before. */
  async #clearReplaced() {
    if (!mayWrite) return;
    for (const one of this.files.filter(file => file.status === "completed" && file.attributes.replaces && !file.attributes.machine)) {
      const { replaces, ...attributes } = one.attributes;
      try {
        if (FILE.test(replaces)) await remove(`/v1/files/${replaces}`).catch(error => { if (error.status !== 404) throw error; });
        await post(`/v1/vector_stores/${this.id}/files/${one.id}`, { attributes });
        one.attributes = attributes;
      } catch (error) {
        console.warn("an older version could not be cleared away", error);
        return;
      }
    }
  }

  #dropArea() {
    this.drop = h("div", { class: "drop", hidden: !mayWrite }, icon("upload"), h("p", { class: "drop-say" }, h("strong", {}, t("documents.drop"))), h("p", { class: "small soft" }, t("documents.drop_hint")),
      h("div", { class: "row" }, button(t("documents.choose_files"), { icon: "documents", on: () => this.pick.click() }), button(t("documents.choose_folder"), { icon: "folder", on: () => this.pickFolder.click() })));
    if (mayWrite) return this.drop;
    this.drop = h("div", { class: "empty drop-none" }, icon("documents"), h("p", {}, t("documents.empty_reader")));
    return this.drop;
  }

  /** Take what was dropped or chosen. */
  take = safely(async (gathered, input = null) => {
    const { found, unread } = await gathered;
    if (this.view !== "files") this.#view("files", { push: true });
    if (input) input.value = "";
    const { taken, left } = sift(found), before = this.uploads.busy ? this.uploads.unchanged : 0;
    if (taken.length) this.uploads.add(taken);
    this.activity.leftOut(left, unread.length, taken.length ? this.uploads.unchanged - before : 0);
    if (!taken.length && !found.length && !unread.length) toast(t("documents.nothing_dropped"));
  });

  #menu(anchor) {
    menu(anchor, [
      { label: t("documents.add_folder"), icon: "folder", run: () => this.pickFolder.click() },
      { label: t("documents.settings"), icon: "settings", run: safely(async () => { const changed = await askSettings(this.store); if (changed) { this.store = changed; this.#tell(); } }) },
      "line",
      { label: t("documents.delete"), icon: "trash", danger: true, run: safely(async () => { if (await askToErase(this.store)) location.assign("/documents"); }) },
    ]);
  }

  #retry = safely(async files => {
    for (let at = 0; at < files.length; at += BATCH) await post(`/v1/vector_stores/${this.id}/file_batches`, { files: files.slice(at, at + BATCH).map(one => ({ file_id: one.id, attributes: one.attributes })) });
    this.progress.look();
    this.#refresh();
  });

  #removeFiles = safely(async files => {
    if (!(await askToRemove(files))) return;
    const doomed = [...files], gone = new Set(), failed = [];
    this.activity.removal(0, files.length);
    const next = async () => {
      for (let one = doomed.pop(); one; one = doomed.pop()) {
        try {
          await this.#removeFile(one.id);
          gone.add(one.id);
        } catch (error) {
          failed.push(error);
        }
        this.activity.removal(gone.size + failed.length, files.length);
      }
    };
    await Promise.all([next(), next(), next(), next()]);
    if (files.some(one => gone.has(one.id))) closeViewer({ restore: false });
    this.files = this.files.filter(one => !gone.has(one.id));
    this.#tell();
    this.#refresh();
    if (gone.size) toast(t("documents.removed", { n: gone.size }));
    if (failed.length) complain(failed[0]);
    (this.files.length ? this.table.search : find("button", this.drop)).focus();
  });

  async #removeFile(id) {
    // Gone from the server, it is gone from all collections; one that was removed elsewhere may still be listed here.
    try {
      await remove(`/v1/files/${id}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      await remove(`/v1/vector_stores/${this.id}/files/${id}`).catch(other => { if (other.status !== 404) throw other; });
    }
  }

  /** As it was uploaded. A link cannot name a project, so where one was chosen the file comes through a request. */
  #download = safely(async file => {
    const path = `/v1/files/${file.id}/content`;
    const address = project() ? URL.createObjectURL(await (await ask("GET", path)).blob()) : path;
    h("a", { href: address, download: file.filename }).click();
    if (project()) setTimeout(() => URL.revokeObjectURL(address), 60000);
  });
}
