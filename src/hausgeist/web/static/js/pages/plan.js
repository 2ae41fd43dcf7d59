/** The planner: fields on one side, what comes of them on the other, at once and while one changes them. The address is the question. */

import "../shell.js";
import { get } from "../api.js";
import { copy as copyText } from "../copying.js";
import { button, find, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { t, when } from "../text.js";
import { safely, toast } from "../toast.js";
import { mayAdminister, told as server } from "../told.js";
import { accuracyPart } from "../plan/accuracy.js";
import { address, asked, command, query, read, write } from "../plan/address.js";
import { answerOf, told } from "../plan/answers.js";
import { fields } from "../plan/fields.js";
import { know, region } from "../plan/money.js";
import { tone, verdict } from "../plan/words.js";

const SOON = 150;
const question = read();
const known = { models: [], devices: [], countries: [], clouds: [], subscriptions: [], uses: ["chat", "code", "vision", "documents"], usual_context: 8192, engines: { llamacpp: { precisions: [], kv: [] }, vllm: { precisions: [], kv: [] } } };
const results = find("#results"), said = find("#said");
let inView = false, waiting = 0, running = null, last = null, focusVerdict = false;

const form = fields(question, known, (name, { soon = false, anew = true } = {}) => {
  if (!anew) return show();
  write(question, name);
  return soon ? later() : ask();
});
put(find("#question"), form.element, h("a", { class: "brief no-print", id: "brief", href: "#results", hidden: true }));

/** On narrow screens the verdict stands at the foot of the screen as long as the answer is further down. */
new IntersectionObserver(([seen]) => { inView = seen.isIntersecting; find("#brief").hidden = inView || !find("#brief").dataset.says; }, { rootMargin: "0px 0px -25% 0px" }).observe(results);
find("#brief").addEventListener("click", event => { event.preventDefault(); results.scrollIntoView(); find("#verdict")?.focus({ preventScroll: true }); });

function later() {
  clearTimeout(waiting);
  waiting = setTimeout(ask, SOON);
}

/** Ask, and forget what was asked before. The last answer stays until the new one is there. */
async function ask() {
  clearTimeout(waiting);
  running?.abort();
  const mine = (running = new AbortController());
  results.setAttribute("aria-busy", "true");
  try {
    const answer = await get("/house/v1/plan", query(question), { signal: mine.signal });
    if (mine !== running) return;
    last = answer;
    form.complainAt("");
    show();
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    last = null;
    form.complainAt(error.param, error.param ? error.message : "");
    const again = error.status === 0 || error.status >= 500 ? button(t("common.retry"), { icon: "retry", on: ask }) : null;
    const title = h("h2", { class: "verdict-title", tabindex: "-1", id: "verdict" }, icon("warning"), h("span", {}, t("plan.no_answer")));
    put(results, h("div", { class: "card verdict bad", role: "alert" }, title, h("p", {}, error.message), again));
    find("#brief").dataset.says = "";
    find("#brief").hidden = true;
    settle();
  }
}

function settle() {
  results.setAttribute("aria-busy", "false");
  if (focusVerdict) find("#verdict")?.focus();
  focusVerdict = false;
}

function show() {
  if (!last) return;
  const facts = h("p", { class: "only-print" }, t("plan.printed", { date: when(Date.now() / 1000, { dateStyle: "long" }), version: server.version }), " ", location.href);
  put(results, answerOf(last, question, go), mayAdminister ? accuracyPart() : null, facts);
  said.textContent = told(last, question);
  const brief = find("#brief"), only = last.plans || last.choices ? null : last;
  if (only) { put(brief, verdict(only)); brief.className = `brief no-print ${tone(only)}`; }
  brief.dataset.says = only ? "yes" : "";
  brief.hidden = !only || inView;
  const asks = question.for ? t("plan.tab_buy") : question.model.join(", ");
  document.title = [asks, t("plan.title"), "Hausgeist"].filter(Boolean).join(" · ");
  settle();
}

/** Change the question from within an answer; the focus goes to what comes of it. */
function go(changes, name) {
  Object.assign(question, changes);
  write(question, `${name}-${performance.now()}`);
  form.fill();
  focusVerdict = true;
  find("#main").scrollTo({ top: 0 });
  ask();
}

addEventListener("popstate", () => {
  Object.assign(question, read());
  form.fill();
  ask();
});

const copy = safely(async text => {
  toast(t(await copyText(text) ? "common.copied" : "common.not_copied"));
});

function save() {
  if (!last) return;
  const link = h("a", { href: URL.createObjectURL(new Blob([JSON.stringify(last, null, 2)], { type: "application/json" })), download: "plan.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

find("#share").addEventListener("click", () => copy(new URL(address(question), location.origin).href));
find("#print").addEventListener("click", () => print());
find("#more").addEventListener("click", event => menu(event.currentTarget, [
  { label: t("plan.export"), icon: "download", run: save },
  { label: t("plan.copy_command"), icon: "copy", run: () => copy(command(question)) },
]));

/** The lists, and what is installed; the page works before they are there. */
async function lists() {
  const [all, installed] = await Promise.all([get("/house/v1/plan/known"), get("/house/v1/models").catch(() => ({ data: [] }))]);
  const here = installed.data.map(one => one.id);
  Object.assign(known, all, { models: [...here.map(id => ({ ...(all.models.find(one => one.name === id) ?? { name: id }), installed: true })), ...all.models.filter(one => !here.includes(one.name))] });
  know(all.exchange);
  if (!asked() && all.countries.some(one => one.code === region())) {
    question.country = region();
    write(question, "");
  }
  form.fill();
}

// A question of the address needs no lists; a first visit waits for them, to ask of the country of the person who looks.
put(results, h("div", { class: "card verdict" }, h("h2", { class: "verdict-title" }, h("span", { class: "spinner" }), h("span", {}, t("plan.working"))), h("p", { class: "soft" }, t("plan.working_lead"))));
const given = asked();
if (given) ask();
lists().catch(error => toast(error.message, { lasting: true })).finally(() => (given ? show() : ask()));
