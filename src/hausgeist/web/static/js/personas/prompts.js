/** The prompt library: texts that are used again, with gaps, {{so}}, to fill in. */

import { field, form } from "../dialog.js";
import { h, put } from "../dom.js";
import { draftOf, preference } from "../preferences.js";
import { t } from "../text.js";

const GAP = /\{\{\s*([^{}]+?)\s*\}\}/g;
const LONGEST = 32768;

const gaps = text => [...new Set([...text.matchAll(GAP)].map(found => found[1]))];
const badges = names => names.map(name => h("span", { class: "badge gap" }, name));

function fields(one) {
  const found = h("p", { class: "row marks small", "aria-live": "polite" }), text = h("textarea", { name: "text", rows: "10", required: true, maxlength: LONGEST, value: one?.text ?? "" });
  const tell = () => { const names = gaps(text.value); put(found, names.length ? [t("personas.gaps"), badges(names)] : t("personas.no_gaps")); };
  text.addEventListener("input", tell);
  tell();
  return [field(t("common.name"), h("input", { name: "name", required: true, maxlength: "100", autocomplete: "off", value: one?.name ?? "" })), field(t("personas.text"), text, t("personas.text_hint")), found];
}

/** Its gaps filled, as the draft of a new chat. What stands there already stays. */
async function run(one) {
  const names = gaps(one.text);
  let { text } = one;
  if (names.length) {
    const values = await form(one.name, names.map((name, place) => field(name, h("textarea", { name: `gap-${place}`, rows: "2" }))), filled => filled, { action: t("personas.use") });
    if (!values) return;
    text = one.text.replace(GAP, (whole, name) => values[`gap-${names.indexOf(name)}`] || whole);
  }
  const before = preference(draftOf(""));
  preference(draftOf(""), before ? `${before}\n\n${text}` : text);
  location.assign("/");
}

export const prompts = {
  name: "prompt", path: "/house/v1/prompts", icon: "edit", fields,
  body: values => ({ name: values.name.trim(), text: values.text }),
  copied: one => ({ text: one.text }),
  words: one => `${one.name} ${one.text}`,
  marks: one => badges(one.variables),
  content: one => h("p", { class: "words soft" }, one.text),
  doing: { label: t("personas.use_in_chat"), icon: "chat", run },
};
