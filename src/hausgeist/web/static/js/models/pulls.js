/** Pulls on their way: looked at once a second while there are any and the page is seen, started and stopped. They go on without the page. */

import { get, post, remove } from "../api.js";
import { button, h, icon, put } from "../dom.js";
import { preference } from "../preferences.js";
import { bytes, duration, percent, t } from "../text.js";
import { complain } from "../toast.js";
import { mayAdminister } from "../told.js";

const PATH = "/house/v1/models/pulls", BEAT = 1000, RECENT = 86400;
const listeners = new Set(), rates = new Map(), before = new Map();
let jobs = [], timer = 0, looking = false;

const going = job => job.status === "running" || job.status === "queued";
const dismissed = () => Number(preference("pulls.dismissed") ?? 0);

/** Be told of every change: `changed(jobs)` with those worth showing, `ended(job)` when one is done. */
export function watchPulls({ changed = () => {}, ended = () => {} }) {
  listeners.add({ changed, ended });
  look();
}

/** Those that are not finished, and failures of the last day that nobody has put away. */
function worthShowing() {
  const seen = new Set(), since = Date.now() / 1000 - RECENT;
  return jobs.filter(job => {
    // The newest of a name tells how it is; older ones are history.
    if (seen.has(job.model)) return false;
    seen.add(job.model);
    if (going(job)) return true;
    return ["failed", "cancelled"].includes(job.status) && job.finished > since && job.finished > dismissed();
  });
}

async function look() {
  clearTimeout(timer);
  if (looking) return;
  looking = true;
  try {
    const found = (await get(PATH)).data;
    const now = performance.now();
    for (const job of found) {
      pace(job, now);
      const was = before.get(job.id);
      if (job.status === "done" && was && was !== "done") for (const one of listeners) one.ended(job);
      before.set(job.id, job.status);
    }
    jobs = found;
    for (const one of listeners) one.changed(worthShowing());
  } catch (error) {
    // A server that is being restarted comes back; the next look says so.
    if (error.type !== "unreachable") complain(error);
  } finally {
    looking = false;
  }
  if (document.visibilityState === "visible" && jobs.some(going)) timer = setTimeout(look, BEAT);
}

function pace(job, now) {
  const last = rates.get(job.id);
  if (last && job.done > last.done) {
    const rate = (job.done - last.done) / ((now - last.at) / 1000);
    rates.set(job.id, { at: now, done: job.done, rate: last.rate ? last.rate * 0.7 + rate * 0.3 : rate });
  } else if (!last || job.done < last.done) rates.set(job.id, { at: now, done: job.done, rate: 0 });
}

document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && listeners.size && look());

/** Start one in the background. Raises ApiError. `started(job)`: told ahead of the first look, by which it may have failed already. */
export async function startPull(model, { name = undefined, upgrade = false, started = () => {} } = {}) {
  const job = await post(PATH, { model, ...(name ? { name } : {}), ...(upgrade ? { upgrade } : {}) });
  before.set(job.id, job.status);
  started(job);
  await look();
  return job;
}

/** Stop one; what was fetched stays. */
export async function stopPull(job) {
  await remove(`${PATH}/${encodeURIComponent(job.id)}`);
  await look();
}

/** Stop and start anew, which tries at once what waits for its next attempt. */
async function again(job) {
  if (going(job)) await remove(`${PATH}/${encodeURIComponent(job.id)}`);
  await startPull(job.reference, { name: job.model });
}

function putAway(job) {
  preference("pulls.dismissed", String(Math.max(dismissed(), job.finished ?? 0)));
  for (const one of listeners) one.changed(worthShowing());
}

/** Where it is: waiting, looking, loading, finishing, again, failed, cancelled. */
export function stageOf(job) {
  if (job.status === "failed" || job.status === "cancelled" || job.status === "done") return job.status;
  if (job.status === "queued") return job.error ? "again" : "waiting";
  if (!job.total) return "looking";
  return job.done >= job.total ? "finishing" : "loading";
}

