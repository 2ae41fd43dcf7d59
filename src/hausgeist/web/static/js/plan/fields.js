/** The fields of the question. They are made once, filled from the address, and tell what changed. */

import { button, h, put } from "../dom.js";
import { compact, number, t } from "../text.js";
import { MOST_MODELS } from "./address.js";
import { combobox } from "./combobox.js";
import { contextField } from "./context.js";
import { caches, cards, countries, moneys, option, precisions, rivals, uses } from "./lists.js";
import { choose, currency, euros, rate } from "./money.js";

const SMALL = 4e9; // Parameters of models that may guess ahead.
const SIZES = ["1GiB", "2GiB", "4GiB", "8GiB", "16GiB", "32GiB"];

const labelled = (label, control, hint = "") => {
  const id = control.id || (control.id = `plan-${control.name}`);
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field", dataset: { of: control.name } }, h("label", { for: id }, label), control, hint ? h("span", { class: "hint", id: `${id}-hint` }, hint) : null);
};
const pair = (...both) => h("div", { class: "pair" }, both);
const cents = value => String(Math.round(value * 100) / 100);

/** A select's options, with the chosen one among them even where the lists do not know it. */
function offer(select, options, value) {
  put(select, options);
  select.value = value;
  if (select.value === value) return;
  select.append(option(value));
  select.value = value;
}

/**
 * `known`: what can be named, empty at first; `changed(name, {soon, anew})`: the question has changed there, by typing or sliding where `soon`; not `anew`: only how the
 * answer is shown.
 */
