/** The parts of an answer: memory, speed, users, money, energy, and what they rest on. Each takes the plans that it draws, and is null where it has nothing to say. */

import { bars, lines } from "../chart.js";
import { h } from "../dom.js";
import { compact, number, percent, t } from "../text.js";
import { table } from "./table.js";
import { currency, dated, euros, rate, theirs } from "./money.js";
import { basis, cloud, energy, mass, memory, named, pace, pays, seconds, short, turns } from "./words.js";

const YEARS = 5;

export const section = (name, title, ...content) => h("section", { class: `card part part-${name}`, "aria-labelledby": `part-${name}` }, h("h2", { id: `part-${name}` }, title), content);
const soft = text => h("p", { class: "soft small" }, text);

/** Names of lines: the model, and the machine where the plans are of several. */
function titles(plans) {
  const several = new Set(plans.map(one => one.device)).size > 1, alike = new Set(plans.map(named)).size === 1;
  return plans.map(one => (!several ? named(one) : alike ? one.device : t("plan.on", { model: named(one), device: one.device })));
}

/* Memory. */

const PARTS = {
  weights: plan => plan.weights_bytes,
  cache: plan => plan.kv_cache_bytes,
  compute: plan => plan.compute_bytes + plan.output_bytes,
  repack: plan => plan.repack_bytes,
  draft: plan => plan.draft_bytes,
  overhead: plan => plan.overhead_bytes - plan.draft_bytes - plan.prompt_cache_bytes,
  remembered: plan => plan.prompt_cache_bytes,
};

export function memoryPart(plans, truth = null) {
  const context = memoryOverContext(plans);
  const there = Object.keys(PARTS).filter(name => plans.some(plan => PARTS[name](plan) > 0));
  const rows = plans.map((plan, place) => ({
    name: plans.length === 1 ? plan.device : titles(plans)[place],
    parts: there.map(name => Math.max(0, PARTS[name](plan))),
    limit: plan.capacity_bytes,
    note: t("plan.of", { used: memory(plan.total_bytes), there: memory(plan.capacity_bytes) }),
  }));
  const only = plans.length === 1 ? plans[0] : null;
  const explained = h("details", { class: "small" }, h("summary", {}, t("plan.what_parts")), h("dl", { class: "explained" }, there.map(name => [h("dt", {}, t(`plan.part_${name}`)), h("dd", {}, t(`plan.part_${name}_is`))])));
  const places = only && only.places.length > 1 ? table(t("plan.by_place"), [t("plan.place"), t("plan.taken"), t("plan.there")], only.places.map(one => [placeName(one.name), memory(one.used), memory(one.capacity)])) : null;
  const notes = [only?.reserved_bytes ? t("plan.reserves", { bytes: memory(Math.max(...only.reserved_bytes)), requests: number(only.requests_at_once) }) : null, plans.every(one => one.exact) ? null : t("plan.not_exact"), truth];
  const parts = bars(t("plan.memory_by_part"), rows, { parts: there.map(name => t(`plan.part_${name}`)), format: memory });
  return section("memory", t("plan.memory"),
    h("div", { class: "charts" }, h("div", {}, parts, explained, places), context ? h("div", {}, context.chart, context.limited ? soft(t("plan.context_lead")) : null) : null),
    notes.filter(Boolean).map(soft));
}

function placeName(name) {
  const card = /^card(?: (\d+))?$/.exec(name);
  if (card) return card[1] ? t("plan.card_number", { number: card[1] }) : t("plan.card");
  return name === "main memory" ? t("plan.main_memory") : name === "shared memory" ? t("plan.shared_memory") : name;
}

const doubled = (least, most) => Array.from({ length: 21 }, (_, power) => 2 ** (power + 4)).filter(value => value >= least && value <= most);
const reach = series => series.flatMap(one => one.points.map(point => point[0]));
const overContext = series => ({ log: true, format: short, label: t("plan.tokens_of_context"), unit: t("plan.tokens_of_context"), values: doubled(Math.min(...reach(series)), Math.max(...reach(series))) });
const asked = plans => [{ x: plans[0].context, label: t("plan.asked_for", { value: short(plans[0].context) }) }];

function memoryOverContext(plans) {
  const drawn = plans.filter(one => (one.memory_by_context ?? []).length > 1);
  if (!drawn.length) return null;
  const series = drawn.map((plan, place) => ({ name: titles(drawn)[place], place: plans.indexOf(plan), area: drawn.length === 1, points: plan.memory_by_context.map(one => [one.context, one.total_bytes]) }));
  // What a plan has of the machine's memory beside its cards differs a little from model to model.
  const rooms = drawn.map(one => one.capacity_bytes), room = Math.min(...rooms), limited = Math.max(...rooms) < room * 1.05;
  const limits = limited ? [{ y: room, label: t("plan.there_is", { bytes: memory(room) }) }] : [];
  const chart = lines(t("plan.memory_over_context"), series, { x: overContext(series), y: { format: memory, unit: 2 ** 30 }, limits, named: plans.length > 1, marks: asked(drawn) });
  return { chart, limited };
}

