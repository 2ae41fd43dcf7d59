/** What is going on in a collection: files on their way, files being read, and what failed and why, with the way to try again. */

import { button, h, icon, put } from "../dom.js";
import { bytes, duration, number, t } from "../text.js";
import { language } from "../told.js";
import { mayWrite } from "../told.js";

const MOST = 100;

export class Activity {
  /** `acts`: {retryUploads(), stop(), retryFailed(), showFailed()}. */
  constructor(acts) {
    this.acts = acts;
    this.element = h("section", { class: "activity", "aria-label": t("documents.activity"), hidden: true });
    this.upload = { bar: h("progress", { max: "1", "aria-label": t("documents.uploading_bar") }), line: h("p", { class: "activity-line" }), detail: h("p", { class: "small soft activity-detail" }) };
    this.read = { bar: h("progress", { max: "1", "aria-label": t("documents.reading_bar") }), line: h("p", { class: "activity-line" }), detail: h("p", { class: "small soft activity-detail" }), now: h("ul", { class: "reading-now small soft" }) };
    this.stop = button(t("documents.stop"), { icon: "stop", kind: "tiny", on: () => acts.stop() });
    this.sending = h("div", { class: "card activity-card", hidden: true }, h("div", { class: "activity-head" }, this.upload.line, this.stop), this.upload.bar, this.upload.detail);
    this.working = h("div", { class: "card activity-card", hidden: true }, this.read.line, this.read.bar, this.read.detail, this.read.now);
    this.away = { bar: h("progress", { "aria-label": t("documents.removing_bar") }), line: h("p", { class: "activity-line" }) };
    this.removing = h("div", { class: "card activity-card", hidden: true }, this.away.line, this.away.bar);
    this.failures = h("div", { hidden: true });
    this.notes = h("div", { hidden: true });
    this.trouble = h("div", { class: "notice warn", hidden: true }, icon("warning"), h("div"));
    this.said = h("p", { class: "visually-hidden", role: "status" });
    put(this.element, this.notes, this.sending, this.working, this.removing, this.failures, this.trouble, this.said);
    this.batch = 0;
  }