export function fields(question, known, changed) {
  const set = (name, value, how = {}) => {
    if (question[name] === value) return;
    question[name] = value;
    changed(name, how);
  };
  const typed = (name, attributes, read = text => text.trim()) => {
    const input = h("input", { name, maxlength: "20", ...attributes, on: { input: () => set(name, read(input.value), { soon: true }) } });
    return input;
  };
  const whole = (name, most, attributes = {}) => typed(name, { type: "number", min: "1", max: String(most), inputmode: "numeric", placeholder: "1", ...attributes });
  const priced = name => typed(name, { type: "number", min: "0", step: "any", inputmode: "decimal", placeholder: "0" }, text => (text ? cents(Number(text) / rate()) : ""));
  const chosen = (name, then = () => {}) => {
    const select = h("select", { name, on: { change: () => { set(name, select.value); then(); } } });
    return select;
  };

  const tabs = tabsOf(question, () => { changed("for", {}); fill(); });
  const models = modelsOf(question, known, () => { changed("model", {}); fill(); });
  const machine = machineOf(question, known, set, () => fill());
  const context = contextField(question, known, value => set("context", value, { soon: true }));
  const users = whole("users", known.most_users ?? 100000);
  const precision = chosen("precision"), use = chosen("for", context.describe), budget = priced("budget");
  const usersField = labelled(t("plan.users"), users, t("plan.users_hint")), precisionField = labelled(t("plan.precision"), precision);
  const useField = labelled(t("plan.use"), use), budgetField = labelled("", budget);

  const engine = h("select", { name: "engine", on: { change: () => {
    // What one engine calls a precision the other does not know.
    question.kv = question.precision = question.draft = question.prompt_cache = "";
    set("engine", engine.value);
    fill();
  } } }, option("", "llama.cpp"), option("vllm", "vLLM"));
  const kv = chosen("kv"), slots = whole("slots", 4096, { placeholder: t("plan.all_users") }), nodes = whole("nodes", 64), cache = chosen("prompt_cache");
  put(cache, option("", t("common.none")), SIZES.map(one => option(one, one.replace("GiB", " GiB"))));
  const draft = draftOf(question, known, set), cacheField = labelled(t("plan.prompt_cache"), cache);
  const more = h("details", { class: "more" }, h("summary", {}, t("plan.more_engine")),
    pair(labelled(t("plan.engine"), engine), labelled(t("plan.kv"), kv, t("plan.kv_hint"))),
    pair(labelled(t("plan.slots"), slots, t("plan.slots_hint")), labelled(t("plan.nodes"), nodes)), draft.element, cacheField);

  const volume = typed("volume", { type: "text", placeholder: t("plan.usual_volume") }), country = chosen("country"), against = chosen("cloud");
  const hours = typed("upkeep_hours", { type: "number", min: "0", max: "744", step: "any", inputmode: "decimal", placeholder: "0" }), wage = priced("upkeep_rate");
  const wageField = labelled("", wage), hoursField = labelled(t("plan.upkeep_hours"), hours);
  const money = h("select", { name: "currency", on: { change: () => { choose(money.value); fill(); changed("", { anew: false }); } } });
  const cost = h("details", { class: "more" }, h("summary", {}, t("plan.more_money")),
    labelled(t("plan.volume"), volume, t("plan.volume_hint")), labelled(t("plan.against"), against),
    pair(labelled(t("plan.country"), country), labelled(t("plan.currency"), money)), pair(hoursField, wageField));

  const said = h("p", { class: "field-error", role: "alert" });
  const element = h("form", { class: "plan-form card no-print", "aria-label": t("plan.question"), on: { submit: event => event.preventDefault() } },
    tabs.element, useField, models.element, machine.element, context.element, h("div", { class: "pair users-pair" }, usersField, precisionField), budgetField, said, cost, more);

  function fillLists() {
    offer(precision, precisions(question, known), question.precision);
    offer(kv, caches(question, known), question.kv);
    offer(use, uses(known), question.for || "chat");
    offer(country, countries(known), question.country.toUpperCase());
    offer(against, rivals(known), question.cloud);
    offer(money, moneys(), currency());
    engine.value = question.engine === "vllm" ? "vllm" : "";
    cache.value = question.prompt_cache;
  }

  /** A field that somebody types in stays as it is. */
  function fillTexts() {
    const there = text => (text ? cents(Number(text) * rate()) : "");
    const values = [[context.input, question.context], [users, question.users], [nodes, question.nodes], [slots, question.slots], [volume, question.volume], [hours, question.upkeep_hours], [budget, there(question.budget)], [wage, there(question.upkeep_rate)]];
    for (const [control, value] of values) if (document.activeElement !== control) control.value = value;
  }

  /** Everything as the question has it. */
  function fill() {
    const buys = Boolean(question.for), named = question.model.length > 0, llamacpp = question.engine !== "vllm";
    const parts = [[useField, buys], [budgetField, buys], [models.element, !buys], [machine.element, !buys], [precisionField, !buys && named], [more, !buys && named], [draft.element, llamacpp], [cacheField, llamacpp]];
    for (const [part, there] of parts) part.hidden = !there;
    usersField.firstChild.textContent = buys ? t("plan.people") : t("plan.users");
    usersField.lastChild.textContent = buys ? t("plan.people_hint") : t("plan.users_hint");
    budgetField.firstChild.textContent = t("plan.budget", { currency: currency() });
    wageField.firstChild.textContent = t("plan.upkeep_rate", { currency: currency() });
    if (["engine", "kv", "slots", "draft", "prompt_cache", "nodes"].some(name => question[name])) more.open = true;
    if (["volume", "cloud", "upkeep_hours"].some(name => question[name])) cost.open = true;
    fillTexts();
    fillLists();
    for (const one of [tabs, models, machine, draft]) one.fill();
    context.describe();
  }

  /** Where the answer says that something is wrong. */
  function complainAt(param, message = "") {
    for (const one of element.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
    said.textContent = message;
    const wrong = param ? element.querySelector(`[name="${CSS.escape(param)}"]`) : null;
    wrong?.setAttribute("aria-invalid", "true");
    if (wrong?.closest("details")) wrong.closest("details").open = true;
  }

  fill();
  return { element, fill, complainAt };
}

/** What for: a model, or something to buy. */
function tabsOf(question, changed) {
  const go = buying => { if (Boolean(question.for) !== buying) { question.for = buying ? "chat" : ""; changed(); } };
  const tab = (buying, label) => h("button", { type: "button", role: "tab", "aria-controls": "results", on: { click: () => go(buying) } }, label);
  const planning = tab(false, t("plan.tab_plan")), buying = tab(true, t("plan.tab_buy"));
  const element = h("div", { class: "tabs", role: "tablist", "aria-label": t("plan.question") }, planning, buying);
  element.addEventListener("keydown", event => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = document.activeElement === planning ? buying : planning;
    other.click();
    other.focus();
  });
  function fill() {
    for (const [one, is] of [[planning, !question.for], [buying, Boolean(question.for)]]) {
      one.setAttribute("aria-selected", String(is));
      one.tabIndex = is ? 0 : -1;
    }
  }
  return { element, fill };
}

