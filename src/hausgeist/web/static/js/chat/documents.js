/** Documents in a chat: which stores are asked, and where an answer's quotations stand. */

import { all, get } from "../api.js";
import { dialog } from "../dialog.js";
import { button, h, icon } from "../dom.js";
import { t } from "../text.js";
import { complain } from "../toast.js";
import { told } from "../told.js";

const MOST_RESULTS = 8;

/** The stores that the settings of a chat name. */
export const storesOf = settings => settings.tools?.find(tool => tool.type === "file_search")?.vector_store_ids ?? [];

/** Settings with these stores in place of those. */
export function withStores(settings, ids) {
  const others = (settings.tools ?? []).filter(tool => tool.type !== "file_search");
  const tools = ids.length ? [...others, { type: "file_search", vector_store_ids: ids, max_num_results: MOST_RESULTS }] : others;
  const { tools: _, ...rest } = settings;
  return tools.length ? { ...rest, tools } : rest;
}

export class Documents {
  /** `page`: chat(), change(fields), redraw() the chips. */
  constructor(page) {
    this.page = page;
    this.names = new Map();
  }

  async load() {
    const stores = await all("/v1/vector_stores", { limit: 100 });
    for (const one of stores) this.names.set(one.id, one);
    return stores;
  }

  /** The names of the stores that this chat asks, for its chips. */
  async named() {
    const ids = storesOf(this.page.chat().settings);
    if (ids.every(id => this.names.has(id))) return;
    await this.load().catch(() => {});
    this.page.redraw();
  }

  chips() {
    return storesOf(this.page.chat().settings).map(id => {
      const name = this.names.get(id)?.name || t("chat.documents");
      return h("li", { class: "chip store" }, icon("folder", { small: true }), h("bdi", { class: "chip-name" }, name),
        button(t("chat.take_off", { name }), { icon: "close", bare: true, kind: "quiet tiny", on: () => this.#toggle(id) }));
    });
  }

  #toggle(id) {
    const { settings } = this.page.chat(), now = storesOf(settings);
    this.page.change({ settings: withStores(settings, now.includes(id) ? now.filter(other => other !== id) : [...now, id]) });
    this.page.redraw();
  }

  add(id) {
    if (!storesOf(this.page.chat().settings).includes(id)) this.#toggle(id);
  }

  /** Choose the stores that are asked. */
  async choose() {
    let stores = [];
    try {
      stores = await this.load();
    } catch (error) {
      return complain(error);
    }
    const chosen = new Set(storesOf(this.page.chat().settings));
    const rows = stores.map(one => h("label", { class: "check store-choice" }, h("input", { type: "checkbox", value: one.id, checked: chosen.has(one.id), on: { change: event => (event.target.checked ? chosen.add(one.id) : chosen.delete(one.id)) } }),
      h("span", {}, h("bdi", {}, one.name || t("chat.documents")), h("span", { class: "small soft store-files" }, t("chat.files", { n: one.file_counts.completed })))));
    const done = button(t("chat.use_these"), { kind: "primary-action" });
    const shown = dialog(t("chat.ask_documents"), stores.length
      ? [h("p", { class: "soft" }, t("chat.ask_documents_hint")), h("div", { class: "stack tight" }, rows)]
      : h("div", { class: "empty" }, icon("documents"), h("p", {}, t("chat.no_documents")), h("a", { class: "button", href: "/documents" }, t("chat.to_documents"))),
    { actions: stores.length ? [done] : [] });
    done.addEventListener("click", () => shown.close(true));
    if (await shown.closed) {
      const { settings } = this.page.chat();
      this.page.change({ settings: withStores(settings, stores.map(one => one.id).filter(id => chosen.has(id))) });
      this.page.redraw();
    }
    return undefined;
  }
}

const known = new Map();

async function citationsOf(response) {
  if (!known.has(response)) known.set(response, get(`/house/v1/responses/${response}/citations`).catch(error => { known.delete(response); throw error; }));
  return known.get(response);
}

/** The viewer of pages is loaded with the first citation that is opened. */
async function viewer() {
  if (!("citations.place" in told.texts)) return null;
  const style = new URL("../../css/citations.css", import.meta.url).href;
  if (![...document.styleSheets].some(one => one.href === style)) document.head.append(h("link", { rel: "stylesheet", href: style }));
  return import("../citations/index.js");
}

/** Show where a citation stands. `cite`: {annotation, response, place}: the place-th file that the response names. */
export async function openCite(cite, opener) {
  try {
    const { data } = await citationsOf(cite.response);
    const named = data.filter(one => one.file_id !== null);
    const at = named[cite.place] ? cite.place : named.findIndex(other => other.file_id === cite.annotation.file_id);
    const pages = at < 0 ? null : await viewer();
    if (pages) pages.openCitation(named, at, { opener });
    else quote(named[at] ?? { ...cite.annotation, quote: "", page: null, verified: false });
  } catch (error) {
    complain(error);
  }
}

function quote(one) {
  const place = one.page ? t("chat.page_of", { page: one.page, name: one.filename }) : one.filename;
  dialog(t("chat.cited"), [
    h("p", { class: "row" }, icon("documents", { small: true }), h("bdi", {}, place)),
    one.quote ? h("blockquote", { class: "quotation" }, one.quote) : null,
    h("p", { class: "row" }, h("span", { class: one.verified ? "badge good" : "badge warn" }, icon(one.verified ? "check" : "warning", { small: true }), t(one.verified ? "chat.verified" : "chat.unverified"))),
  ]);
}