/* Speed. */

export function speedPart(plans) {
  const drawn = plans.filter(one => one.task === "generate" && (one.speeds ?? []).length > 1);
  if (!drawn.length) return null;
  const over = (title, value, format) => {
    const series = drawn.map((plan, place) => ({ name: titles(drawn)[place], place: plans.indexOf(plan), points: plan.speeds.map(one => [one.context, value(one)]) }));
    const minutes = format === seconds && Math.max(...series.flatMap(one => one.points.map(point => point[1]))) > 180;
    return lines(title, series, { height: 220, named: plans.length > 1, x: overContext(series), y: { format, unit: minutes ? 60 : 1 }, marks: asked(drawn) });
  };
  const limit = drawn.length === 1 && ["memory", "compute", "link"].includes(drawn[0].limit) ? t(`plan.bound_${drawn[0].limit}`) : null;
  const writing = over(t("plan.writing_over_context"), one => one.generate_tokens_per_second, pace), first = over(t("plan.first_over_context"), one => one.first_token_seconds, seconds);
  return section("speed", t("plan.speed"), h("p", { class: "soft" }, t("plan.speed_lead")), h("div", { class: "charts" }, writing, first),
    [basis(drawn[0]), limit, drawn.some(one => one.draft_bytes) ? t("plan.without_draft") : null].filter(Boolean).map(soft));
}

export function usersPart(plans) {
  const drawn = plans.filter(one => (one.by_users ?? []).length > 2);
  if (!drawn.length) return null;
  const over = (title, value, format) => {
    const series = drawn.map((plan, place) => ({ name: titles(drawn)[place], place: plans.indexOf(plan), points: plan.by_users.map(one => [one.users, value(one)]) }));
    const most = Math.max(...reach(series)), only = plans.length === 1 ? drawn[0] : null;
    const marks = [];
    if (drawn[0].users > 1) marks.push({ x: drawn[0].users, label: t("plan.asked_for", { value: number(drawn[0].users) }) });
    if (only?.most_users > 1 && only.most_users !== only.users) marks.push({ x: only.most_users, label: t("plan.up_to", { value: number(only.most_users) }) });
    const label = t("plan.users_at_once"), values = Array.from({ length: 17 }, (_, power) => 2 ** power).filter(value => value <= most);
    return lines(title, series, { height: 220, named: plans.length > 1, x: { log: true, format: value_ => number(value_), label, unit: label, values }, y: { format }, marks });
  };
  const only = plans.length === 1 ? drawn[0] : null;
  const lead = only ? t(`plan.most_${only.most_users ? only.most_users_limit : "none"}`, { n: only.most_users }) : t("plan.users_lead");
  const each = over(t("plan.each_over_users"), one => one.generate_tokens_per_second, pace), first = over(t("plan.first_over_users"), one => one.first_token_seconds, seconds);
  return section("users", t("plan.many_users"), h("p", { class: "soft" }, lead), h("div", { class: "charts" }, each, first));
}

/* Money. */

/** What has been paid by the end of each month: machines are bought anew when their years are over. */
const paid = (cost, month) => cost.purchase_eur * Math.max(1, Math.ceil(month / cost.life_months - 1e-9)) + month * (cost.electricity_eur_per_month + cost.upkeep_eur_per_month);

