/** What a plan says, in the reader's language: verdicts, ways, what speeds rest on. */

import { bytes, number, percent, t } from "../text.js";
import { euros } from "./money.js";

export const memory = value => bytes(value, { memory: true });
export const tokens = value => number(value);
/** Contexts: 8k, 128k; others as they are. */
export const short = value => (value >= 1024 && value % 1024 === 0 ? (value >= 2 ** 20 && value % 2 ** 20 === 0 ? `${number(value / 2 ** 20)}M` : `${number(value / 1024)}k`) : number(value));
/** Tokens per second. */
export const pace = value => number(value, value >= 20 ? 0 : 1);
export const named = plan => (plan.precision ? `${plan.model} (${plan.precision})` : plan.model);
export const spare = plan => Math.max(0, plan.capacity_bytes - plan.total_bytes);
export const tone = plan => (plan.good || (plan.fits && plan.placed === "wholly" && plan.task !== "generate") ? "good" : plan.fits ? "warn" : "bad");
export const mark = plan => ({ good: "check", warn: "info", bad: "warning" })[tone(plan)];
export const seconds = value => (value < 1 ? `${number(value * 1000)}\u00a0ms` : value < 90 ? `${number(value, value < 10 ? 1 : 0)}\u00a0s` : `${number(value / 60, value < 600 ? 1 : 0)}\u00a0min`);

/** One sentence: does it fit? */
export function verdict(plan) {
  if (!plan.fits) return t("plan.no_fit", { missing: memory(plan.missing_bytes) });
  if (plan.placed === "offload") return t("plan.part_fit", { layers: plan.gpu_layers, all: plan.all_layers });
  return t("plan.fit", { spare: memory(spare(plan)) });
}

/** The badge of a row. */
export const placed = plan => t(`plan.placed_${plan.placed}`);

/** What it is that fits or does not. */
export function subject(plan) {
  return t("plan.subject", { n: plan.users, model: named(plan), device: plan.device, context: tokens(plan.context) });
}

/** How fast it is, in words; "" where it does not run. */
export function speed(plan) {
  if (!plan.fits || !plan.prompt_tokens_per_second) return plan.fits ? "" : t("plan.needs", { total: memory(plan.total_bytes), there: memory(plan.capacity_bytes) });
  if (plan.task !== "generate") return t("plan.reads_only", { rate: pace(plan.prompt_tokens_per_second) });
  const rate = plan.generate_tokens_per_second;
  return t(rate >= 10 ? "plan.writes_quick" : rate >= 2 ? "plan.writes_slow" : "plan.writes_crawl", { rate: pace(rate) });
}

const BASES = { "measured here": "measured", published: "published", assumed: "assumed" };
export const basis = plan => t(`plan.basis_${BASES[plan.speed_basis] ?? "assumed"}`, { spread: percent(plan.generate_spread) });

/** A way out, as the text of a button. */
export function way(one) {
  const asks = one.asks;
  switch (one.kind) {
    case "context": return t("plan.way_context", { context: tokens(Number(asks.context)) });
    case "kv": return t("plan.way_kv", { kv: asks.kv });
    case "slots": return t("plan.way_slots", { n: Number(asks.slots) });
    case "precision": return t("plan.way_precision", { precision: asks.precision });
    case "gpus": return t("plan.way_gpus", { gpus: asks.gpus });
    case "model": return t("plan.way_model", { model: one.title, rate: pace(one.generate_tokens_per_second) });
    default: return t(one.condition === "used" ? "plan.way_used" : "plan.way_new", { device: one.title, price: euros(one.price_eur), rate: pace(one.generate_tokens_per_second) });
  }
}

/** openai/gpt-6 stays; subscriptions lose the word before their name. */
export const cloud = name => name.replace(/^subscription /, "");

/** Whether it pays, in one sentence. */
export function pays(plan, one) {
  const said = { own: euros(plan.eur_per_month), other: euros(one.eur_per_month), name: cloud(one.with) };
  if (!one.pays) return t("plan.pays_not", said);
  const months = Math.ceil(one.break_even_months - 1e-9);
  return months > 0 ? t("plan.pays_after", { ...said, n: months }) : t("plan.pays_at_once", said);
}

/** What would turn a no into a yes. */
export function turns(plan, one) {
  const grows = one.turns.find(turn => turn.what === "alternative")?.unit !== "EUR per month";
  const times = turn => { const factor = turn.then / turn.now; return number(factor, factor >= 10 ? 0 : factor >= 1.1 || factor < 0.9 ? 1 : 2); };
  return one.turns.map(turn => {
    switch (turn.what) {
      case "volume":
        return turn.now ? t(grows ? "plan.turn_volume" : "plan.turn_volume_less", { times: times(turn), tokens: number(turn.then) }) : "";
      case "machine price": return turn.then < turn.now ? t("plan.turn_price", { price: euros(turn.then) }) : "";
      case "electricity": return turn.then < turn.now ? t("plan.turn_electricity", { price: euros(turn.then) }) : "";
      case "idle power": return turn.then < turn.now ? t("plan.turn_idle", { watts: number(turn.then) }) : "";
      default: return turn.now > 0 && turn.then > turn.now ? t("plan.turn_alternative", { name: cloud(one.with), times: times(turn) }) : "";
    }
  }).filter(Boolean);
}

export const energy = wattHours => (wattHours >= 10000 ? `${number(wattHours / 1000)}\u00a0kWh` : `${number(wattHours, wattHours < 10 ? 1 : 0)}\u00a0Wh`);
export const mass = grams => (grams >= 10000 ? `${number(grams / 1000)}\u00a0kg` : `${number(grams, grams < 10 ? 1 : 0)}\u00a0g`);
