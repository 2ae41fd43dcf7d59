/** How models run on this machine: asked for in lots, remembered for a while, said in words. */

import { get } from "../api.js";
import { h, icon } from "../dom.js";
import { bytes, number, t } from "../text.js";
import { told } from "../told.js";

const LOT = 32, KEPT_MS = 600000, KEY = `hausgeist.fits.${told.version}`;
const known = new Map();
let machine = null;

function recall() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    if (!kept || Date.now() - kept.at > KEPT_MS) return;
    machine = kept.machine;
    for (const one of kept.data) known.set(one.model, one);
  } catch {
    // What cannot be read is asked for again.
  }
}

function remember() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ at: Date.now(), machine, data: [...known.values()] }));
  } catch {
    // Storage is full, or switched off.
  }
}

/** What is known of a model by now. */
export const fitOf = name => known.get(name) ?? null;

/** The machine as the planner sees it, once something was asked. */
export const plannedMachine = () => machine;

/** Forget one, because what is installed under its name changed. */
export function forgetFit(name) {
  if (known.delete(name)) remember();
}

/** Find out about these; `told` is called after each lot. One request at a time, so that the server keeps its cores for answers. */
export async function lookAt(names, { told: tell = () => {}, signal } = {}) {
  const wanted = [...new Set(names)].filter(name => !known.has(name));
  for (let from = 0; from < wanted.length; from += LOT) {
    const answer = await get("/house/v1/models/fits", { model: wanted.slice(from, from + LOT) }, { signal });
    machine = answer.machine;
    const lot = wanted.slice(from, from + LOT);
    answer.data.forEach((one, place) => known.set(lot[place], { ...one, model: lot[place] }));
    tell(Math.min(1, (from + LOT) / wanted.length));
  }
  if (wanted.length) remember();
  if (!machine) machine = (await get("/house/v1/models/fits", {}, { signal })).machine;
}

/** All precisions of one model: {machine, chosen, data}. */
export const precisionsOf = name => get("/house/v1/models/fits", { model: name, precisions: "yes" });

/** "good", "slow", "part", "no", or "unknown": in which order people want them. */
export function kindOf(fit) {
  if (!fit || fit.error) return "unknown";
  if (!fit.fits) return "no";
  if (fit.placed === "offload") return "part";
  return fit.good ? "good" : "slow";
}

const BADGES = { good: ["good", "check"], slow: ["warn", "clock"], part: ["warn", "branch"], no: ["bad", "close"], unknown: ["", "info"] };

/** The verdict as a badge: an icon and words, never a colour alone. */
export function fitBadge(fit) {
  const kind = kindOf(fit), [look, named] = BADGES[kind];
  return h("span", { class: `badge ${look}`, title: fit?.error ?? null }, icon(named, { small: true }), t(`models.fit_${kind}`));
}

/** "about 14 tokens per second", or what is missing. */
export function paceText(fit) {
  if (!fit || fit.error) return "";
  if (!fit.fits) return t("models.too_large", { size: bytes(fit.missing_bytes, { memory: true }) });
  const rate = fit.generate_tokens_per_second;
  if (rate) return t("models.pace", { rate: number(rate, rate < 10 ? 1 : 0) });
  return fit.prompt_tokens_per_second ? t("models.pace_reads", { rate: number(fit.prompt_tokens_per_second) }) : "";
}

recall();