export function costPart(plan, { title = t("plan.pays_title") } = {}) {
  if (!plan.cost) return null;
  if (plan.eur_per_month === null || !plan.compared.length) return section("cost", title, h("p", {}, t("plan.price_unknown")));
  const months = Array.from({ length: YEARS * 12 + 1 }, (_, month) => month), first = plan.compared[0];
  const series = [
    { name: t("plan.own_machine"), points: months.map(month => [month, paid(plan.cost, month) * rate()]) },
    ...plan.compared.slice(0, 5).map(one => ({ name: cloud(one.with).split("/").at(-1), dashed: true, points: months.map(month => [month, one.eur_per_month * month * rate()]) })),
  ];
  const back = first.break_even_months, marks = back ? [{ x: back, label: t("plan.paid_back", { n: Math.ceil(back - 1e-9) }) }] : [];
  const x = { format: month => number(month), label: t("plan.months"), unit: t("plan.months"), values: months.filter(month => month % 12 === 0) };
  const chart = lines(t("plan.paid_until"), series, { x, y: { format: theirs }, marks, height: 280 });
  const reasons = first.pays ? [] : turns(plan, first);
  const strong = text => h("strong", {}, text);
  const rows = [
    [t("plan.cost_hardware"), euros(plan.cost.hardware_eur_per_month)],
    [t("plan.cost_electricity"), euros(plan.cost.electricity_eur_per_month)],
    ...(plan.cost.upkeep_eur_per_month ? [[t("plan.cost_upkeep"), euros(plan.cost.upkeep_eur_per_month)]] : []),
    [strong(t("plan.cost_own")), strong(euros(plan.eur_per_month))],
    ...plan.compared.map(one => [cloud(one.with), euros(one.eur_per_month)]),
  ];
  const volume = t("plan.a_month_of", { n: plan.volume_tokens_per_month, tokens: compact(plan.volume_tokens_per_month) });
  const notes = [
    plan.price_eur ? t("plan.bought_anew", { n: Math.round(plan.cost.life_months) }) : t("plan.there_already"),
    plan.cost.machines > 1 ? t("plan.machines_needed", { n: plan.cost.machines }) : null,
    rate() !== 1 ? t("plan.exchange", { rate: number(rate(), 4), currency: currency(), date: dated() }) : null,
  ];
  return section("cost", title,
    h("p", { class: `verdict-line ${first.pays ? "good" : "warn"}` }, h("strong", {}, pays(plan, first))),
    reasons.length ? h("div", {}, h("p", {}, t("plan.would_pay")), h("ul", {}, reasons.map(text => h("li", {}, text)))) : null,
    chart,
    h("div", { class: "halves" }, table(t("plan.a_month"), [volume, currency()], rows), h("ul", { class: "others small" }, plan.compared.slice(1).map(one => h("li", {}, pays(plan, one))))),
    notes.filter(Boolean).map(soft));
}

export function energyPart(plan) {
  const both = plan.thousand_answers;
  if (!both) return null;
  const row = (name, one) => [name, energy(one.watt_hours), energy(one.active_watt_hours), mass(one.gco2), t("plan.litres", { value: number(one.litres, one.litres < 10 ? 1 : 0) })];
  const head = [t("plan.thousand_answers"), t("plan.electricity"), t("plan.at_work"), "CO₂", t("plan.water")];
  return section("energy", t("plan.energy"), table(head[0], head, [row(plan.device, both.own), row(t("plan.data_centre"), both.data_centre)]), soft(t("plan.energy_note", { kwh: number(plan.cost.kwh_per_month, 1) })));
}

/* What it rests on. */

const ADDRESS = /(https?:\/\/[^\s,;)<>"']+)/;
const FORMULAS = ["weights", "cache", "compute", "speed", "users", "cost", "pays", "energy"];

/** Text, with the addresses in it as links, named by their hosts. */
const linked = text => text.split(ADDRESS).map((part, place) => (place % 2 && URL.canParse(part) ? h("a", { href: part, rel: "noreferrer noopener", target: "_blank" }, new URL(part).hostname) : part));

export function sourcesPart(plans) {
  const figures = new Map(plans.flatMap(one => one.assumptions ?? []).map(one => [`${one.what}|${one.value}|${one.source}`, one]));
  const estimate = () => [" ", h("span", { class: "badge" }, t("plan.estimate"))];
  const rows = [...figures.values()].map(one => [one.what, `${number(one.value, one.value < 10 ? 3 : 0)} ${one.unit}`, one.date ?? "", [linked(one.source ?? ""), one.estimate ? estimate() : null]]);
  const head = ["figure", "value", "date", "source"].map(name => t(`plan.figures_${name}`));
  return h("details", { class: "card part sources no-print" }, h("summary", {}, h("h2", {}, t("plan.how"))),
    h("dl", { class: "explained" }, FORMULAS.map(name => [h("dt", {}, t(`plan.how_${name}`)), h("dd", {}, t(`plan.how_${name}_is`))])),
    h("h3", {}, t("plan.figures")), soft(t("plan.figures_lead")), table(t("plan.figures"), head, rows, { words: [2, 3], kind: "small" }));
}

/** How true plans were here, in one sentence; null where nothing was measured. */
export function truth(accuracy) {
  const known = accuracy?.full?.arithmetic?.loads ? accuracy.full.arithmetic : accuracy?.arithmetic;
  return known?.loads ? t("plan.truth", { n: known.loads, median: percent(known.median_error, 1), worst: percent(Math.abs(known.worst_error), 1) }) : null;
}

