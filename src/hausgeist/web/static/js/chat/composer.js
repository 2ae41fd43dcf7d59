/** Where questions are written: grows with them, keeps what is not sent yet, sends on Enter. */

import { find } from "../dom.js";
import { draftOf, preference } from "../preferences.js";
import { Attachments } from "./attachments.js";

const HIGHEST = .4;

export class Composer {
  /** `page`: send(content), stop(), editLast(), leaf(direction) through the thread, prompts: opens and steers the library, sees() whether the model can look at pictures, extra() chips of the chat. */
  constructor(page) {
    this.page = page;
    this.form = find("#composer");
    this.area = find("#question");
    this.send = find("#send");
    this.stop = find("#stop");
    this.said = find("#composer-note");
    this.chat = "";
    this.busy = false;
    this.attachments = new Attachments(find("#chips"), { sees: page.sees, note: text => this.note(text), changed: () => this.#look() });
    this.attachments.extra = page.extra;
    this.area.addEventListener("input", () => this.#typed());
    this.area.addEventListener("keydown", event => this.#key(event));
    this.area.addEventListener("paste", event => this.#paste(event));
    this.form.addEventListener("submit", event => { event.preventDefault(); this.#submit(); });
    this.stop.addEventListener("click", () => { page.stop(); this.area.focus(); });
    this.#drops();
    this.#grow();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.#typed();
  }

  /** The draft of this chat. */
  open(id) {
    this.chat = id;
    this.attachments.clear();
    this.area.value = preference(draftOf(id)) ?? "";
    this.note("");
    this.#grow();
    this.#look();
  }

  /** A new chat has got its id, or lost it: what is written in it belongs to that now. */
  rename(id) {
    preference(draftOf(id), preference(draftOf(this.chat)) ?? "");
    preference(draftOf(this.chat), "");
    this.chat = id;
  }

  /** The question is in the chat: its draft is done with. */
  taken() {
    if (!this.text) preference(draftOf(this.chat), "");
  }

  /** Give a question back that was not taken. */
  restore({ text = "", ...things }) {
    this.attachments.restore(things);
    this.text = text;
    this.area.focus();
  }

  note(text) {
    this.said.textContent = text;
  }

  working(busy) {
    this.busy = busy;
    const had = document.activeElement === this.send || document.activeElement === this.stop;
    this.stop.hidden = !busy;
    this.send.hidden = busy;
    if (had) this.area.focus();
    this.#look();
  }

  #look() {
    this.send.disabled = this.busy || !this.attachments.ready || !(this.text.trim() || this.attachments.any);
  }

  #typed() {
    this.#grow();
    this.#look();
    if (this.said.textContent) this.note("");
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => preference(draftOf(this.chat), this.text.slice(0, 100000)), 250);
    this.page.prompts.typed(this.text);
  }

  #grow() {
    // Browsers that know `field-sizing` do it themselves.
    if (CSS.supports("field-sizing", "content")) return;
    this.area.style.height = "auto";
    this.area.style.height = `${Math.min(this.area.scrollHeight, innerHeight * HIGHEST)}px`;
  }

  #key(event) {
    // In the middle of a word of an input method, Enter chooses it and Escape drops it.
    if (event.isComposing || event.keyCode === 229) return;
    if (this.page.prompts.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && this.busy) {
      event.preventDefault();
      this.page.stop();
    } else if (event.key === "ArrowUp" && !this.text && !event.shiftKey) {
      if (this.page.editLast()) event.preventDefault();
    } else if ((event.key === "PageUp" || event.key === "PageDown") && this.area.scrollHeight <= this.area.clientHeight) {
      event.preventDefault();
      this.page.leaf(event.key === "PageUp" ? -1 : 1);
    }
  }

  #submit() {
    const text = this.text.trim();
    if (this.send.disabled || this.busy) return;
    const content = { text, ...this.attachments.content() };
    clearTimeout(this.keeping);
    preference(draftOf(this.chat), this.text);
    this.area.value = "";
    this.attachments.clear();
    this.#grow();
    this.#look();
    this.page.send(content);
  }

  #paste(event) {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    this.attachments.add(files);
  }

  #drops() {
    const chat = find("#chat");
    let depth = 0;
    const over = event => event.dataTransfer?.types.includes("Files");
    chat.addEventListener("dragenter", event => { if (over(event)) { depth += 1; chat.classList.add("dropping"); } });
    chat.addEventListener("dragleave", event => { if (over(event) && (depth -= 1) <= 0) chat.classList.remove("dropping"); });
    chat.addEventListener("dragover", event => over(event) && event.preventDefault());
    chat.addEventListener("drop", event => {
      if (!over(event)) return;
      event.preventDefault();
      depth = 0;
      chat.classList.remove("dropping");
      this.attachments.add([...event.dataTransfer.files]);
      this.area.focus();
    });
  }
}