/** The chosen models, and a field to find more. */
function modelsOf(question, known, changed) {
  const chips = h("ul", { class: "chips", "aria-label": t("plan.models") });
  const note = one => (one.installed ? t("plan.installed") : one.parameters ? t("plan.parameters", { size: compact(one.parameters) }) : "");
  const box = combobox(t("plan.add_model"), {
    name: "model", free: true, placeholder: t("plan.model_placeholder"),
    options: () => known.models.filter(one => !question.model.includes(one.name)).map(one => ({ value: one.name, label: one.name, words: (one.use ?? []).join(" "), note: note(one) })),
    take: name => {
      if (!name || question.model.includes(name) || question.model.length >= MOST_MODELS) return;
      question.model = [...question.model, name];
      changed();
    },
  });
  const drop = name => {
    question.model = question.model.filter(one => one !== name);
    changed();
    box.input.focus();
  };
  function fill() {
    const chip = name => h("li", {}, h("span", {}, name), button(t("plan.drop", { name }), { icon: "close", bare: true, kind: "quiet tiny", on: () => drop(name) }));
    put(chips, question.model.map(chip));
    chips.hidden = !question.model.length;
    box.element.hidden = question.model.length >= MOST_MODELS;
    box.element.firstChild.textContent = question.model.length ? t("plan.add_model") : t("plan.model");
  }
  return { element: h("div", {}, chips, box.element), fill };
}

/** This machine or another, and how many cards. */
function machineOf(question, known, set, filled) {
  const device = name => known.devices.find(one => one.name === name), whole = name => !name || device(name)?.kind === "unified";
  const note = one => [t("plan.gigabytes", { size: number(one.memory_gib) }), one.price ? euros(one.price.eur) : null].filter(Boolean).join(" · ");
  const box = combobox(t("plan.machine"), {
    name: "gpu", mark: "down",
    options: () => [{ value: "", label: t("plan.this_machine") }, ...known.devices.map(one => ({ value: one.name, label: one.title, words: one.name, note: note(one) }))],
    shown: () => (question.gpu ? (device(question.gpu)?.title ?? question.gpu) : t("plan.this_machine")),
    take: name => {
      if (whole(name)) question.gpus = "";
      set("gpu", name);
      filled();
    },
  });
  const count = h("select", { name: "gpus", on: { change: () => set("gpus", count.value === "1" ? "" : count.value) } }), countField = labelled(t("plan.gpus"), count);
  const element = h("div", { class: "machine-pair" }, box.element, countField);
  function fill() {
    offer(count, cards(question), question.gpus || "1");
    countField.hidden = whole(question.gpu);
    element.classList.toggle("alone", countField.hidden);
    box.rest();
  }
  return { element, fill };
}

/** The small model that guesses ahead. */
function draftOf(question, known, set) {
  const box = combobox(t("plan.draft"), {
    name: "draft", mark: "down", free: true, placeholder: t("common.none"), shown: () => question.draft,
    options: () => [{ value: "", label: t("common.none") }, ...known.models.filter(one => one.parameters && one.parameters < SMALL).map(one => ({ value: one.name, label: one.name, note: t("plan.parameters", { size: compact(one.parameters) }) }))],
    take: name => set("draft", name),
  });
  return { element: box.element, fill: box.rest };
}
