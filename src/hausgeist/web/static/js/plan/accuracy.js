/** How true predictions were on this machine: all its loads, for those who may see them. Asked for when it is opened. */

import { get } from "../api.js";
import { button, h, put } from "../dom.js";
import { number, percent, t, when } from "../text.js";
import { table } from "./table.js";
import { memory } from "./words.js";

const SHOWN = 200;
const signed = value => (value === null || value === undefined ? "–" : `${value > 0 ? "+" : ""}${percent(value, 1)}`);

export function accuracyPart() {
  const content = h("div", { "aria-live": "polite" });
  const element = h("details", { class: "card part no-print accuracy" }, h("summary", {}, h("h2", {}, t("plan.accuracy"))), content);
  async function load() {
    put(content, h("p", { class: "soft" }, t("common.loading")));
    try {
      show((await get("/house/v1/plan", { accuracy: "yes" })).accuracy ?? null);
    } catch (error) {
      put(content, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", on: load }));
    }
  }
  function show(known) {
    if (!known?.loads?.length) return put(content, h("p", {}, t("plan.accuracy_none")));
    const spread = (name, one) => (one.loads ? [h("dt", {}, name), h("dd", {}, t("plan.accuracy_spread", { n: one.loads, median: percent(one.median_error, 1), worst: signed(one.worst_error), model: one.worst_model ?? "" }))] : null);
    const head = [t("plan.model"), t("plan.figures_date"), t("plan.context"), t("plan.slots"), t("plan.measured"), t("plan.arithmetic"), t("plan.fit_pass")];
    const cells = one => [one.model, when(one.at), number(one.context), number(one.slots), one.measured_bytes ? memory(one.measured_bytes) : "–", signed(one.arithmetic_error), signed(one.fit_error)];
    const rows = known.loads.slice(0, SHOWN).map(cells);
    return put(content, h("p", { class: "soft" }, t("plan.accuracy_lead")),
      h("dl", { class: "explained" }, spread(t("plan.arithmetic"), known.arithmetic), spread(t("plan.fit_pass"), known.fit)),
      table(t("plan.accuracy"), head, rows, { words: [1], kind: "small" }));
  }
  element.addEventListener("toggle", () => element.open && !content.firstChild && load());
  return element;
}
