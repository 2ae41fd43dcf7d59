/** What is installed: each model with its state, and what can be done with it. */

import { get } from "../api.js";
import { button, find, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { ago, bytes, t } from "../text.js";
import { mayAdminister, mayWrite } from "../told.js";
import { actionsOf, checkUpdates, load, unload, upgrade } from "./actions.js";
import { fitOf, lookAt, paceText } from "./fits.js";
import { openModel } from "./model.js";
import { abilityName, badges, chatWith, contextOf } from "./words.js";

const EVERY_MS = 10000;
let models = null, drawn = "", outlooks = new Map(), listen = () => {};

/** The installed ones, the loaded and the lately used first. */
function sorted(found) {
  return found.sort((a, b) => Boolean(b.loaded) - Boolean(a.loaded) || (b.last_used ?? 0) - (a.last_used ?? 0) || b.modified - a.modified);
}

/** Begin to show them, and keep showing how they are. `changed(models)` hears of each new list. */
export function openLibrary(changed) {
  listen = changed;
  find("#updates")?.addEventListener("click", event => checkUpdates(event.currentTarget).then(found => { if (found) { outlooks = found; draw(true); } }));
  setInterval(() => document.visibilityState === "visible" && !document.querySelector(".menu, dialog[open]") && refresh({ quietly: true }), EVERY_MS);
  return refresh();
}

/** Ask again. */
export async function refresh({ quietly = false } = {}) {
  const list = find("#installed-list"), trouble = find("#installed-trouble");
  try {
    models = sorted((await get("/house/v1/models")).data);
  } catch (error) {
    if (quietly) return;
    put(list);
    put(trouble, h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {}, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", on: () => refresh() }))));
    return;
  }
  put(trouble);
  listen(models);
  draw();
  await lookAt(models.map(one => one.id)).then(() => draw(), () => {});
}

function draw(anew = false) {
  const list = find("#installed-list");
  const now = JSON.stringify([models, models.map(one => fitOf(one.id)), [...outlooks.values()]]);
  if (now === drawn && !anew) return;
  drawn = now;
  const focused = list.contains(document.activeElement) ? [document.activeElement.closest("li")?.dataset.model, document.activeElement.dataset.key] : null;
  put(list, models.map(row));
  if (focused) [...list.children].find(one => one.dataset.model === focused[0])?.querySelector(`[data-key="${focused[1]}"]`)?.focus();
  const only = models.every(one => !one.stored);
  find("#installed-hint").hidden = !only;
}

const told = () => refresh();

function row(one) {
  const fit = fitOf(one.id), loaded = one.loaded, outlook = outlooks.get(one.id);
  const about = [
    one.size ? bytes(one.size) : null,
    one.context ? t("models.context_of", { tokens: contextOf(one.context) }) : null,
    one.licence ? licenceShort(one.licence) : null,
    one.last_used ? t("models.used", { when: ago(one.last_used) }) : one.last_used === null ? t("models.never_used") : null,
  ].filter(Boolean).join(" · ");
  const more = button(t("models.more_for", { model: one.id }), { icon: "more", bare: true, kind: "quiet", "aria-haspopup": "menu", "aria-expanded": "false", "data-key": "more", on: event => menu(event.currentTarget, actionsOf(one, { changed: told, open: () => openModel(one, { changed: told }) })) });
  return h("li", { class: "model card", dataset: { model: one.id } },
    h("div", { class: "model-name" },
      h("h3", {}, h("button", { type: "button", class: "as-link", "data-key": "name", on: { click: () => openModel(one, { changed: told }) } }, one.id)),
      h("p", { class: "small soft" }, about),
      h("p", { class: "uses" }, badges((one.capabilities ?? []).filter(name => name !== "completion").map(abilityName)), one.pinned ? h("span", { class: "badge" }, icon("pin", { small: true }), t("models.pinned")) : null, outlookBadge(outlook))),
    h("div", { class: "model-state" }, state(one, fit)),
    h("div", { class: "model-act" },
      outlook?.outdated && mayAdminister ? button(t("models.update"), { icon: "download", kind: "tiny", "data-key": "update", on: () => upgrade(one) }) : null,
      loaded && loaded.state !== "loading" && mayWrite ? button(t("models.unload"), { icon: "stop", kind: "tiny", "data-key": "load", "aria-label": t("models.unload_named", { model: one.id }), on: event => unload(one, event.currentTarget).then(told) }) : null,
      !loaded && "loaded" in one && mayWrite ? button(t("models.load"), { icon: "play", kind: "tiny", "data-key": "load", "aria-label": t("models.load_named", { model: one.id }), on: event => load(one, event.currentTarget).then(told) }) : null,
      talks(one) ? h("a", { class: "button tiny", href: chatWith(one.id), "data-key": "chat", "aria-label": t("models.chat_with", { model: one.id }) }, icon("chat", { small: true }), t("models.chat")) : null,
      more));
}

const talks = one => !one.capabilities || one.capabilities.includes("completion");

/** The first line of it: some are whole texts. */
export const licenceShort = text => {
  const line = text.trim().split("\n")[0].trim();
  return line.length > 40 ? `${line.slice(0, 39)}…` : line;
};

function outlookBadge(outlook) {
  if (!outlook) return null;
  if (outlook.error) return h("span", { class: "badge warn", title: outlook.error }, icon("warning", { small: true }), t("models.update_unknown"));
  return outlook.outdated ? h("span", { class: "badge accent" }, icon("download", { small: true }), t("models.update_there")) : h("span", { class: "badge good" }, icon("check", { small: true }), t("models.up_to_date"));
}

/** What it takes: measured while it is in memory, else what was reckoned. */
function state(one, fit) {
  const loaded = one.loaded;
  const predicted = loaded?.predicted ?? (fit && !fit.error ? fit.total_bytes : null);
  if (loaded) {
    return [
      h("span", { class: "badge good" }, icon(loaded.state === "loading" ? "clock" : "check", { small: true }), loaded.state === "loading" ? t("models.loading_now") : loaded.active ? t("models.answering", { n: loaded.active }) : t("models.loaded")),
      h("span", { class: "small soft" }, loaded.memory ? t("models.memory_measured", { size: bytes(loaded.memory, { memory: true }) }) : "", predicted ? ` ${t("models.memory_predicted_short", { size: bytes(predicted, { memory: true }) })}` : ""),
    ];
  }
  return [
    predicted && fit?.fits === false ? h("span", { class: "badge bad" }, icon("close", { small: true }), t("models.fit_no")) : null,
    predicted ? h("span", { class: "small soft" }, t("models.memory_predicted", { size: bytes(predicted, { memory: true }) })) : null,
    fit ? h("span", { class: "small soft" }, paceText(fit)) : null,
  ];
}
