/** The chats at the side: pinned ones, then by day; what can be done to each; more of them as the reader goes down. */

import { ask, get, patch, remove } from "../api.js";
import { button, find, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { t, when } from "../text.js";
import { complain, safely, toast } from "../toast.js";
import { exportChat } from "./files.js";

const PATH = "/house/v1/chats", AT_ONCE = 100, UNDO_SECONDS = 6;

/** Under which heading a chat stands. */
function period(seconds, now = new Date()) {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime() / 1000, day = 86400;
  if (seconds >= midnight) return t("chat.today");
  if (seconds >= midnight - day) return t("chat.yesterday");
  if (seconds >= midnight - 7 * day) return t("chat.this_week");
  if (seconds >= midnight - 30 * day) return t("chat.this_month");
  return when(seconds, { month: "long", year: "numeric" });
}

export class History {
  /** `page`: open(id), current() its id, gone(id), renamed(chat), tell(id, what). */
  constructor(page) {
    this.page = page;
    this.root = find("#chats");
    this.chats = new Map();
    this.archived = false;
    this.next = null;
    this.going = new Map();
    this.root.addEventListener("click", event => this.#clicked(event));
    this.end = h("div", { class: "list-end" });
    new IntersectionObserver(seen => { if (seen.some(one => one.isIntersecting) && this.next) safely(() => this.more())(); }, { root: find(".side"), rootMargin: "600px" }).observe(this.end);
    addEventListener("pagehide", () => this.#flush());
  }

  /** The newest, looked at again. Those further down stay as they were seen. */
  async refresh({ anew = false } = {}) {
    const query = { archived: this.archived, limit: AT_ONCE };
    const [pinned, others] = await Promise.all([this.archived ? { data: [] } : get(PATH, { pinned: true, limit: 200 }), get(PATH, { ...query, pinned: this.archived ? null : false })]);
    const oldest = others.data.at(-1)?.changed ?? 0;
    if (anew || !this.chats.size) {
      this.chats.clear();
      this.next = others.next;
    } else {
      // What should have been among them and was not is gone.
      for (const [id, one] of this.chats) if (one.pinned || others.next === null || one.changed >= oldest) this.chats.delete(id);
    }
    for (const one of [...pinned.data, ...others.data]) this.chats.set(one.id, one);
    this.draw();
  }

  async more() {
    const after = this.next;
    this.next = null;
    const found = await get(PATH, { archived: this.archived, pinned: this.archived ? null : false, limit: AT_ONCE, after });
    for (const one of found.data) this.chats.set(one.id, one);
    this.next = found.next;
    this.draw();
  }

  /** A chat as the page knows it better. */
  set(chat) {
    if (!chat.id) return;
    const known = this.chats.get(chat.id);
    if (!known && (chat.archived !== this.archived)) return;
    const { items, ...facts } = chat;
    this.chats.set(chat.id, { ...known, ...facts });
    this.draw();
  }

  forget(id) {
    this.chats.delete(id);
    this.draw();
  }

  draw() {
    const current = this.page.current();
    const shown = [...this.chats.values()].filter(one => !this.going.has(one.id)).sort((a, b) => b.changed - a.changed);
    const signature = JSON.stringify([this.archived, current, shown.map(one => [one.id, one.title, one.pinned, Boolean(one.running)])]);
    if (signature === this.signature) return;
    this.signature = signature;
    const held = this.root.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.chat : null;
    const groups = new Map();
    for (const one of shown) {
      const name = this.archived ? t("chat.archived") : one.pinned ? t("chat.pinned") : period(one.changed);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(one);
    }
    const pinned = groups.get(t("chat.pinned"));
    const ordered = pinned ? [[t("chat.pinned"), pinned], ...[...groups].filter(([name]) => name !== t("chat.pinned"))] : [...groups];
    put(this.root,
      this.archived ? button(t("chat.back_from_archive"), { icon: "left", kind: "quiet tiny", on: safely(() => this.#switch(false)) }) : null,
      ordered.map(([name, chats]) => [h("h2", {}, name), h("ul", { class: "side-list" }, chats.map(one => this.#row(one, one.id === current)))]),
      shown.length ? null : h("p", { class: "small faint none-yet" }, t(this.archived ? "chat.nothing_archived" : "chat.no_chats")),
      this.end);
    this.root.removeAttribute("aria-busy");
    if (held) this.root.querySelector(`[data-chat="${CSS.escape(held)}"] a`)?.focus({ preventScroll: true });
  }

  #row(one, current) {
    const title = one.title || t("chat.untitled");
    return h("li", { dataset: { chat: one.id } },
      h("a", { href: `/chat/${one.id}`, "aria-current": current ? "page" : null, title }, h("span", { class: "label", dir: "auto" }, title), one.running ? h("span", { class: "pulse" }, h("span", { class: "visually-hidden" }, t("chat.being_answered"))) : null),
      h("button", { type: "button", class: "quiet tiny icon-only row-more", "aria-label": t("chat.menu_of", { title }), "aria-haspopup": "menu", "aria-expanded": "false" }, icon("more", { small: true })));
  }

  #clicked(event) {
    const row = event.target.closest("li[data-chat]");
    if (!row) return;
    const more = event.target.closest(".row-more"), link = event.target.closest("a");
    const chat = this.chats.get(row.dataset.chat);
    if (more) this.menu(chat, more, row);
    else if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      this.page.open(chat.id);
    }
  }

  menu(chat, anchor, row = null) {
    menu(anchor, this.doings(chat, row));
  }

  /** What can be done to a chat, for a menu. */
  doings(chat, row = null) {
    return [
      { label: t(chat.pinned ? "chat.unpin" : "chat.pin"), icon: "pin", run: safely(() => this.#change(chat, { pinned: !chat.pinned })) },
      { label: t("common.rename"), icon: "edit", run: () => this.rename(chat, row) },
      { label: t(chat.archived ? "chat.unarchive" : "chat.archive"), icon: "archive", run: safely(() => this.#archive(chat)) },
      "line",
      { label: t("chat.export_markdown"), icon: "download", run: safely(() => exportChat(chat, "markdown")) },
      { label: t("chat.export_json"), icon: "download", run: safely(() => exportChat(chat, "json")) },
      "line",
      { label: t("common.delete"), icon: "trash", danger: true, run: () => this.#delete(chat) },
    ];
  }

  async #change(chat, fields) {
    const now = await patch(`${PATH}/${chat.id}`, fields);
    this.page.renamed(now);
    this.set({ ...now, running: chat.running });
    this.page.tell(chat.id, "changed");
  }

  async #archive(chat) {
    await this.#change(chat, { archived: !chat.archived });
    this.forget(chat.id);
    toast(t(chat.archived ? "chat.was_unarchived" : "chat.was_archived"), { action: { label: t("common.undo"), run: safely(async () => { await this.#change(chat, { archived: chat.archived }); await this.refresh(); }) } });
  }

  /** In its place in the list; at the top bar, where it is not in it. */
  rename(chat, row = null) {
    const link = (row ?? this.root.querySelector(`[data-chat="${CSS.escape(chat.id)}"]`))?.querySelector("a") ?? find("#title");
    const input = h("input", { class: "rename", value: chat.title, maxlength: "200", "aria-label": t("chat.name_of_chat") });
    const end = async keep => {
      if (!input.isConnected || input.ended) return;
      input.ended = true;
      const title = input.value.trim(), held = document.activeElement === input;
      input.replaceWith(link);
      if (held) link.focus();
      if (keep && title && title !== chat.title) await this.#change(chat, { title }).catch(complain);
    };
    input.addEventListener("keydown", event => {
      if (event.isComposing) return;
      if (event.key === "Enter") { event.preventDefault(); end(true); }
      else if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); end(false); }
    });
    input.addEventListener("blur", () => end(true));
    link.replaceWith(input);
    input.focus();
    input.select();
  }

  /** Gone from the page at once, and from the server when nobody wants it back. */
  #delete(chat) {
    const { id } = chat, wasOpen = this.page.current() === id;
    const work = safely(async () => {
      await remove(`${PATH}/${id}`).finally(() => this.going.delete(id));
      this.forget(id);
      this.page.tell(id, "deleted");
    });
    const undo = () => {
      clearTimeout(this.going.get(id));
      this.going.delete(id);
      this.draw();
      if (wasOpen) this.page.open(id);
    };
    this.going.set(id, setTimeout(() => work().then(() => this.draw()), UNDO_SECONDS * 1000));
    this.draw();
    this.page.gone(id);
    toast(t("chat.was_deleted", { title: chat.title || t("chat.untitled") }), { seconds: UNDO_SECONDS, action: { label: t("common.undo"), run: undo } });
  }

  #flush() {
    for (const [id, timer] of this.going) {
      clearTimeout(timer);
      // The page goes: the request may outlive it.
      ask("DELETE", `${PATH}/${id}`, { keepalive: true }).catch(() => {});
    }
    this.going.clear();
  }

  async #switch(archived) {
    this.archived = archived;
    this.signature = "";
    await this.refresh({ anew: true });
    this.root.querySelector("button, a")?.focus();
  }

  showArchived() {
    return this.#switch(true);
  }
}
