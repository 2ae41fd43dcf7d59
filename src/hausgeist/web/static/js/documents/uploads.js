/**
 * Files on their way into a collection: four at a time, put in together as they arrive. What fails is kept with its reason and can be tried again;
 * what is there already is not sent; what has changed takes the place of its older version.
 */

import { post, remove, upload } from "../api.js";

const SIDE_BY_SIDE = 4;
const TOGETHER = 50;
const PAUSE = 400;
const TRIES = 3;
const LONGEST = 512;

export class Uploads extends EventTarget {
  /** `known`: the files of the collection, as the house lists them; asked anew for each. */
  constructor(store, known) {
    super();
    this.store = store;
    this.known = known;
    this.clear();
  }

  clear() {
    this.waiting = [];
    this.running = new Set();
    this.resting = new Set();
    this.arrived = [];
    this.failed = [];
    this.total = this.done = this.unchanged = this.bytes = this.sent = 0;
    this.started = 0;
    this.timer = 0;
    this.putting = null;
  }

  get busy() {
    return this.waiting.length + this.running.size + this.resting.size + this.arrived.length > 0 || this.putting !== null;
  }

  /** Bytes that have left, those of files on their way included. */
  get left() {
    let sent = this.sent;
    for (const { file, share } of this.running) sent += file.size * share;
    return sent;
  }

  /** Bytes per second since it began. */
  get rate() {
    return this.left / Math.max(.5, (performance.now() - this.started) / 1000);
  }

  add(files) {
    if (!this.busy && !this.failed.length) this.clear();
    if (!this.busy) this.started = performance.now();
    const known = new Map(this.known().filter(one => one.attributes.path && !one.attributes.machine).map(one => [one.attributes.path, one]));
    for (const one of files) {
      const item = { ...one, attributes: attributesOf(one), share: 0, tries: 0 };
      const there = known.get(item.attributes.path);
      if (there && there.status !== "failed" && there.attributes.size === item.attributes.size && there.attributes.modified === item.attributes.modified) {
        this.unchanged += 1;
        continue;
      }
      // The new version takes the place of the old one when it is ready; one that could not be read has no place.
      if (there) item[there.status === "failed" ? "instead" : "replaces"] = there.id;
      this.total += 1;
      this.bytes += one.file.size;
      this.waiting.push(item);
    }
    this.#more();
    this.#tell();
  }

  retry() {
    const again = this.failed.splice(0);
    if (!this.busy) this.started = performance.now();
    for (const item of again) this.waiting.push({ ...item, share: 0, tries: 0 });
    this.#more();
    this.#tell();
  }

  /** What is not there yet stays away. */
  stop() {
    const away = [...this.waiting, ...this.running, ...this.resting];
    this.total -= away.length;
    for (const { file } of away) this.bytes -= file.size;
    this.waiting = [];
    this.resting.clear();
    const running = [...this.running];
    this.running.clear();
    for (const { control } of running) control.abort();
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  #more() {
    while (this.running.size < SIDE_BY_SIDE && this.waiting.length) this.#send(this.waiting.shift());
  }

  async #send(item) {
    item.control = new AbortController();
    this.running.add(item);
    try {
      item.id ??= (await upload(item.file, { purpose: "assistants", name: item.file.name, signal: item.control.signal, onProgress: share => { item.share = share; this.#tell(); } })).id;
      if (!this.running.delete(item)) return;
      this.sent += item.file.size;
      this.arrived.push(item);
      this.#soon();
    } catch (error) {
      if (!this.running.delete(item)) return;
      // The server may be starting anew, or have much to do.
      const passing = error.type === "unreachable" || error.status >= 500 || error.status === 429;
      if (passing && (item.tries += 1) < TRIES) this.#rest(item);
      else this.#fail(item, error);
    }
    this.#more();
    this.#tell();
  }

  #rest(item) {
    item.share = 0;
    this.resting.add(item);
    setTimeout(() => { if (this.resting.delete(item)) { this.waiting.unshift(item); this.#more(); } }, 1000 * 2 ** item.tries);
  }

  #fail(item, error) {
    item.error = error.message || String(error);
    this.failed.push(item);
  }

  #soon() {
    clearTimeout(this.timer);
    if (this.arrived.length >= TOGETHER || (!this.running.size && !this.waiting.length && !this.resting.size)) this.#put();
    else this.timer = setTimeout(() => this.#put(), PAUSE);
  }

  /** Put in what has arrived; one batch after the other. */
  async #put() {
    if (this.putting || !this.arrived.length) return;
    const items = this.arrived.splice(0, TOGETHER), path = `/v1/vector_stores/${this.store}`;
    const fresh = items.filter(item => !item.replaces), changed = items.filter(item => item.replaces);
    this.putting = Promise.all([
      fresh.length ? this.#into(fresh, () => post(`${path}/file_batches`, { files: fresh.map(item => ({ file_id: item.id, attributes: item.attributes })) })) : null,
      ...changed.map(item => this.#into([item], () => post(`${path}/files`, { file_id: item.id, attributes: { ...item.attributes, replaces: item.replaces } }, { headers: { "x-hausgeist-replaces": item.replaces } }))),
    ]);
    await this.putting;
    this.putting = null;
    this.dispatchEvent(new Event("put"));
    this.#tell();
    if (this.arrived.length) this.#soon();
  }

  async #into(items, work) {
    try {
      await work();
      this.done += items.length;
      for (const { instead } of items) if (instead) await remove(`/v1/files/${instead}`).catch(() => {});
    } catch (error) {
      for (const item of items) this.#fail(item, error);
    }
  }
}

/** As `hausgeist add` notes them, but for the machine: this browser's folders have no place on one. Long paths keep their end, which says most. */
function attributesOf({ file, path }) {
  return { path: Array.from(path).slice(-LONGEST).join(""), size: file.size, modified: file.lastModified / 1000 };
}
