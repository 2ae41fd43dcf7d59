/** How far a collection's reading is, asked once a second while something is read and somebody looks. */

import { get } from "../api.js";

const PAUSE = 1000;

export class Progress {
  /** `heard(told)` gets each answer of /house/v1/stores/{id}/progress; `troubled(error)` each failure, after which it goes on. */
  constructor(store, heard, troubled) {
    this.path = `/house/v1/stores/${store}/progress`;
    this.heard = heard;
    this.troubled = troubled;
    this.timer = 0;
    this.asking = false;
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.waiting && this.look());
  }

  /** Ask now, and again until nothing is read any more. */
  async look() {
    clearTimeout(this.timer);
    if (this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    this.waiting = this.again = false;
    let busy = true;
    try {
      const told = await get(this.path);
      busy = told.counts.in_progress > 0;
      this.heard(told);
    } catch (error) {
      busy = error.type === "unreachable" || error.status >= 500;
      this.troubled(error);
    }
    this.asking = false;
    if (busy || this.again) this.timer = setTimeout(() => this.#next(), PAUSE);
  }

  #next() {
    if (document.visibilityState === "visible") this.look();
    else this.waiting = true;
  }
}
