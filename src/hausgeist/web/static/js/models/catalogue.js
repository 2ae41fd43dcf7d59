/** The catalogue: searched and filtered in the page, each row with how the model runs on this machine. */

import { get } from "../api.js";
import { button, find, h, icon, put } from "../dom.js";
import { bytes, number, percent, t } from "../text.js";
import { complain } from "../toast.js";
import { mayAdminister } from "../told.js";
import { openEntry } from "./entry.js";
import { fitBadge, fitOf, kindOf, lookAt, paceText } from "./fits.js";
import { pullSign, startPull } from "./pulls.js";
import { chatWith, contextOf, parameters, useName } from "./words.js";

const STEP = 60;
const SIZES = { small: [0, 4e9], medium: [4e9, 15e9], large: [15e9, 40e9], huge: [40e9, Infinity] };
const ORDER = ["good", "slow", "part", "unknown", "no"];

let entries = null, shown = STEP, settled = 0, installed = new Set(), pulling = new Map(), rows = new Map();

const controls = () => ({ words: find("#q"), use: find("#use"), licence: find("#licence"), size: find("#size"), here: find("#here"), sort: find("#sort") });

/** Load it, and find out how everything runs here. Idempotent; may be called again after a failure. */
export async function openCatalogue() {
  if (entries) return;
  const status = find("#catalogue-status"), list = find("#catalogue-list");
  put(status, h("span", { class: "row" }, h("span", { class: "spinner" }), t("common.loading")));
  put(list, Array.from({ length: 8 }, () => h("li", { class: "entry ghost-row", "aria-hidden": "true" })));
  try {
    entries = (await get("/house/v1/models/catalogue")).data;
  } catch (error) {
    put(list);
    put(status, h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {}, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", on: openCatalogue }))));
    return;
  }
  for (const entry of entries) entry.text = [entry.name, entry.title, entry.maker, entry.family, ...entry.aliases, ...entry.use.map(useName)].join(" ").toLowerCase();
  fillFilters();
  render();
  try {
    // Those that one looks at first, first.
    await lookAt(filtered().map(entry => entry.name), { told: part => { settled = part; render({ quietly: part < 1 }); } });
    settled = 1;
    // Whoever is reading already keeps the order that they see.
    if (find("#main").scrollTop > 300) settle();
    else render();
  } catch (error) {
    settled = 1;
    render();
    complain(error);
  }
}

function settle() {
  for (const [name, one] of rows) one.fit(fitOf(name));
  put(find("#catalogue-status"), h("span", { class: "row" }, t("models.found", { n: filtered().length }), button(t("models.sort_now"), { kind: "quiet tiny", on: () => { render(); find("#main").scrollTop = 0; } })));
}

function fillFilters() {
  const { use, licence } = controls();
  const uses = [...new Set(entries.flatMap(entry => entry.use))];
  use.append(...uses.map(one => h("option", { value: one }, useName(one))));
  const counts = new Map();
  for (const { licence: one } of entries) counts.set(one, (counts.get(one) ?? 0) + 1);
  licence.append(...[...counts].sort((a, b) => b[1] - a[1]).map(([name, count]) => h("option", { value: `=${name}` }, `${name} (${number(count)})`)));
  for (const control of Object.values(controls())) control.addEventListener("input", () => { shown = STEP; render(); });
}

function filtered() {
  const { words, use, licence, size, here, sort } = controls();
  const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean), [least, most] = SIZES[size.value] ?? [0, Infinity];
  const found = entries.filter(entry => asked.every(word => entry.text.includes(word))
    && (!use.value || entry.use.includes(use.value))
    && (!licence.value || (licence.value === "commercial" ? entry.commercial === "yes" : licence.value === `=${entry.licence}`))
    && entry.parameters >= least && entry.parameters < most
    && (!here.checked || fitOf(entry.name)?.fits));
  return found.sort(SORTS[sort.value]);
}

const newest = (a, b) => b.released.localeCompare(a.released) || a.name.localeCompare(b.name);
const SORTS = {
  best: (a, b) => {
    const one = fitOf(a.name), other = fitOf(b.name), rank = ORDER.indexOf(kindOf(one)) - ORDER.indexOf(kindOf(other));
    return rank || (other?.quality ?? -1) - (one?.quality ?? -1) || newest(a, b);
  },
  newest,
  fastest: (a, b) => (fitOf(b.name)?.generate_tokens_per_second ?? -1) - (fitOf(a.name)?.generate_tokens_per_second ?? -1) || newest(a, b),
  smallest: (a, b) => a.size - b.size,
  largest: (a, b) => b.size - a.size,
};