/** "1.2 GB of 4.8 GB · 31 MB/s · 2 min left" */
export function progressText(job) {
  const stage = stageOf(job);
  if (stage !== "loading") return t(`models.stage_${stage}`);
  const rate = rates.get(job.id)?.rate ?? 0;
  const parts = [t("models.of_bytes", { done: bytes(job.done), total: bytes(job.total) })];
  if (rate > 0) parts.push(t("models.per_second", { rate: bytes(rate) }), t("models.left", { time: duration((job.total - job.done) / rate) }));
  return parts.join(" · ");
}

/** A bar that is moved in place, so that screen readers and eyes follow one thing. Returns {element, show(job)}. */
export function pullCard({ actions = true } = {}) {
  const title = h("strong", { class: "pull-name" }), bar = h("progress", { max: "1" }), share = h("span", { class: "pull-share" });
  const said = h("p", { class: "small soft pull-said" }), buttons = h("div", { class: "row" }), trouble = h("p", { class: "small pull-trouble", role: "alert" });
  const element = h("li", { class: "pull" }, h("div", { class: "pull-head" }, title, share, buttons), bar, said, trouble);
  let drawn = "";
  const show = job => {
    const stage = stageOf(job), known = stage === "loading" || stage === "finishing";
    title.textContent = job.model;
    bar.setAttribute("aria-label", t("models.progress_of", { model: job.model }));
    if (known) bar.value = job.done / job.total;
    else bar.removeAttribute("value");
    bar.hidden = stage === "failed" || stage === "cancelled" || stage === "again";
    share.textContent = known ? percent(Math.floor((job.done / job.total) * 100) / 100) : "";
    said.textContent = progressText(job);
    const error = job.error && stage !== "loading" && stage !== "finishing" ? job.error : "";
    if (trouble.textContent !== error) trouble.textContent = error;
    if (drawn === stage || !actions) return;
    drawn = stage;
    const run = work => () => work(job).catch(complain);
    put(buttons, mayAdminister ? [
      stage === "failed" || stage === "cancelled" || stage === "again" ? button(t(stage === "cancelled" ? "models.go_on" : "common.retry"), { icon: "retry", kind: "tiny", on: run(again) }) : null,
      stage === "failed" || stage === "cancelled" ? button(t("common.close"), { icon: "close", bare: true, kind: "quiet tiny", on: () => putAway(job) }) : button(t("models.stop_pull"), { icon: "stop", kind: "tiny", on: run(stopPull) }),
    ] : []);
  };
  return { element, show };
}

/** The list of all of them, in an element that is hidden while there are none. */
export function pullList(section, list) {
  const cards = new Map(), note = section.querySelector("[data-going]");
  // Room for as many as there were, so that nothing jumps when they are known.
  const expected = Number(preference("pulls.shown") ?? 0);
  if (expected) {
    section.hidden = false;
    list.style.minHeight = `${expected * 5.25}rem`;
  }
  return shown => {
    section.hidden = shown.length === 0;
    if (note) note.hidden = !shown.some(going);
    list.style.minHeight = "";
    preference("pulls.shown", shown.length ? String(shown.length) : "");
    for (const [id, card] of cards) if (!shown.some(job => job.id === id)) { card.element.remove(); cards.delete(id); }
    for (const job of shown) {
      if (!cards.has(job.id)) {
        cards.set(job.id, pullCard());
        list.append(cards.get(job.id).element);
      }
      cards.get(job.id).show(job);
    }
  };
}

/** A small sign of it for a row elsewhere. */
export function pullSign(job) {
  return h("span", { class: "badge accent" }, icon("download", { small: true }), stageOf(job) === "loading" ? percent(Math.floor((job.done / job.total) * 100) / 100) : t(`models.stage_${stageOf(job)}_short`));
}
