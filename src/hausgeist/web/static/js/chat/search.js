/** Finding chats by their titles and by what was said in them. */

import { get } from "../api.js";
import { find, h, put } from "../dom.js";
import { ago, t } from "../text.js";
import { complain } from "../toast.js";

const REST = 200;

export class ChatSearch {
  /** `open(chat, item)`; the list of chats makes room while something is looked for. */
  constructor(open) {
    this.open = open;
    this.input = find("#find-chat");
    this.list = find("#chats");
    this.found = h("section", { class: "found", "aria-label": t("chat.found"), hidden: true });
    this.said = h("p", { class: "visually-hidden", role: "status" });
    this.list.before(this.found, this.said);
    this.input.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.#look(), REST); });
    this.input.addEventListener("keydown", event => {
      if (event.key === "Escape" && this.input.value) { event.preventDefault(); event.stopPropagation(); this.clear(); }
      else if (event.key === "ArrowDown" && !this.found.hidden) { event.preventDefault(); this.found.querySelector("a")?.focus(); }
      else if (event.key === "Enter") this.found.querySelector("a")?.click();
    });
    this.found.addEventListener("keydown", event => {
      const links = [...this.found.querySelectorAll("a")], here = links.indexOf(document.activeElement);
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); (links[here + (event.key === "ArrowDown" ? 1 : -1)] ?? this.input).focus(); }
      else if (event.key === "Escape") { this.clear(); this.input.focus(); }
    });
    this.found.addEventListener("click", event => {
      const link = event.target.closest("a");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.open(link.dataset.chat, link.dataset.item);
    });
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  clear() {
    this.input.value = "";
    this.#look();
  }

  async #look() {
    const q = this.input.value.trim();
    this.asked?.abort();
    if (!q) {
      this.found.hidden = true;
      this.list.hidden = false;
      this.said.textContent = "";
      return;
    }
    const asked = this.asked = new AbortController();
    try {
      const told = await get("/house/v1/chats/search", { q, limit: 30 }, { signal: asked.signal });
      this.#show(told);
    } catch (error) {
      // A query without words finds nothing.
      if (error.status === 400) this.#show({ chats: [], data: [] });
      else complain(error);
    }
  }

  #show({ chats, data }) {
    const row = (chat, item, title, more) => h("li", {}, h("a", { href: `/chat/${chat}${item ? `#${item}` : ""}`, dataset: item ? { chat, item } : { chat } }, h("span", { class: "label", dir: "auto" }, title || t("chat.untitled")), more));
    put(this.found,
      chats.length ? [h("h2", {}, t("chat.titles")), h("ul", { class: "side-list found-list" }, chats.map(one => row(one.id, "", one.title, null)))] : null,
      data.length ? [h("h2", {}, t("chat.said")), h("ul", { class: "side-list found-list" }, data.map(hit => row(hit.chat, hit.item, hit.title, [
        h("span", { class: "snippet small", dir: "auto" }, hit.snippet.map(piece => (piece.found ? h("mark", {}, piece.text) : piece.text))), h("span", { class: "small faint" }, ago(hit.created))])))] : null,
      chats.length || data.length ? null : h("p", { class: "small faint none-yet" }, t("chat.nothing_found")));
    this.said.textContent = t("chat.found_many", { n: chats.length + data.length });
    this.found.hidden = false;
    this.list.hidden = true;
  }
}
