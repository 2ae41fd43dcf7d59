/** The collections of the project: asked for, listed in the side, shown as cards; made and removed. */

import { all, get, post, remove } from "../api.js";
import { find, h, icon, put } from "../dom.js";
import { ago, bytes, t } from "../text.js";

/** All of them, those used last first. */
export async function stores() {
  return (await all("/v1/vector_stores", { limit: "100" })).sort((a, b) => b.last_active_at - a.last_active_at);
}

export const nameOf = store => store.name || t("documents.unnamed");
export const addressOf = store => `/documents/${encodeURIComponent(store.id)}`;

/** Make one. */
export const create = (name, more = {}) => post("/v1/vector_stores", { name, ...more });

/** The papers of a company that does not exist, as a collection. */
export const createDemo = () => post("/house/v1/stores/demo");

/** In the side, with the one that is open. */
export function listInSide(found, open = "") {
  const side = find("#collections");
  put(side, found.map(store => h("li", {}, h("a", { href: addressOf(store), "aria-current": store.id === open ? "page" : null }, icon("folder", { small: true }), h("bdi", { class: "label" }, nameOf(store))))));
  find("#collections-heading").hidden = found.length === 0;
}

/** A badge with the state in words. */
export function stateBadge(store) {
  const { in_progress: reading, failed } = store.file_counts;
  if (store.status === "expired") return h("span", { class: "badge warn" }, icon("clock", { small: true }), t("documents.expired"));
  if (reading) return h("span", { class: "badge accent" }, icon("clock", { small: true }), t("documents.reading_files", { n: reading }));
  if (failed) return h("span", { class: "badge warn" }, icon("warning", { small: true }), t("documents.failed_files", { n: failed }));
  if (store.file_counts.total) return h("span", { class: "badge good" }, icon("check", { small: true }), t("documents.ready"));
  return h("span", { class: "badge" }, t("documents.nothing_in_it"));
}

/** What is in it, in a line. */
export function summary(store) {
  return [t("documents.files", { n: store.file_counts.total }), store.usage_bytes ? t("documents.text_size", { size: bytes(store.usage_bytes) }) : "", t("documents.used", { when: ago(store.last_active_at) })].filter(Boolean).join(" · ");
}

/** A collection as a card. */
export function card(store) {
  return h("li", { class: "card store-card" }, h("h2", {}, h("a", { href: addressOf(store) }, icon("folder"), h("bdi", {}, nameOf(store)))), h("p", { class: "small soft" }, summary(store)), h("p", {}, stateBadge(store)));
}

/**
 * Remove a collection, and, if wished, its files from the server: all but those that another collection holds, too. `heard(done, of)`.
 * Text, passages and vectors are erased with it.
 */
export async function erase(store, { files: away, heard = () => {} }) {
  const doomed = away ? await only(store) : [];
  await remove(`/v1/vector_stores/${store}`);
  let done = 0;
  const next = async () => {
    for (let file = doomed.pop(); file; file = doomed.pop()) {
      await remove(`/v1/files/${file}`).catch(error => { if (error.status !== 404) throw error; });
      heard((done += 1), done + doomed.length);
    }
  };
  await Promise.all([next(), next(), next(), next()]);
}

async function only(store) {
  const ids = async one => (await all(`/house/v1/stores/${one}/files`, { limit: "1000" }, { most: 200000 })).map(file => file.id);
  const [own, others] = await Promise.all([ids(store), stores().then(found => Promise.all(found.filter(one => one.id !== store && one.file_counts.total).map(one => ids(one.id))))]);
  const kept = new Set(others.flat());
  return own.filter(file => !kept.has(file));
}

/** One of them. Raises ApiError. */
export const storeOf = id => get(`/v1/vector_stores/${encodeURIComponent(id)}`);