  #tell() {
    this.element.hidden = [this.notes, this.sending, this.working, this.removing, this.failures, this.trouble].every(one => one.hidden);
  }

  uploads(sent) {
    this.sending.hidden = !sent.busy;
    if (sent.busy) {
      const share = sent.bytes ? sent.left / sent.bytes : 0, rest = sent.rate > 0 ? (sent.bytes - sent.left) / sent.rate : null;
      this.upload.bar.value = share;
      this.upload.line.textContent = t("documents.uploading", { done: sent.done, n: sent.total });
      this.upload.detail.textContent = [t("documents.sent", { sent: bytes(sent.left), all: bytes(sent.bytes) }), share > 0 && share < 1 ? t("documents.per_second", { rate: bytes(sent.rate) }) : "", rest !== null && rest > 3 ? t("documents.left", { time: duration(rest) }) : ""].filter(Boolean).join(" · ");
    }
    this.#failed(sent);
    this.#tell();
  }

  #failed(sent) {
    const key = `${sent.failed.length} ${sent.busy}`;
    if (key === this.failedKey) return;
    this.failedKey = key;
    this.failures.hidden = sent.failed.length === 0;
    put(this.failures, sent.failed.length ? h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {},
      h("p", {}, h("strong", {}, t("documents.not_uploaded", { n: sent.failed.length }))),
      h("ul", {}, sent.failed.slice(0, 10).map(item => h("li", {}, h("bdi", {}, item.path), ` – ${item.error}`)), sent.failed.length > 10 ? h("li", {}, t("documents.and_more", { n: sent.failed.length - 10 })) : null),
      button(t("common.retry"), { icon: "retry", kind: "tiny", on: () => this.acts.retryUploads() }))) : null);
  }

  /** What of a folder was left out, and what is there already. */
  leftOut(left, unread, unchanged) {
    const reasons = Object.entries(left).map(([reason, n]) => t(`documents.left_${reason}`, { n }));
    if (unread) reasons.push(t("documents.left_unread", { n: unread }));
    if (unchanged) reasons.push(t("documents.left_unchanged", { n: unchanged }));
    this.notes.hidden = reasons.length === 0;
    put(this.notes, reasons.length ? h("div", { class: "notice" }, icon("info"), h("div", { class: "grow" }, h("p", {}, t("documents.left_out", { reasons: new Intl.ListFormat(language, { type: "conjunction" }).format(reasons) }))), button(t("common.close"), { icon: "close", bare: true, kind: "quiet tiny", on: () => { this.notes.hidden = true; this.#tell(); } })) : null);
    this.#tell();
  }

  /** How many of the files that are to go have gone. */
  removal(done, of) {
    this.removing.hidden = done === of;
    this.away.bar.max = of;
    this.away.bar.value = done;
    this.away.line.textContent = t("documents.deleting", { done, of });
    this.#tell();
  }

  /** What was left out has been read by who goes elsewhere. */
  quiet() {
    this.notes.hidden = true;
    this.#tell();
  }

  /** `told`: as /house/v1/stores/{id}/progress; `more`: whether further files are on their way. */
  reading(told, { more = false } = {}) {
    const { counts } = told, waiting = counts.in_progress;
    if (waiting && !this.batch) this.finished = counts.total - waiting;
    if (waiting) this.batch = counts.total - this.finished;
    this.working.hidden = waiting === 0;
    if (waiting) {
      const done = this.batch - waiting, pages = told.pages_total > 0 ? Math.min(1, told.pages_done / told.pages_total) : 0;
      // Pages tell how far the files in hand are; the others count as a whole.
      this.read.bar.value = Math.min(1, (done + pages * Math.min(waiting, told.reading.length)) / Math.max(1, this.batch));
      this.read.line.textContent = t("documents.reading_line", { done, n: this.batch });
      const left = told.seconds_left;
      this.read.detail.textContent = [
        told.pages_total ? t("documents.pages_line", { done: told.pages_done, n: told.pages_total }) : "",
        told.files_per_second > 0 ? t("documents.files_rate", { rate: number(told.files_per_second, told.files_per_second < 10 ? 1 : 0) }) : "",
        left !== null && left > 1 ? t("documents.left", { time: duration(left) }) : "",
      ].filter(Boolean).join(" · ") || t("documents.just_begun");
      put(this.read.now, told.reading.slice(0, 3).map(one => h("li", {}, h("bdi", {}, one.filename), one.pages_total ? ` – ${t("documents.pages_of", { done: one.pages_done, of: one.pages_total })}` : "")));
    } else if (this.batch && !more) {
      const done = this.batch;
      this.batch = 0;
      this.said.textContent = counts.failed ? t("documents.read_with_failures", { n: counts.failed }) : t("documents.read_all", { n: done });
    }
    this.trouble.hidden = !told.trouble;
    put(this.trouble.lastChild, told.trouble ? h("p", {}, told.trouble) : null);
    this.#tell();
  }
}

/** The files that could not be read, above the table: how many, the commonest reasons, and what can be done. */
export function failures(files, acts) {
  const failed = files.filter(one => one.status === "failed");
  if (!failed.length) return null;
  const reasons = new Map();
  for (const one of failed.slice(0, 5000)) {
    const why = one.last_error?.message ?? "";
    reasons.set(why, [...(reasons.get(why) ?? []), one]);
  }
  const rows = [...reasons].sort((a, b) => b[1].length - a[1].length).slice(0, MOST / 20);
  return h("div", { class: "notice bad" }, icon("warning"), h("div", {},
    h("p", {}, h("strong", {}, t("documents.unreadable", { n: failed.length }))),
    h("ul", {}, rows.map(([why, ones]) => h("li", {}, h("bdi", {}, ones[0].filename), ones.length > 1 ? ` ${t("documents.and_more", { n: ones.length - 1 })}` : "", why ? ` – ${why}` : ""))),
    h("div", { class: "row" }, mayWrite ? button(t("common.retry"), { icon: "retry", kind: "tiny", on: () => acts.retry(failed) }) : null, files.length > failed.length ? button(t("documents.show_failed"), { kind: "quiet tiny", on: () => acts.show() }) : null)));
}
