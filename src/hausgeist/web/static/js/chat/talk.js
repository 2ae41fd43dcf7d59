/** The open chat and what goes on in it: asking, answering, stopping, branches. Knows the API and the thread; the rest of the page is told by `hooks`. */

import { get, patch, post, remove } from "../api.js";
import { asInput, shownAs } from "./said.js";
import { follow, make, passing, wait } from "./stream.js";

const CHATS = "/house/v1/chats";
const NEW = () => ({ id: "", title: "", model: "", settings: {}, running: null, items: [] });
/** Settings that are sent as they are kept; others belong to the page alone. */
const SENT = ["instructions", "temperature", "top_p", "max_output_tokens", "seed", "reasoning", "tools", "truncation"];

export class Talk {
  /**
   * `hooks`: opened(chat), changed(chat, what) where `what` is created, dropped, asked, ended,
   * turned, refreshed or changed; busy(boolean), trouble(error, {again, edit}), waiting() a note while nothing was said yet,
   * taken() the question is in the chat, ended(text).
   */
  constructor(thread, hooks) {
    this.thread = thread;
    this.hooks = hooks;
    this.chat = NEW();
    this.run = null;
    this.saving = null;
  }

  get busy() {
    return this.run !== null;
  }

  /** Leave what is shown. An answer that is being made is made to its end all the same. */
  leave() {
    this.#save();
    this.run?.abort();
    this.run = null;
    this.#drop();
  }

  fresh(chosen) {
    this.leave();
    this.chat = { ...NEW(), ...chosen };
    this.thread.clear();
    this.hooks.busy(false);
    this.hooks.opened(this.chat);
  }

  async open(id) {
    this.leave();
    const leave = this.run = new AbortController();
    this.chat = { ...NEW(), id };
    this.thread.clear();
    this.hooks.busy(false);
    try {
      const chat = await get(`${CHATS}/${encodeURIComponent(id)}`, {}, { signal: leave.signal });
      this.run = null;
      this.#take(chat);
      this.hooks.opened(chat);
      if (chat.running) await this.#follow(chat.running);
    } finally {
      if (this.run === leave) this.run = null;
    }
  }

