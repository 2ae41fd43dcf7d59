/** What goes along with a question: pictures, made smaller here; files, uploaded at once with their progress; shown as chips. */

import { upload } from "../api.js";
import { button, h, icon, put } from "../dom.js";
import { bytes, t } from "../text.js";
import { mayWrite } from "../told.js";

const LONGEST_SIDE = 2048, MOST_PICTURES = 16, MOST_FILES = 16, LARGEST_FILE = 64 * 2 ** 20;
const PICTURE = /^image\/(png|jpeg|gif|webp|bmp|avif)$/;

/** A picture as a data: address, at most 2,048 pixels wide and high. Raises where the browser cannot read it. */
export async function shrunk(file) {
  const picture = await createImageBitmap(file);
  const share = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * share));
  canvas.height = Math.max(1, Math.round(picture.height * share));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  // What may have transparent parts or sharp letters stays as it is drawn; photographs are small as JPEG.
  return file.type === "image/jpeg" ? canvas.toDataURL("image/jpeg", .9) : canvas.toDataURL("image/png");
}

export class Attachments {
  /** `list`: where the chips are; `sees()`: whether the model can look at pictures; `note`: says something to the person; `changed`: called when there is more or less. */
  constructor(list, { sees, note, changed }) {
    Object.assign(this, { list, sees, note, changed });
    this.all = [];
  }

  get ready() {
    return this.all.every(one => one.done);
  }

  get any() {
    return this.all.length > 0;
  }

  /** As said.asInput takes them. */
  content() {
    return {
      images: this.all.filter(one => one.kind === "image").map(one => ({ image_url: one.url })),
      files: this.all.filter(one => one.kind === "file").map(one => ({ file_id: one.id, filename: one.name })),
    };
  }

  /** Take what a question had that was not taken. */
  restore({ images = [], files = [] }) {
    this.all = [
      ...images.map(image => ({ kind: "image", name: t("chat.picture"), url: image.image_url, done: true })),
      ...files.filter(file => file.file_id).map(file => ({ kind: "file", name: file.filename, id: file.file_id, done: true })),
    ];
    this.#draw();
  }

  clear() {
    for (const one of this.all) one.abort?.abort();
    this.all = [];
    this.#draw();
  }

  async add(files) {
    for (const file of files) await (PICTURE.test(file.type) ? this.#picture(file) : this.#file(file));
  }

  async #picture(file) {
    if (!this.sees()) return this.note(t("chat.cannot_see"));
    if (this.all.filter(one => one.kind === "image").length >= MOST_PICTURES) return this.note(t("chat.too_many", { n: MOST_PICTURES }));
    try {
      this.all.push({ kind: "image", name: file.name || t("chat.picture"), url: await shrunk(file), done: true });
    } catch {
      return this.note(t("chat.unreadable_picture", { name: file.name }));
    }
    this.#draw();
    return undefined;
  }

  async #file(file) {
    if (!mayWrite) return this.note(t("chat.no_uploads"));
    if (file.size > LARGEST_FILE) return this.note(t("chat.file_too_large", { name: file.name, size: bytes(file.size) }));
    if (this.all.filter(one => one.kind === "file").length >= MOST_FILES) return this.note(t("chat.too_many", { n: MOST_FILES }));
    const one = { kind: "file", name: file.name, progress: 0, done: false, abort: new AbortController() };
    this.all.push(one);
    this.#draw();
    // Sent side by side; the question waits for all of them.
    upload(file, { onProgress: share => { one.progress = share; if (one.bar) one.bar.value = share; }, signal: one.abort.signal }).then(made => {
      one.id = made.id;
      one.done = true;
    }, error => {
      this.all = this.all.filter(other => other !== one);
      if (error.name !== "AbortError") this.note(`${file.name}: ${error.message}`);
    }).finally(() => this.#draw());
    return undefined;
  }

  #remove(one) {
    one.abort?.abort();
    const place = this.all.indexOf(one);
    this.all = this.all.filter(other => other !== one);
    this.#draw();
    (this.list.querySelectorAll("button")[Math.min(place, this.all.length - 1)] ?? document.getElementById("question")).focus();
  }

  #draw() {
    put(this.list, this.all.map(one => {
      if (!one.done) one.bar = h("progress", { max: "1", value: one.progress, "aria-label": one.name });
      return h("li", { class: `chip ${one.kind}` },
        one.kind === "image" ? h("img", { src: one.url, alt: "" }) : icon("documents", { small: true }),
        h("bdi", { class: "chip-name" }, one.name),
        one.done ? null : one.bar,
        button(t("chat.take_off", { name: one.name }), { icon: "close", bare: true, kind: "quiet tiny", on: () => this.#remove(one) }));
    }), this.extra?.() ?? null);
    this.list.hidden = !this.list.children.length;
    this.changed();
  }

  redraw() {
    this.#draw();
  }
}
