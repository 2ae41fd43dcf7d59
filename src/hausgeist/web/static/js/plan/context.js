/** The length of the context: a slider over powers of two, beside a field for any other number. */

import { h } from "../dom.js";
import { t } from "../text.js";

const SHORTEST = 9, LONGEST = 20; // Powers of two: 512 to a million.
const A_PAGE = 650; // Tokens of a page of text, about.
const USUAL_LONGEST = 131072;

/** `set(value)`: what was typed or slid to. */
export function contextField(question, known, set) {
  const hint = h("span", { class: "hint", id: "plan-context-hint" });
  const slider = h("input", { name: "context-slider", type: "range", min: String(SHORTEST), step: "1", "aria-label": t("plan.context_slider") });
  const input = h("input", { id: "plan-context", name: "context", type: "text", inputmode: "numeric", maxlength: "20", "aria-describedby": hint.id });
  const label = h("label", { for: input.id }, t("plan.context"));
  const element = h("div", { class: "field", dataset: { of: "context" } }, label, h("div", { class: "slid" }, slider, input), hint);

  const longest = () => Math.max(...known.models.filter(one => question.model.includes(one.name)).map(one => one.context ?? 0), 0) || USUAL_LONGEST;
  const size = () => {
    const match = /^(\d+)\s*([km]?)$/i.exec(question.context);
    return match ? Number(match[1]) * { "": 1, k: 1024, m: 2 ** 20 }[match[2].toLowerCase()] : 0;
  };
  function describe() {
    const usual = (question.for && known.contexts?.[question.for]) || known.usual_context, there = size() || usual;
    slider.max = String(Math.max(Math.min(LONGEST, Math.ceil(Math.log2(longest()))), SHORTEST + 1));
    slider.value = String(Math.round(Math.log2(there)));
    slider.setAttribute("aria-valuetext", t("plan.tokens", { n: there }));
    hint.textContent = t("plan.pages", { n: Math.max(1, Math.round(there / A_PAGE)) });
    input.placeholder = String(usual);
  }
  slider.addEventListener("input", () => {
    input.value = String(2 ** Number(slider.value));
    set(input.value);
    describe();
  });
  input.addEventListener("input", () => {
    set(input.value.trim());
    describe();
  });
  return { element, input, describe };
}
