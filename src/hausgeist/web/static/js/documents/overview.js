/** The page of all collections: cards, or, where there is none, what to do first. */

import { button, find, h, icon, put } from "../dom.js";
import { t } from "../text.js";
import { mayWrite } from "../told.js";
import { safely } from "../toast.js";
import { askToCreate } from "./dialogs.js";
import { takeDrops } from "./dropping.js";
import { StorePage } from "./store.js";
import { addressOf, card, create, createDemo, listInSide, stores } from "./stores.js";

const enter = store => store && location.assign(addressOf(store));

/** What is dropped on the list becomes a collection, called as its folder. */
const bring = over => safely(async gathered => {
  const files = await gathered, first = files.found[0]?.path ?? "";
  if (!first) return;
  const store = await create(first.includes("/") ? first.split("/")[0].slice(0, 200) : "documents");
  over.abort();
  history.pushState(null, "", addressOf(store));
  const page = new StorePage(store.id);
  await page.open();
  page.take(files);
});

/** Show it. Raises ApiError. */
export async function overview() {
  const found = await stores();
  listInSide(found);
  const demo = found.some(store => store.metadata?.demo === "1" || store.name === "demo");
  const making = button(t("documents.new"), { icon: "plus", kind: "primary-action", on: safely(async () => enter(await askToCreate())) });
  if (mayWrite) {
    const over = new AbortController();
    takeDrops(t("documents.drop_new"), bring(over), { signal: over.signal });
  }
  put(find("#page"),
    h("header", {}, h("div", {}, h("h1", {}, t("common.nav_documents")), h("p", {}, t("documents.lead"))), mayWrite && found.length ? making : null),
    found.length ? h("ul", { class: "grid cards" }, found.map(card)) : first(),
    mayWrite && found.length && !demo ? h("p", { class: "soft small offer" }, t("documents.demo_lead"), " ", trying("quiet tiny")) : null);
}

function trying(kind) {
  const control = button(t("documents.demo"), { icon: "play", kind, on: safely(async () => {
    control.disabled = true;
    try {
      enter(await createDemo());
    } finally {
      control.disabled = false;
    }
  }) });
  return control;
}

function first() {
  if (!mayWrite) return h("div", { class: "empty" }, icon("documents"), h("p", {}, t("documents.none_reader")));
  const begin = button(t("documents.first"), { icon: "plus", kind: "primary-action", on: safely(async () => enter(await create("documents"))) });
  return h("div", { class: "empty first" }, icon("documents"), h("h2", {}, t("documents.none")), h("p", {}, t("documents.none_lead")), h("div", { class: "row" }, begin, trying("")));
}
