/** An answer as a whole: one plan, several side by side, what a machine runs well, what to buy. */

import { button, h, icon } from "../dom.js";
import { compact, number, t } from "../text.js";
import { address } from "./address.js";
import { euros } from "./money.js";
import { costPart, energyPart, memoryPart, section, sourcesPart, speedPart, truth, usersPart } from "./sections.js";
import { table } from "./table.js";
import { basis, cloud, mark, memory, named, pace, pays, placed, seconds, spare, speed, subject, tone, tokens, verdict, way } from "./words.js";

const KINDS = ["thrifty", "balanced", "roomy"];

/** `go(changes, name)`: ask again with these changes. */
export function answerOf(answer, question, go) {
  if (answer.choices) return bought(answer, question, go);
  if (answer.plans && !question.model.length) return ranked(answer, question, go);
  return answer.plans ? beside(answer, question, go) : alone(answer, question, go);
}

/** What is said aloud of an answer. */
export function told(answer, question) {
  if (answer.choices) return t("plan.told_choices", { n: answer.choices.length });
  if (answer.plans && !question.model.length) return t("plan.told_ranked", { n: answer.plans.length });
  const plans = answer.plans ?? [answer];
  return plans.map(one => `${subject(one)}: ${verdict(one)} ${speed(one)}`).join(" ");
}

const heading = (text, plan) => h("h2", { class: "verdict-title", tabindex: "-1", id: "verdict" }, plan ? icon(mark(plan)) : null, h("span", {}, text));

function ways(plan, question, go) {
  if (!plan.ways?.length) return null;
  const change = one => {
    const asks = { ...one.asks };
    if (asks.model) asks.model = question.model.length > 1 ? question.model.map(name => (name === plan.model ? asks.model : name)) : [asks.model];
    if (asks.gpus === "1") asks.gpus = "";
    return asks;
  };
  const item = one => h("li", {}, button(way(one), { icon: "right", kind: "way", on: () => go(change(one), "way") }));
  return h("div", { class: "ways no-print" }, h("p", {}, t("plan.would_help")), h("ul", {}, plan.ways.map(item)));
}

function tiles(plan) {
  const found = [];
  if (plan.task === "generate" && plan.generate_tokens_per_second) {
    found.push([t("plan.tokens_per_second", { rate: pace(plan.generate_tokens_per_second) }), plan.users > 1 ? t("plan.tile_writes_each") : t("plan.tile_writes"), basis(plan)]);
  }
  if (plan.prompt_tokens_per_second) found.push([t("plan.tokens_per_second", { rate: pace(plan.prompt_tokens_per_second) }), t("plan.tile_reads"), plan.first_token_seconds ? t("plan.tile_first", { time: seconds(plan.first_token_seconds_together ?? plan.first_token_seconds) }) : ""]);
  if (plan.most_users !== undefined) found.push([number(plan.most_users), t("plan.tile_users"), t("plan.tile_users_note")]);
  if (plan.max_context) found.push([tokens(plan.max_context), t("plan.tile_context"), plan.max_context >= plan.trained_context ? t("plan.tile_context_all") : t("plan.tile_context_of", { context: tokens(plan.trained_context) })]);
  if (plan.price_eur) found.push([euros(plan.price_eur), t("plan.tile_price"), t("plan.tile_price_note")]);
  if (plan.eur_per_month !== null && plan.eur_per_month !== undefined) found.push([euros(plan.eur_per_month), t("plan.tile_month"), plan.price_eur ? t("plan.tile_month_note") : t("plan.tile_month_here")]);
  if (plan.eur_per_1m_tokens !== null && plan.eur_per_1m_tokens !== undefined) found.push([euros(plan.eur_per_1m_tokens), t("plan.tile_million"), t("plan.tile_million_note", { n: plan.volume_tokens_per_month, tokens: compact(plan.volume_tokens_per_month) })]);
  const first = plan.compared?.[0];
  if (first && plan.price_eur) found.push([first.pays ? t("plan.months_count", { n: Math.max(1, Math.ceil(first.break_even_months)) }) : t("plan.never"), t("plan.tile_pays"), t("plan.tile_pays_note", { name: cloud(first.with) })]);
  return found.length ? h("ul", { class: "tiles" }, found.map(([value, name, note]) => h("li", { class: "card" }, h("span", { class: "tile-name" }, name), h("span", { class: "figure" }, value), h("span", { class: "soft small" }, note)))) : null;
}

const about = answer => (answer.about?.length ? h("div", { class: "notice", lang: "en" }, icon("info"), h("div", {}, answer.about.map(line => h("p", {}, line)))) : null);
const capped = plan => Number(plan.asked_context) > plan.trained_context;

function alone(answer, question, go) {
  const plan = { ...answer, asked_context: question.context };
  return [
    h("div", { class: `card verdict ${tone(plan)}` }, heading(verdict(plan), plan), h("p", {}, subject(plan)), h("p", {}, speed(plan)),
      capped(plan) ? h("p", { class: "small" }, t("plan.made_for", { model: plan.model, context: tokens(plan.trained_context) })) : null, ways(plan, question, go)),
    about(answer), tiles(plan),
    memoryPart([plan], truth(answer.accuracy)),
    speedPart([plan]), usersPart([plan]), costPart(plan), energyPart(plan), sourcesPart([plan]),
  ].filter(Boolean);
}

