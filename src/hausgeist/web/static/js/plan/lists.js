/** What the selects offer, once the lists are there. */

import { h } from "../dom.js";
import { language } from "../told.js";
import { t } from "../text.js";
import { currencies, euros } from "./money.js";

const CARDS = ["1", "2", "3", "4", "6", "8"];

export const option = (value, label = value) => h("option", { value }, label);

export function precisions(question, known) {
  const usual = known.models.find(one => question.model.includes(one.name))?.precision;
  const named = question.model.length === 1 && usual && !question.engine;
  return [option("", named ? t("plan.as_usual", { precision: usual }) : t("plan.usual")), known.engines[question.engine || "llamacpp"].precisions.map(one => option(one))];
}

export const caches = (question, known) => [option("", t("plan.kv_usual")), known.engines[question.engine || "llamacpp"].kv.filter(one => one !== "f16").map(one => option(one))];
export const cards = question => [...new Set([...CARDS, question.gpus || "1"])].map(one => option(one));
export const uses = known => known.uses.map(one => option(one, t(`plan.use_${one}`)));
export const moneys = () => currencies().map(one => option(one));

export function countries(known) {
  const names = new Intl.DisplayNames([language], { type: "region" });
  const named = known.countries.map(one => [one.code, /^[A-Z]{2}$/.test(one.code) ? names.of(one.code) : one.name]);
  const sorted = named.sort((a, b) => a[1].localeCompare(b[1], language));
  return [option("", t("plan.country_usual", { country: names.of("DE") })), sorted.map(([code, name]) => option(code, name))];
}

/** Models in the cloud by their providers, then subscriptions. */
export function rivals(known) {
  const byProvider = {};
  for (const one of known.clouds) (byProvider[one.name.split("/")[0]] ??= []).push(one);
  const priced = one => `${one.name.split("/").slice(1).join("/")} (${euros(one.input_eur)} / ${euros(one.output_eur)})`;
  return [
    option("", t("plan.against_usual")),
    Object.entries(byProvider).map(([provider, some]) => h("optgroup", { label: provider }, some.map(one => option(one.name, priced(one))))),
    h("optgroup", { label: t("plan.subscriptions") }, known.subscriptions.map(one => option(one.name, `${one.name} (${euros(one.eur_per_month)})`))),
  ];
}
