/** One model of the catalogue: what it is, what each precision would mean here, and why one of them is proposed. */

import { dialog } from "../dialog.js";
import { button, h, icon, put } from "../dom.js";
import { bytes, day, t } from "../text.js";
import { complain } from "../toast.js";
import { mayAdminister } from "../told.js";
import { fitBadge, kindOf, paceText, precisionsOf } from "./fits.js";
import { startPull } from "./pulls.js";
import { chatWith, commercialText, facts, parameters, useName, warning } from "./words.js";

const COMPLETE = ["unsloth", "bartowski", "mradermacher", "lmstudio-community"];
/** Who publish nearly every precision. */

/** By which name a precision is pulled; null: nobody is known who has it. */
function nameOf(entry, precision) {
  if (precision === entry.precision) return entry.name;
  const hubs = entry.install.filter(one => one.startsWith("hf.co/")).map(one => one.replace(/:[^/]*$/, ""));
  const found = hubs.find(one => COMPLETE.includes(one.split("/")[1])) ?? hubs[0];
  return found ? `${found}:${precision}` : null;
}

function why(precision, one, usual) {
  const bits = Number(/\d+/.exec(precision)?.[0] ?? 16);
  if (!one || kindOf(one) === "no") return t("models.why_none");
  if (bits >= 8) return t("models.why_eight", { precision });
  if (bits > 4) return t("models.why_between", { precision });
  if (bits === 4) return t(one.placed === "offload" ? "models.why_four_part" : "models.why_four", { precision });
  return t("models.why_fewer", { precision, usual });
}

/** A date, as far as it is known. */
const released = date => (/^\d{4}-\d\d-\d\d$/.test(date) ? day(Date.parse(`${date}T12:00`) / 1000) : date);

/** Open the dialog. */
export function openEntry(entry, { installed = false } = {}) {
  const table = h("div", { class: "precisions" }, h("div", { class: "row soft" }, h("span", { class: "spinner" }), t("common.loading")));
  const active = entry.active_parameters && entry.active_parameters < entry.parameters * 0.8 ? ` (${t("models.active", { count: parameters(entry.active_parameters) })})` : "";
  const shown = dialog(entry.title, [
    facts([
      [t("models.name"), h("code", {}, entry.name)],
      [t("models.maker"), entry.maker],
      [t("models.parameters"), parameters(entry.parameters) + active],
      [t("models.context"), t("models.tokens", { n: entry.context })],
      [t("models.good_for"), entry.use.map(useName).join(", ")],
      [t("models.licence"), `${entry.licence} – ${commercialText(entry)}`],
      [t("models.released"), released(entry.released)],
    ]),
    h("h3", {}, t("models.on_this_machine")), table,
    h("details", { class: "small" }, h("summary", {}, t("models.sources")),
      facts([[t("models.also_called"), entry.aliases.join(", ")], [t("models.installs_from"), entry.install.join(", ")], ...Object.entries(entry.sources).map(([name, from]) => [name, from])])),
  ], { wide: true, actions: [
    h("a", { class: "button", href: `/plan?model=${encodeURIComponent(entry.name)}` }, icon("plan"), t("models.plan_it")),
    installed ? h("a", { class: "button primary-action", href: chatWith(entry.name) }, icon("chat"), t("models.chat"))
      : mayAdminister ? button(t("models.install"), { icon: "download", kind: "primary-action", on: event => get(entry.name, event.currentTarget) }) : null,
  ] });

  async function get(name, pressed) {
    pressed.disabled = true;
    try {
      await startPull(name);
      shown.close();
    } catch (error) {
      pressed.disabled = false;
      complain(error);
    }
  }

  async function load() {
    try {
      const answer = await precisionsOf(entry.name);
      const chosen = answer.data.find(one => one.precision === answer.chosen);
      put(table, answer.chosen && answer.data.length > 1 ? h("p", {}, h("strong", {}, `${t("models.proposed")}: `), why(answer.chosen, chosen, entry.precision)) : null,
        h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": t("models.precisions") }, h("table", {},
          h("thead", {}, h("tr", {}, [t("models.precision"), t("models.fit_and_speed"), t("models.download"), t("models.memory")].map((name, place) => h("th", { scope: "col", class: place > 1 ? "number" : null }, name)), mayAdminister ? h("td", {}) : null)),
          h("tbody", {}, answer.data.map(one => line(one, answer.chosen))))),
        h("p", { class: "small soft" }, t("models.reckoned", { machine: answer.machine.title, n: answer.data[0]?.context ?? 8192 })));
    } catch (error) {
      put(table, warning(error.message, "bad"), button(t("common.retry"), { icon: "retry", on: load }));
    }
  }

  function line(one, chosen) {
    const name = nameOf(entry, one.precision);
    return h("tr", {},
      h("th", { scope: "row" }, h("code", {}, one.precision), one.precision === chosen ? h("div", {}, h("span", { class: "badge accent" }, icon("check", { small: true }), t("models.proposed"))) : null),
      h("td", {}, fitBadge(one), h("div", { class: "small soft" }, paceText(one), one.placed === "offload" ? ` · ${t("models.layers", { some: one.gpu_layers, all: one.layers })}` : "")),
      h("td", { class: "number" }, bytes(one.weights_bytes)),
      h("td", { class: "number" }, bytes(one.total_bytes, { memory: true })),
      mayAdminister ? h("td", {}, name ? button(t("models.install"), { kind: "tiny", "aria-label": t("models.install_named", { name: `${entry.title} ${one.precision}` }), on: event => get(name, event.currentTarget) }) : null) : null);
  }

  load();
  return shown;
}

