/** What is said of models in several places: sizes, uses, licences, how many parameters. */

import { h, icon } from "../dom.js";
import { number, t } from "../text.js";
import { told } from "../told.js";

const has = key => key in told.texts;

/** "8.2 B parameters" as the field writes it: 8.2B, 600M. */
export function parameters(count) {
  const [value, unit] = count >= 1e9 ? [count / 1e9, "B"] : [count / 1e6, "M"];
  return `${number(value, value < 10 ? 1 : 0)}${unit}`;
}

/** Tokens of context: 8k, 128k, 1M. */
export const contextOf = tokens => (tokens >= 1024 * 1024 ? `${number(tokens / 1048576, 1)}M` : tokens >= 1024 ? `${number(tokens / 1024)}k` : number(tokens));

export const useName = use => (has(`models.use_${use}`) ? t(`models.use_${use}`) : use);
export const abilityName = name => (has(`models.can_${name}`) ? t(`models.can_${name}`) : name);
export const toolName = tool => ({ ollama: "Ollama", huggingface: "Hugging Face", lmstudio: "LM Studio", "lm-studio": "LM Studio", gpt4all: "GPT4All", jan: "Jan" })[tool] ?? tool;

/** Whether a licence allows to earn money with it, in words. */
export const commercialText = entry => t(`models.commercial_${["yes", "conditions", "no"].includes(entry.commercial) ? entry.commercial : "unknown"}`);

/** A list of terms and what they are, those without a value left out. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Small words on a model: what it can do. */
export const badges = names => names.map(name => h("span", { class: "badge" }, name));

/** The address of a chat with a model. */
export const chatWith = model => `/?model=${encodeURIComponent(model)}`;

export const warning = (text, kind = "warn") => h("div", { class: `notice ${kind}` }, icon(kind === "good" ? "check" : "warning"), h("div", {}, h("p", {}, text)));

