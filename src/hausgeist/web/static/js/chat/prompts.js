/** The prompt library above the composer: "/" opens it, letters narrow it down, what a prompt leaves open is asked for. */

import { get } from "../api.js";
import { field, form } from "../dialog.js";
import { find, h, put } from "../dom.js";
import { t } from "../text.js";
import { complain } from "../toast.js";

const GAP = /\{\{\s*([^{}]+?)\s*\}\}/g;

/** A prompt's text with its gaps filled. */
export const filled = (text, values) => text.replace(GAP, (whole, name) => values[name] ?? whole);

export class PromptLibrary {
  constructor(composer) {
    this.composer = composer;
    this.list = h("ul", { class: "prompt-list", id: "prompt-list", role: "listbox", "aria-label": t("chat.prompts") });
    this.box = h("div", { class: "prompt-box", hidden: true }, this.list, h("p", { class: "small" }, h("a", { href: "/personas" }, t("chat.keep_prompts"))));
    find("#composer").before(this.box);
    this.open = false;
    this.at = 0;
    this.button = find("#prompts");
    this.button.addEventListener("click", () => (this.open ? this.close() : this.#show("")));
    document.addEventListener("pointerdown", event => { if (this.open && !this.box.contains(event.target) && !this.button.contains(event.target)) this.close(); });
  }

  typed(text) {
    const found = /^\/([^\n]{0,60})$/.exec(text);
    if (found) this.#show(found[1]);
    else if (this.open) this.close();
  }

  /** Whether a key in the composer was meant for the library. */
  key(event) {
    if (!this.open) return false;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") this.#move(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Escape") this.close();
    else if ((event.key === "Enter" || event.key === "Tab") && this.shown[this.at]) this.#take(this.shown[this.at]);
    else return false;
    event.preventDefault();
    return true;
  }

  close() {
    this.open = false;
    this.box.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    for (const name of ["aria-activedescendant", "aria-controls"]) this.composer.area.removeAttribute(name);
  }

  async #show(words) {
    this.words = words.toLowerCase().trim();
    if (!this.open) {
      this.open = true;
      this.button.setAttribute("aria-expanded", "true");
      try {
        this.all = (await get("/house/v1/prompts", { limit: 200 })).data;
      } catch (error) {
        complain(error);
        return this.close();
      }
      if (!this.open) return undefined;
    }
    this.#draw();
    this.composer.area.focus();
    return undefined;
  }

  #draw() {
    if (!this.all) return;
    this.shown = this.all.filter(one => `${one.name}\n${one.text}`.toLowerCase().includes(this.words)).slice(0, 50);
    this.at = Math.min(this.at, Math.max(0, this.shown.length - 1));
    put(this.list, this.shown.map((one, place) => h("li", { role: "option", id: `prompt-${place}`, "aria-selected": String(place === this.at), on: { click: () => this.#take(one), pointermove: () => place !== this.at && this.#move(place - this.at) } },
      h("span", { class: "prompt-name" }, one.name), h("span", { class: "small faint prompt-text" }, one.text.slice(0, 160)))));
    if (!this.shown.length) this.list.append(h("li", { class: "soft", role: "option", "aria-disabled": "true", "aria-selected": "false" }, t(this.all.length ? "chat.no_such_prompt" : "chat.no_prompts")));
    this.box.hidden = false;
    this.composer.area.setAttribute("aria-controls", "prompt-list");
    if (this.shown.length) this.composer.area.setAttribute("aria-activedescendant", `prompt-${this.at}`);
  }

  #move(by) {
    if (!this.shown.length) return;
    this.at = (this.at + by + this.shown.length) % this.shown.length;
    [...this.list.children].forEach((one, place) => one.setAttribute("aria-selected", String(place === this.at)));
    this.list.children[this.at].scrollIntoView({ block: "nearest" });
    this.composer.area.setAttribute("aria-activedescendant", `prompt-${this.at}`);
  }

  async #take(prompt) {
    this.close();
    let { text } = prompt;
    if (prompt.variables.length) {
      const fields = prompt.variables.map((name, place) => field(name, h("textarea", { name: `gap-${place}`, rows: "2", required: true })));
      const values = await form(prompt.name, fields, given => given, { action: t("chat.fill_in") });
      if (!values) return this.composer.area.focus();
      text = filled(text, Object.fromEntries(prompt.variables.map((name, place) => [name, values[`gap-${place}`]])));
    }
    this.composer.text = text;
    this.composer.area.focus();
    this.composer.area.setSelectionRange(text.length, text.length);
    return undefined;
  }
}