  #take(chat) {
    this.chat = chat;
    this.thread.show(chat.items);
  }

  /** What the chat is now, where nothing goes on here: another tab may have asked. */
  async refresh() {
    const { id } = this.chat;
    if (!id || this.busy) return;
    const chat = await get(`${CHATS}/${id}`);
    if (this.chat.id !== id || this.busy) return;
    this.#take(chat);
    this.hooks.changed(chat, "refreshed");
    if (chat.running) await this.#follow(chat.running);
  }

  /** Another model, other settings. They are kept with the chat. */
  change(fields) {
    Object.assign(this.chat, fields);
    this.unsaved = { ...this.unsaved, ...fields };
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.#save(), 500);
  }

  #save() {
    clearTimeout(this.saving);
    const { unsaved, chat } = this;
    this.unsaved = null;
    if (unsaved && chat.id) patch(`${CHATS}/${chat.id}`, unsaved).catch(error => this.hooks.trouble(error, {}));
  }

  // Asking

  /** Ask something new, or `insteadOf` a question that was asked. */
  async send(content, { insteadOf = null } = {}) {
    if (this.busy) return;
    const again = () => this.send(content, { insteadOf });
    await this.#guarded(async signal => {
      if (!this.chat.id) await this.#create(signal);
      if (insteadOf) this.#take(await this.#turn({ instead_of: insteadOf }, signal));
      this.thread.takeBack();
      const parts = asInput(content);
      this.thread.ask({ type: "message", role: "user", status: "completed", content: shownAs(content) });
      this.hooks.changed(this.chat, "asked");
      await this.#answer({ input: parts }, signal);
    }, { again, edit: content, restore: insteadOf });
  }

  /** Make an answer again, by another model where one is named. */
  async again(turn, { model = null } = {}) {
    if (this.busy) return;
    const { key } = turn.entry;
    await this.#guarded(async signal => {
      this.#take(await this.#turn({ instead_of: key }, signal));
      await this.#answer({ input: [], model }, signal);
    }, { again: () => this.again(turn, { model }), restore: key });
  }

  /** Answer what was said last, or go on with an answer that was cut off. */
  async goOn() {
    if (this.busy) return;
    await this.#guarded(signal => this.#answer({ input: [] }, signal, { goOn: true }), { again: () => this.goOn() });
  }

  /** Allow a call of a tool, or refuse it. */
  async decide(item, approve) {
    if (this.busy) return;
    const input = [{ type: "mcp_approval_response", approval_request_id: item.id, approve }];
    await this.#guarded(signal => this.#answer({ input }, signal), { again: () => this.decide(item, approve) });
  }

  async show(item) {
    if (this.busy) return;
    this.#take(await this.#turn({ show: item }));
    this.hooks.changed(this.chat, "turned");
  }

  async stop() {
    const id = this.response;
    if (!id) return;
    try {
      await post(`/v1/responses/${id}/cancel`);
    } catch (error) {
      // It has ended meanwhile.
      if (error.status !== 400 && error.status !== 404 && error.status !== 409) throw error;
    }
  }

  async forget(turn) {
    const { id } = this.chat;
    for (const one of turn.entry.items) await remove(`/v1/conversations/${id}/items/${one.item.id}`);
    await this.refresh();
    this.hooks.changed(this.chat, "changed");
  }

  async #create(signal) {
    const { model, settings, title } = this.chat;
    const made = await post(CHATS, { model, settings, title }, { signal });
    this.chat = { ...this.chat, ...made, items: [], running: null, empty: true };
    this.unsaved = null;
    this.hooks.changed(this.chat, "created");
  }

  /** Away with a chat that was made for a question that was never taken. */
  #drop() {
    const { id, empty } = this.chat;
    if (!id || !empty) return;
    remove(`${CHATS}/${id}`).catch(() => {});
    this.chat = { ...this.chat, id: "", empty: false, created: undefined };
    this.hooks.changed({ ...this.chat, id }, "dropped");
  }

  #turn(way, signal) {
    return post(`${CHATS}/${this.chat.id}/turn`, way, { signal });
  }

  /** Work that makes an answer: one at a time; who leaves in the middle hears no more of it. */
  async #guarded(work, { again, edit = null, restore = null }) {
    const run = this.run = new AbortController();
    this.hooks.busy(true);
    let problem = null;
    try {
      await work(run.signal);
    } catch (error) {
      problem = error;
    }
    if (this.run !== run) return;
    this.run = this.response = null;
    if (problem) await this.#refused(problem, restore);
    if (this.run !== null) return;
    this.hooks.busy(false);
    if (problem && problem.name !== "AbortError") this.hooks.trouble(problem, { again, edit });
  }

  /** The chat is shown as it was before. What was asked stays on the page, so that it can be sent again. */
  async #refused(problem, restore) {
    this.thread.drop();
    if (problem.code === "conversation_locked") { setTimeout(() => this.refresh().catch(() => {}), 0); return; }
    if (restore) await this.#turn({ show: restore }).catch(() => {});
    this.#drop();
  }

  async #answer({ input, model = null }, signal, { goOn = false } = {}) {
    const { id, settings } = this.chat;
    const body = { model: model ?? this.chat.model, conversation: id, input };
    for (const name of SENT) if (settings[name] !== undefined && settings[name] !== null && settings[name] !== "") body[name] = settings[name];
    if (body.tools?.some(tool => tool.type === "file_search")) body.include = ["file_search_call.results"];
    const before = this.chat.items.at(-1)?.item.id;
    for (let tries = 0; ; tries += 1) {
      const live = this.thread.begin({ goOn });
      try {
        await this.#hear(live, make(body, { signal, lost: away => this.#lost(live, away) }), signal);
        return;
      } catch (error) {
        if (error.name === "AbortError" || (error.type !== "broke_off" && !(error.status === 0 && passing(error)))) throw error;
        // Whether the question has arrived is not known: the chat knows, as soon as the server answers.
        this.#lost(live, true);
        await wait(Math.min(5000, 500 * 2 ** tries), signal);
        const chat = await get(`${CHATS}/${id}`, {}, { signal }).catch(other => { if (passing(other)) return null; throw other; });
        this.thread.drop();
        if (chat === null) continue;
        if (chat.running || chat.items.at(-1)?.item.id !== before) {
          this.hooks.taken();
          this.#take(chat);
          if (chat.running) await this.#hear(this.thread.begin({ goOn }), follow(chat.running, { signal, lost: away => this.#lost(this.thread.live, away) }), signal);
          return;
        }
      }
    }
  }

  /** An answer that was being made already when the chat was opened, or is made by another tab. */
  async #follow(response) {
    this.response = response;
    await this.#guarded(async signal => {
      const live = this.thread.begin({ goOn: true });
      await this.#hear(live, follow(response, { signal, lost: away => this.#lost(live, away) }), signal);
    }, { again: () => this.refresh() });
  }

  async #hear(live, source, signal) {
    const note = setTimeout(() => live.waiting && live.say(this.hooks.waiting()), 2500);
    let started = false;
    try {
      for await (const event of source) {
        live.event(event);
        if (event.response?.id) this.response = event.response.id;
        if (!started) {
          started = true;
          this.chat.empty = false;
          this.hooks.taken();
        }
        if (event.type === "looked") live.look(event.response.output ?? []);
      }
    } finally {
      clearTimeout(note);
      live.end();
    }
    const chat = await this.#now(signal);
    this.hooks.away(false);
    this.#take(chat);
    this.hooks.ended(live.text);
    this.hooks.changed(chat, "ended");
  }

  /** The chat as it is now, however long the server is away. */
  async #now(signal) {
    for (let tries = 0; ; tries += 1) {
      try {
        return await get(`${CHATS}/${this.chat.id}`, {}, { signal });
      } catch (error) {
        if (error.name === "AbortError" || !passing(error)) throw error;
        this.hooks.away(true);
        await wait(Math.min(5000, 500 * 2 ** tries), signal);
      }
    }
  }

  #lost(live, away) {
    if (live?.going) this.hooks.away(away);
  }
}
