/** A field that finds one of many by what one types, by the pattern of WAI-ARIA: arrows move, Enter takes, Escape leaves it as it was. */

import { h, icon, put } from "../dom.js";
import { t } from "../text.js";

const SHOWN = 60;
let boxes = 0;

/**
 * `options()`: [{value, label, note, words}]. `take(value)` is called with what was chosen, or, where `free`, with what was typed. `shown()`: what stands in the field at rest.
 */
export function combobox(label, { options, take, shown = () => "", free = false, hint = "", placeholder = "", name, mark: sign = "search" }) {
  const id = `combo-${(boxes += 1)}`;
  const input = h("input", {
    id, name, placeholder, role: "combobox", "aria-expanded": "false", "aria-controls": `${id}-list`, "aria-autocomplete": "list", "aria-describedby": hint ? `${id}-hint` : null,
    autocomplete: "off", spellcheck: "false", maxlength: "200",
  });
  const list = h("ul", { id: `${id}-list`, role: "listbox", "aria-label": label, class: "combo-list", hidden: true });
  const element = h("div", { class: "field combo" }, h("label", { for: id }, label), h("div", { class: "combo-box" }, input, icon(sign, { small: true }), list), hint ? h("span", { class: "hint", id: `${id}-hint` }, hint) : null);
  let found = [], active = -1;

  function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = options().map(one => ({ one, text: `${one.label} ${one.words ?? ""}`.toLowerCase() })).filter(({ text: all }) => words.every(word => all.includes(word)));
    const whole = words.join(" "), rank = all => (!whole || all.startsWith(whole) ? 0 : all.includes(whole) ? 1 : 2);
    return matching.sort((a, b) => rank(a.text) - rank(b.text)).map(({ one }) => one);
  }
  function open(text) {
    const all = search(text);
    found = all.slice(0, SHOWN);
    active = text && found.length ? 0 : -1;
    const typed = free && text.trim() && !found.some(one => one.value === text.trim());
    if (typed) found.push({ value: text.trim(), label: t("plan.as_typed", { name: text.trim() }) });
    if (typed && found.length === 1) active = 0;
    const take_ = one => ({ pointerdown: event => { event.preventDefault(); choose(one); } });
    const item = (one, place) => h("li", { id: `${id}-${place}`, role: "option", on: take_(one) }, h("span", {}, one.label), one.note ? h("span", { class: "note" }, one.note) : null);
    const said = text => h("li", { role: "option", "aria-disabled": "true", "aria-selected": "false", class: "soft" }, text);
    put(list, found.length ? found.map(item) : said(t("plan.nothing_found")), all.length > SHOWN ? said(t("plan.more_found", { n: all.length - SHOWN })) : null);
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark();
  }
  function mark() {
    [...list.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === active)));
    active >= 0 ? input.setAttribute("aria-activedescendant", `${id}-${active}`) : input.removeAttribute("aria-activedescendant");
    list.children[active]?.scrollIntoView({ block: "nearest" });
  }
  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  function choose(one) {
    close();
    take(one.value);
    input.value = shown();
  }
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => list.hidden && open(input.value === shown() ? "" : input.value));
  input.addEventListener("input", () => open(input.value));
  input.addEventListener("blur", () => { close(); input.value = shown(); });
  input.addEventListener("keydown", event => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) open(input.value === shown() ? "" : input.value);
      else active = (active + (event.key === "ArrowDown" ? 1 : -1) + found.length) % (found.length || 1);
      if (active < 0 && found.length) active = 0;
      mark();
    } else if (event.key === "Enter" && !list.hidden) {
      event.preventDefault();
      if (found[active]) choose(found[active]);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
      input.value = shown();
    }
  });
  const rest = () => { if (document.activeElement !== input) input.value = shown(); };
  rest();
  return { element, input, rest };
}
