/** The panel beside the chat: persona, instructions, and how the model says things. Kept with the chat. */

import { get } from "../api.js";
import { button, find, h, put } from "../dom.js";
import { field } from "../dialog.js";
import { number, t } from "../text.js";
import { complain } from "../toast.js";

const EFFORTS = ["low", "medium", "high"];

/** The panel at the side, which one thing at a time uses. Gives back what closes it. */
export function openPanel(title, content, { onClose = () => {}, kind = "" } = {}) {
  const panel = find("#panel"), before = document.activeElement;
  panel.closing?.();
  const close = () => {
    if (panel.closing !== close) return;
    panel.closing = null;
    const held = panel.contains(document.activeElement);
    panel.hidden = true;
    put(panel);
    onClose();
    if (held) before?.focus?.();
  };
  panel.closing = close;
  panel.className = `panel ${kind}`;
  panel.setAttribute("aria-label", title);
  put(panel, h("header", {}, h("h2", {}, title), button(t("common.close"), { icon: "close", bare: true, kind: "quiet", on: close })), content);
  panel.hidden = false;
  panel.onkeydown = event => { if (event.key === "Escape" && !event.defaultPrevented) { event.stopPropagation(); close(); } };
  return close;
}

export class Parameters {
  /** `page`: chat() as it is, change(fields), thinks() whether the model has levels of effort. */
  constructor(page) {
    this.page = page;
    this.button = find("#parameters");
    this.button.addEventListener("click", () => (this.close ? this.close() : this.open()));
  }

  open() {
    const form = h("form", { class: "parameters", on: { submit: event => event.preventDefault() } });
    this.close = openPanel(t("chat.parameters"), form, { onClose: () => { this.close = null; this.button.setAttribute("aria-expanded", "false"); } });
    this.button.setAttribute("aria-expanded", "true");
    this.form = form;
    this.draw();
    form.querySelector("select, textarea")?.focus();
    get("/house/v1/personas", { limit: 200 }).then(({ data }) => { this.personas = data; this.#choices(); }, error => error.status === 404 || complain(error));
  }

  /** Another chat was opened, or another model chosen. */
  draw() {
    if (!this.close) return;
    const { settings } = this.page.chat();
    this.persona = h("select", { on: { change: () => this.#persona(this.persona.value) } });
    this.instructions = h("textarea", { rows: "6", maxlength: "40000", value: settings.instructions ?? "", placeholder: t("chat.instructions_hint"), on: { input: () => this.#set({ instructions: this.instructions.value.trim() || undefined, persona: undefined }) } });
    put(this.form,
      field(t("chat.persona"), this.persona),
      h("p", { class: "small" }, h("a", { href: "/personas" }, t("chat.manage_personas"))),
      field(t("chat.instructions"), this.instructions),
      this.#slider("temperature", { least: 0, most: 2, step: .05, usual: .8 }),
      this.#slider("top_p", { least: 0, most: 1, step: .01, usual: .95 }),
      this.#count("max_output_tokens", { least: 1 }),
      this.#count("seed", {}),
      this.page.thinks() ? this.#effort() : null,
      button(t("chat.reset"), { icon: "retry", on: () => { this.page.change({ settings: keepTools(this.page.chat().settings) }); this.draw(); } }));
    this.#choices();
  }

  #choices() {
    if (!this.close) return;
    const chosen = this.page.chat().settings.persona ?? "";
    put(this.persona, h("option", { value: "" }, t("chat.no_persona")), (this.personas ?? []).map(one => h("option", { value: one.id }, one.name)));
    this.persona.value = chosen;
    if (this.persona.value !== chosen) this.persona.value = "";
  }

  #persona(id) {
    const one = this.personas?.find(other => other.id === id), { settings } = this.page.chat();
    const fields = { settings: { ...keepTools(settings), ...(one ? { ...one.settings, instructions: one.instructions || undefined, persona: one.id } : {}) } };
    if (one?.model) fields.model = one.model;
    this.page.change(fields);
    this.draw();
    this.persona.focus();
  }

  #set(fields) {
    const settings = { ...this.page.chat().settings, ...fields };
    for (const [name, value] of Object.entries(settings)) if (value === undefined) delete settings[name];
    this.page.change({ settings });
    if (!settings.persona && this.persona.value) this.persona.value = "";
  }

  #slider(name, { least, most, step, usual }) {
    const now = this.page.chat().settings[name];
    const shown = h("output", { class: "small" }, now === undefined ? t("chat.as_model") : number(now, 2));
    const range = h("input", { type: "range", min: String(least), max: String(most), step: String(step) });
    range.value = String(now ?? usual);
    range.addEventListener("input", () => { shown.textContent = number(Number(range.value), 2); this.#set({ [name]: Number(range.value) }); });
    const control = field(t(`chat.${name}`), range, t(`chat.${name}_hint`));
    control.querySelector("label").append(" ", shown);
    return control;
  }

  #count(name, { least = null }) {
    const now = this.page.chat().settings[name];
    const input = h("input", { type: "number", inputmode: "numeric", min: least, step: "1", value: now === undefined ? "" : String(now), placeholder: t("chat.as_model") });
    input.addEventListener("input", () => {
      const valid = input.value === "" || (input.validity.valid && Number.isSafeInteger(Number(input.value)));
      input.setAttribute("aria-invalid", String(!valid));
      if (valid) this.#set({ [name]: input.value === "" ? undefined : Number(input.value) });
    });
    return field(t(`chat.${name}`), input, t(`chat.${name}_hint`));
  }

  #effort() {
    const select = h("select", { on: { change: () => this.#set({ reasoning: select.value ? { effort: select.value } : undefined }) } },
      h("option", { value: "" }, t("chat.as_model")), h("option", { value: "none" }, t("chat.effort_none")), EFFORTS.map(name => h("option", { value: name }, t(`chat.effort_${name}`))));
    select.value = this.page.chat().settings.reasoning?.effort ?? "";
    return field(t("chat.effort"), select);
  }
}

/** Which documents are asked is no parameter: it stays. */
const keepTools = settings => (settings.tools ? { tools: settings.tools } : {});
