/** One installed model: all that is known of it, its versions, and what can be done. */

import { dialog } from "../dialog.js";
import { button, h, icon } from "../dom.js";
import { ago, bytes, duration, number, t, when } from "../text.js";
import { actionsOf } from "./actions.js";
import { fitBadge, fitOf, paceText } from "./fits.js";
import { abilityName, chatWith, facts } from "./words.js";

/** Open the dialog. */
export function openModel(one, { changed }) {
  const fit = fitOf(one.id), loaded = one.loaded, known = fit && !fit.error;
  const predicted = loaded?.predicted ?? (known ? fit.total_bytes : null);
  const licence = one.licence.trim(), long = licence.includes("\n") || licence.length > 60;
  const shown = dialog(one.id, [
    facts([
      [t("models.memory"), memory(loaded, predicted)],
      [t("models.runs"), known ? [fitBadge(fit), " ", paceText(fit)] : null],
      [t("models.state"), loaded ? [t("models.loaded"), loaded.until ? ` – ${t("models.stays_for", { time: duration(Math.max(0, loaded.until - Date.now() / 1000)) })}` : ""] : "loaded" in one ? t("models.not_loaded") : null],
      [t("models.requests"), loaded ? t("models.slots", { active: loaded.active, slots: loaded.slots, waiting: loaded.waiting }) : null],
      [t("models.context"), one.context ? t("models.tokens", { n: one.context }) : null],
      [t("models.can"), one.capabilities?.length ? one.capabilities.map(abilityName).join(", ") : null],
      [t("models.size"), bytes(one.size)],
      [t("models.last_used"), one.last_used ? ago(one.last_used) : null],
      [t("models.installed_on"), when(one.modified)],
      [t("models.licence"), long ? h("details", {}, h("summary", {}, licence.split("\n")[0].slice(0, 60)), h("pre", { class: "licence", tabindex: "0" }, licence)) : licence],
      [t("models.source"), one.source],
      [t("models.reference"), one.reference ? h("code", {}, one.reference) : null],
      [t("models.digest"), h("code", {}, one.digest.slice(0, 12))],
      [t("models.engine"), one.engine],
    ]),
    one.before.length ? [h("h3", {}, t("models.versions")), h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": t("models.versions") }, h("table", {},
      h("thead", {}, h("tr", {}, [t("models.version"), t("models.installed_on"), t("models.replaced_on"), t("models.size")].map(name => h("th", { scope: "col" }, name)))),
      h("tbody", {}, h("tr", {}, h("td", {}, h("code", {}, one.digest.slice(0, 12)), " ", h("span", { class: "badge good" }, t("models.in_use"))), h("td", {}, when(one.modified)), h("td", {}, "–"), h("td", {}, bytes(one.size))),
        one.before.map(version => h("tr", {}, h("td", {}, h("code", {}, version.digest.slice(0, 12))), h("td", {}, when(version.installed)), h("td", {}, when(version.replaced)), h("td", {}, bytes(version.size)))))))] : null,
  ], { wide: true, actions: [
    ...actionsOf(one, { changed, open: () => {} }).filter(action => action !== "line" && action.icon !== "info").map(action => button(action.label, { icon: action.icon, kind: action.danger ? "danger" : "", on: () => { shown.close(); action.run(); } })),
    h("a", { class: "button primary-action", href: chatWith(one.id) }, icon("chat"), t("models.chat")),
  ] });
  return shown;
}

function memory(loaded, predicted) {
  const measured = loaded?.memory ? bytes(loaded.memory, { memory: true }) : null, reckoned = predicted ? bytes(predicted, { memory: true }) : null;
  if (measured && reckoned) return t("models.memory_both", { measured, predicted: reckoned, off: number((predicted / loaded.memory - 1) * 100, 1) });
  return measured ? t("models.memory_measured", { size: measured }) : reckoned ? t("models.memory_predicted", { size: reckoned }) : null;
}