/** Show what the filters leave. `quietly`: only what is known of the rows that are there; the order waits until all is known. */
function render({ quietly = false } = {}) {
  if (!entries) return;
  const status = find("#catalogue-status"), list = find("#catalogue-list"), { words } = controls();
  if (quietly) {
    for (const [name, row] of rows) row.fit(fitOf(name));
    put(status, h("span", { class: "row" }, h("span", { class: "spinner" }), t("models.working_out", { share: percent(settled) })));
    return;
  }
  const found = filtered();
  rows = new Map(found.slice(0, shown).map(entry => [entry.name, rows.get(entry.name) ?? row(entry)]));
  for (const [name, one] of rows) { one.fit(fitOf(name)); one.act(); }
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  list.replaceChildren(...[...rows.values()].map(one => one.element));
  focused?.focus();
  find("#catalogue-more").hidden = found.length <= shown;
  if (settled >= 1 || !status.querySelector(".spinner")) put(status, t("models.found", { n: found.length }));
  const name = words.value.trim(), empty = find("#catalogue-empty");
  empty.hidden = found.length > 0;
  if (!found.length) put(empty, icon("search"), h("p", {}, t("models.nothing_found")), name && mayAdminister ? button(t("models.install_named", { name }), { icon: "download", kind: "primary-action", on: event => install(name, event.currentTarget) }) : null);
}

function row(entry) {
  const fit = h("div", { class: "entry-fit" }), act = h("div", { class: "entry-act" });
  const about = [entry.maker, parameters(entry.parameters), t("models.context_of", { tokens: contextOf(entry.context) }), entry.licence].join(" · ");
  const element = h("li", { class: "entry" },
    h("div", { class: "entry-name" }, h("h3", {}, h("button", { type: "button", class: "as-link", on: { click: () => openEntry(entry, { installed: installed.has(entry.name) }) } }, entry.title)), h("p", { class: "small soft" }, h("code", {}, entry.name), " · ", about), h("p", { class: "uses" }, entry.use.map(one => h("span", { class: "badge" }, useName(one))))),
    fit, h("div", { class: "entry-size" }, bytes(entry.size)), act);
  let was;
  return {
    element,
    fit(known) {
      if (was === known && fit.firstChild) return;
      was = known;
      put(fit, known ? [fitBadge(known), h("span", { class: "small soft" }, paceText(known))] : h("span", { class: "small faint" }, "…"));
    },
    act() {
      const job = pulling.get(entry.name), key = job ? `${job.status}${job.done}` : installed.has(entry.name) ? "here" : "away";
      if (act.dataset.state === key) return;
      act.dataset.state = key;
      if (job) put(act, pullSign(job));
      else if (installed.has(entry.name)) put(act, h("a", { class: "button tiny", href: chatWith(entry.name), "aria-label": t("models.chat_with", { model: entry.title }) }, icon("chat", { small: true }), t("models.chat")));
      else put(act, mayAdminister ? button(t("models.install"), { icon: "download", kind: "tiny", "aria-label": t("models.install_named", { name: entry.title }), on: event => install(entry.name, event.currentTarget) }) : null);
    },
  };
}

/** Begin to install one; the button says so until the list does. */
export async function install(name, pressed = null) {
  if (pressed) pressed.disabled = true;
  try {
    await startPull(name);
  } catch (error) {
    complain(error);
  } finally {
    if (pressed) pressed.disabled = false;
  }
}

/** What is installed and on its way changed. */
export function catalogueKnows({ models, jobs }) {
  if (models) installed = new Set(models.map(one => one.id.replace(/:latest$/, "")));
  if (jobs) pulling = new Map(jobs.filter(job => job.status === "running" || job.status === "queued").map(job => [job.model.replace(/:latest$/, ""), job]));
  for (const one of rows.values()) one.act();
}

/** More rows, when one comes near the end. */
export function growCatalogue() {
  new IntersectionObserver(seen => {
    if (!seen.some(one => one.isIntersecting) || !entries) return;
    shown += STEP;
    render();
  }, { root: find("#main"), rootMargin: "600px" }).observe(find("#catalogue-more"));
}
