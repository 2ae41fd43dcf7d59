/** The first run: what this machine is, one model proposed for it, its way here, and the chat with it. */

import { get } from "../api.js";
import { find, h, icon, put } from "../dom.js";
import { languageRow } from "../languages.js";
import { cookie, preference } from "../preferences.js";
import { bytes, number, t } from "../text.js";
import { mayAdminister } from "../told.js";
import { plannedMachine, lookAt } from "../models/fits.js";
import { pullCard, stageOf, startPull, watchPulls } from "../models/pulls.js";
import { chatWith, contextOf, warning } from "../models/words.js";
import { propose } from "../welcome/proposals.js";

let proposals = [], offline = false;

/** On to somewhere, greeted. */
function leave(address) {
  cookie("welcomed", "1");
  location.assign(address);
}

function fact(named, term, value) {
  return h("li", {}, icon(named), h("span", { class: "term" }, term), h("span", { class: "value" }, value));
}

async function showMachine() {
  let told = null;
  try {
    [told] = await Promise.all([get("/house/v1/machine").catch(() => null), lookAt([])]);
  } catch {
    // What the planner sees is enough, and where it sees nothing the rest of the page says why.
  }
  const seen = plannedMachine(), list = find("#machine");
  if (!seen && !told) return put(list);
  offline = Boolean(told?.offline);
  const processor = told?.processors?.name || seen?.processor || "", cores = told?.processors?.cores;
  const memory = told?.memory?.total ?? seen?.memory_bytes;
  const cards = told?.devices?.length ? told.devices.map(one => [one.name, one.memory]) : (seen?.device_bytes ?? []).map(size => [seen.title, size]);
  return put(list,
    fact("processor", t("entrance.processor"), cores ? t("entrance.with_cores", { name: processor, n: cores }) : processor),
    fact("memory", t("entrance.memory"), bytes(memory, { memory: true })),
    cards.length ? cards.slice(0, 4).map(([name, size]) => fact("card", name, size ? bytes(size, { memory: true }) : "–")) : fact("card", t("entrance.card"), t("entrance.no_card")),
    told?.disk ? fact("disk", t("entrance.disk"), t("entrance.free", { size: bytes(told.disk.free) })) : null);
}

function point(named, text) {
  return h("li", {}, icon(named, { small: true }), h("span", {}, text));
}

function card(one, place) {
  const { entry, fit, kind } = one, rate = fit.generate_tokens_per_second;
  return h("label", { class: "proposal" },
    h("span", { class: "proposal-top" }, h("input", { type: "radio", name: "model", value: entry.name, checked: place === 0 }), t(`entrance.kind_${kind}`)),
    h("span", { class: "title" }, entry.title),
    h("span", { class: "small soft" }, t("entrance.by_maker", { maker: entry.maker })),
    h("ul", { class: "points" },
      point("bolt", t(rate >= 10 ? "entrance.pace_well" : "entrance.pace_slow", { rate: number(rate, rate < 10 ? 1 : 0) })),
      point("download", t("entrance.to_fetch", { size: bytes(entry.size) })),
      point("memory", t("entrance.takes", { size: bytes(fit.total_bytes, { memory: true }), context: contextOf(fit.context) })),
      point("shield", t("entrance.licence_free", { licence: entry.licence }))));
}

async function showProposals() {
  const place = find("#proposals"), working = find("#working"), submit = find("#submit");
  try {
    proposals = await propose();
  } catch (error) {
    put(place);
    working.textContent = "";
    put(find("#notice"), warning(error.message, "bad"));
    submit.hidden = true;
    return;
  }
  place.setAttribute("aria-busy", "false");
  working.textContent = proposals.length ? t("entrance.reckoned") : "";
  put(place, proposals.map(card));
  if (offline) put(find("#notice"), warning(t("entrance.offline")));
  if (!proposals.length) {
    put(find("#notice"), warning(t("entrance.nothing_fits")));
    submit.hidden = true;
    return;
  }
  submit.disabled = false;
  label();
}

const chosen = () => proposals.find(one => one.entry.name === find("#install").elements.model?.value) ?? proposals[0];

function label() {
  const one = chosen();
  find("span", find("#submit")).textContent = t("entrance.install_it", { model: one.entry.title, size: bytes(one.entry.size) });
}

const shown = mayAdminister ? pullCard() : null;
let followed = null;

/** The pull that was started here, or whichever is on its way: also after a reload. */
function follow(jobs) {
  const mine = preference("welcome.pull");
  const job = jobs.find(one => one.id === (followed ?? mine)) ?? jobs.find(one => one.status === "running" || one.status === "queued");
  const choosing = !job || job.status === "cancelled";
  find("#choose").hidden = !choosing;
  find("#progress").hidden = choosing;
  if (choosing) return;
  followed = job.id;
  shown.show(job);
  if (!shown.element.isConnected) find("#pull").append(shown.element);
  const stage = stageOf(job), stuck = stage === "failed" || stage === "again";
  find("#progress-heading").textContent = t(stuck ? "entrance.stuck" : "entrance.installing");
  find("#progress-note").textContent = t(!stuck ? "entrance.leave_it" : offline ? "entrance.offline" : "entrance.stuck_says");
  find("#guide").className = stuck ? "primary-action" : "quiet";
}

function arrived(job) {
  if (job.id !== followed && job.id !== preference("welcome.pull")) return;
  preference("welcome.pull", "");
  find("#progress-heading").textContent = t("models.ready", { model: job.model });
  leave(chatWith(job.model.replace(/:latest$/, "")));
}

function start() {
  find("#install").addEventListener("change", label);
  find("#install").addEventListener("submit", async event => {
    event.preventDefault();
    const submit = find("#submit"), said = find("#said");
    submit.disabled = true;
    said.textContent = "";
    try {
      await startPull(chosen().entry.name, { started: job => {
        followed = job.id;
        preference("welcome.pull", job.id);
      } });
      find("#progress").focus();
    } catch (error) {
      said.textContent = error.message;
    }
    submit.disabled = false;
  });
  watchPulls({ changed: follow, ended: arrived });
  // One that was finished while nobody looked.
  const mine = preference("welcome.pull");
  if (mine) get(`/house/v1/models/pulls/${encodeURIComponent(mine)}`).then(job => job.status === "done" && arrived(job), () => preference("welcome.pull", ""));
}

find("#skip").addEventListener("click", () => leave("/"));
find("#guide").addEventListener("click", () => leave(chatWith("guide")));
find("#others")?.addEventListener("click", () => leave("/models#catalogue"));
put(find("#languages"), languageRow());
const machine = showMachine();
if (mayAdminister) {
  start();
  machine.then(showProposals);
}