function beside(answer, question, go) {
  const plans = answer.plans, good = plans.filter(one => one.good || (one.fits && one.task !== "generate"));
  const said = good.length === plans.length ? t("plan.all_well", { n: plans.length }) : good.length ? t("plan.some_well", { n: good.length, all: plans.length }) : t("plan.none_well", { n: plans.length });
  const priced = plans.some(one => one.eur_per_1m_tokens);
  const head = [t("plan.model"), "", t("plan.memory"), t("plan.column_writes"), t("plan.column_reads"), t("plan.column_context"), ...(priced ? [t("plan.column_million")] : [])];
  const badge = one => h("span", { class: `badge ${tone(one)}` }, icon(mark(one), { small: true }), placed(one));
  const rows = plans.map(one => [toModel(one, question, go), badge(one), memory(one.total_bytes), ...speeds(one), ...(priced ? [one.eur_per_1m_tokens ? euros(one.eur_per_1m_tokens) : "–"] : [])]);
  const paying = good[0] ?? plans.find(one => one.fits);
  return [
    h("div", { class: `card verdict ${good.length === plans.length ? "good" : good.length ? "warn" : "bad"}` }, heading(said), h("p", {}, t("plan.beside_lead", { device: plans[0].device, context: tokens(plans[0].context), n: plans[0].users })),
      table(t("plan.beside"), head, rows, { words: [1] })),
    about(answer),
    memoryPart(plans, truth(answer.accuracy)),
    ...plans.filter(one => one.placed !== "wholly" && one.ways?.length).map((one, place) => section(`ways-${place}`, t("plan.not_with", { model: named(one) }), h("p", {}, verdict(one)), ways(one, question, go))),
    speedPart(plans), usersPart(plans), paying ? costPart(paying, { title: t("plan.pays_title_of", { model: named(paying) }) }) : null, paying ? energyPart(paying) : null, sourcesPart(plans),
  ].filter(Boolean);
}

/** What it writes, reads and can have of context, as cells. */
const speeds = one => [
  one.task === "generate" && one.generate_tokens_per_second ? pace(one.generate_tokens_per_second) : "–",
  one.prompt_tokens_per_second ? pace(one.prompt_tokens_per_second) : "–",
  one.max_context ? tokens(one.max_context) : "–",
];

/** A link to the plan of one model on the same machine. */
const toModel = (one, question, go) => h("a", { href: address({ ...question, model: [one.model] }), on: { click: event => follow(event, () => go({ model: [one.model] }, "model")) } }, named(one));

/** A click that stays on the page, unless it asks for another tab. */
function follow(event, run) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  run();
}

function ranked(answer, question, go) {
  const plans = answer.plans;
  if (!plans.length) return [h("div", { class: "card verdict bad" }, heading(t("plan.runs_nothing")), h("p", {}, t("plan.runs_nothing_lead")))];
  const uses = [...new Set(plans.map(one => one.use))], best = plans[0];
  const head = [t("plan.model"), t("plan.memory"), t("plan.column_writes"), t("plan.column_reads"), t("plan.column_context")];
  const slow = () => [" ", h("span", { class: "badge warn" }, t("plan.slow"))];
  const rows = use => plans.filter(one => one.use === use).map(one => [[toModel(one, question, go), one.good ? null : slow()], memory(one.total_bytes), ...speeds(one)]);
  return [
    h("div", { class: `card verdict ${best.good ? "good" : "warn"}` }, heading(t("plan.runs_well", { device: best.device }), best),
      h("p", {}, t("plan.runs_well_lead", { model: named(best), rate: pace(best.generate_tokens_per_second) })), h("p", { class: "soft small" }, t("plan.ranking_is"))),
    about(answer),
    ...uses.map(use => section(use, t(`plan.use_${use}`), table(t("plan.models_for", { use: t(`plan.use_${use}`) }), head, rows(use), { kind: "ranking" }))),
    sourcesPart(plans.slice(0, 1)),
  ].filter(Boolean);
}

function bought(answer, question, go) {
  const many = Number(question.users) || 1, best = answer.choices.find(one => one.kind === "balanced") ?? answer.choices[0];
  const closer = one => ({ for: "", budget: "", model: [one.model], gpu: one.gpu, gpus: one.gpus > 1 ? String(one.gpus) : "", users: one.users > 1 ? String(one.users) : "", context: String(one.context) });
  const card = one => h("article", { class: `card choice${one === best ? " best" : ""}` },
    h("h2", {}, t(`plan.kind_${KINDS.includes(one.kind) ? one.kind : "balanced"}`)),
    h("p", { class: "figure" }, euros(one.price_eur)),
    h("p", {}, h("strong", {}, one.device), h("br"), h("span", { class: "soft" }, t(one.condition === "used" ? "plan.bought_used" : "plan.bought_new"))),
    h("p", {}, t("plan.choice_runs", { n: one.users, model: named(one), rate: pace(one.generate_tokens_per_second) })),
    h("p", { class: "soft small" }, t(`plan.kind_${one.kind}_is`, { spare: memory(spare(one)) })),
    one.compared?.length ? h("p", { class: "small" }, pays(one, one.compared[0])) : null,
    one.gpu ? h("p", { class: "no-print" }, h("a", { class: "button", href: address({ ...question, ...closer(one) }), on: { click: event => follow(event, () => go(closer(one), "choice")) } }, t("plan.look_closer"))) : null);
  return [
    h("div", { class: "card verdict good" }, heading(t("plan.buy_title", { device: best.device, price: euros(best.price_eur) })), h("p", {}, t("plan.buy_lead", { n: many, use: t(`plan.use_${question.for}`), model: named(best) })), h("p", { class: "soft small" }, t("plan.buy_note"))),
    h("div", { class: "choices" }, answer.choices.map(card)),
    memoryPart(answer.choices),
    speedPart(answer.choices), costPart(best, { title: t("plan.pays_title_of", { model: best.device }) }), energyPart(best), sourcesPart(answer.choices),
  ].filter(Boolean);
}
