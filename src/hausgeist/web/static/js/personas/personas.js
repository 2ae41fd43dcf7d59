/** Personas: instructions with a name, a model and settings, which a chat begins with. */

import { get, post } from "../api.js";
import { field } from "../dialog.js";
import { h } from "../dom.js";
import { number, t } from "../text.js";

const NUMBERS = { temperature: { min: 0, max: 2, step: .1 }, top_p: { min: 0, max: 1, step: .05 }, max_output_tokens: { min: 1, max: 1000000, step: 1 } };
const LONGEST = 32768;

async function fields(one) {
  const models = await get("/house/v1/models").then(told => told.data.filter(model => !model.capabilities || model.capabilities.includes("completion")).map(model => model.id), () => []);
  if (one?.model && !models.includes(one.model)) models.push(one.model);
  const model = h("select", { name: "model" }, h("option", { value: "" }, t("personas.any_model")), models.map(name => h("option", { value: name }, name)));
  model.value = one?.model ?? "";
  const numbers = Object.entries(NUMBERS).map(([name, bounds]) => field(t(`personas.${name}`), h("input", { name, type: "number", inputmode: "decimal", ...bounds, step: "any", value: String(one?.settings?.[name] ?? ""), placeholder: t("personas.usual") })));
  return [
    field(t("common.name"), h("input", { name: "name", required: true, maxlength: "100", autocomplete: "off", value: one?.name ?? "" })),
    field(t("personas.instructions"), h("textarea", { name: "instructions", rows: "8", maxlength: LONGEST, value: one?.instructions ?? "" }), t("personas.instructions_hint")),
    field(t("personas.model"), model),
    h("details", { class: "settings", open: Object.keys(NUMBERS).some(name => one?.settings?.[name] !== undefined) }, h("summary", {}, t("personas.settings")), h("div", { class: "trio" }, numbers)),
  ];
}

function body(values, one) {
  // What other clients have put there stays.
  const settings = { ...one?.settings };
  for (const name of Object.keys(NUMBERS)) values[name] === "" ? delete settings[name] : (settings[name] = Number(values[name]));
  return { name: values.name.trim(), instructions: values.instructions, model: values.model || null, settings };
}

/** A chat with it, and there. */
async function run(one) {
  const model = one.model ?? (await get("/house/v1/models")).data.find(other => !other.capabilities || other.capabilities.includes("completion"))?.id ?? "";
  const chat = await post("/house/v1/chats", { model, settings: { ...one.settings, ...(one.instructions ? { instructions: one.instructions } : {}), persona: one.id }, metadata: { persona: one.id } });
  location.assign(`/chat/${chat.id}`);
}

export const personas = {
  name: "persona", path: "/house/v1/personas", icon: "persona", fields, body,
  copied: one => ({ instructions: one.instructions, model: one.model, settings: one.settings }),
  words: one => `${one.name} ${one.instructions} ${one.model ?? ""}`,
  marks: one => [one.model ? h("span", { class: "badge" }, one.model) : null, Object.keys(NUMBERS).filter(name => typeof one.settings?.[name] === "number").map(name => h("span", { class: "badge" }, `${t(`personas.${name}`)} ${number(one.settings[name], 2)}`))],
  content: one => h("p", { class: "words soft" }, one.instructions || t("personas.no_instructions")),
  doing: { label: t("personas.try"), icon: "chat", run },
};
