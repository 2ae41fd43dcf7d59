/** Who did what, from where, and how it ended: filtered, in pages, and as a file. For owners of the server. */

import { all, get } from "../api.js";
import { field } from "../dialog.js";
import { button, find, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { number, t, when } from "../text.js";
import { told } from "../told.js";
import { safely, toast } from "../toast.js";
import { csv, heading, save, select, today } from "./pieces.js";

const PAGE = 100, MOST_EXPORTED = 20000, DAY = 86400;
const OUTCOMES = ["allowed", "refused", "done", "failed"];
const KINDS = { allowed: "", refused: "bad", done: "good", failed: "warn" };
const RANGES = { day: DAY, week: 7 * DAY, month: 30 * DAY, year: 365 * DAY };
const FIELDS = ["actor", "action", "project", "outcome"];
/** What was asked for most often, at one click. */
const READY = { all: {}, egress: { action: "egress.connect", outcome: "refused" }, refused: { outcome: "refused" }, failed: { outcome: "failed" }, sessions: { action: "session." }, keys: { action: "key." }, people: { action: "user." }, erased: { action: "erasure." } };

/** All actions, by their names, and groups of them. */
const PREFIX = "actions.";
const ACTIONS = Object.keys(told.texts).filter(key => key.startsWith(PREFIX)).map(key => key.slice(PREFIX.length));
const known = new Set(ACTIONS);
const meaning = one => (known.has(one.action) ? t(`actions.${one.action}`) : one.meaning || one.action);

export async function show(place, { signal, go }) {
  const asked = new URLSearchParams(location.search), chosen = { range: RANGES[asked.get("range")] ? asked.get("range") : "" };
  for (const name of FIELDS) chosen[name] = asked.get(name) ?? "";
  const [people, projects] = await Promise.all([get("/house/v1/users", {}, { signal }), all("/house/v1/projects")]);
  const names = new Map([...people.data.map(one => [one.id, one.id === "local" ? t("server.local_name") : one.name]), ...projects.map(one => [one.id, one.name])]);
  const list = h("ol", { class: "rows", "aria-label": t("server.part_audit") }), foot = h("div", { class: "foot" }), count = h("p", { class: "soft small", role: "status" });
  let next = null, shown = 0;
  const query = () => ({ ...Object.fromEntries(FIELDS.map(name => [name, chosen[name]])), since: chosen.range ? Math.floor(Date.now() / 1000 - RANGES[chosen.range]) : "" });

  const more = async () => {
    const page = await get("/house/v1/audit", { ...query(), before: next, limit: PAGE }, { signal });
    const first = list.childElementCount;
    list.append(...page.data.map(one => row(one, names, go)));
    next = page.next;
    shown += page.data.length;
    put(foot, next ? button(t("server.older"), { on: safely(async () => { await more(); list.children[first + PAGE]?.querySelector("summary")?.focus(); }) }) : null);
    count.textContent = shown ? t(next ? "server.rows_more" : "server.rows", { n: shown }) : "";
    if (!shown) put(foot, h("div", { class: "empty" }, icon("shield"), h("p", {}, t(chosen.action === "egress.connect" && chosen.outcome === "refused" ? "server.refused_none" : "server.no_rows"))));
  };
  const reload = safely(async () => {
    next = null;
    shown = 0;
    const kept = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
    history.replaceState(null, "", kept.size ? `?${kept}` : location.pathname);
    list.replaceChildren();
    ready();
    await more();
  });

  const fields = {
    action: select([["", t("server.any_action")], ...groups(), ...ACTIONS.map(name => [name, t(`actions.${name}`)])], chosen.action),
    actor: select([["", t("server.anybody")], ...people.data.map(one => [one.id, names.get(one.id)])], chosen.actor),
    project: select([["", t("server.all_projects")], ...projects.map(one => [one.id, one.name])], chosen.project),
    outcome: select([["", t("server.any_outcome")], ...OUTCOMES.map(name => [name, t(`server.outcome_${name}`)])], chosen.outcome),
    range: select([["", t("server.always")], ...Object.keys(RANGES).map(name => [name, t(`server.last_${name}`)])], chosen.range),
  };
  // Who is named by the address and is no person (a key, somebody who has left) is still asked for.
  for (const [name, control] of Object.entries(fields)) {
    if (chosen[name] && control.value !== chosen[name]) { control.append(h("option", { value: chosen[name] }, chosen[name])); control.value = chosen[name]; }
    control.addEventListener("change", () => { chosen[name] = control.value; reload(); });
  }
  const quick = h("div", { class: "choice", role: "group", "aria-label": t("server.ready_filters") });
  const ready = () => {
    const matches = wanted => FIELDS.every(name => chosen[name] === (wanted[name] ?? ""));
    if (!quick.childElementCount) quick.append(...Object.entries(READY).map(([name, wanted]) => h("button", { type: "button", dataset: { name }, on: { click: () => { for (const one of FIELDS) { chosen[one] = wanted[one] ?? ""; fields[one].value = chosen[one]; } reload(); } } }, t(`server.ready_${name}`))));
    for (const one of quick.children) one.setAttribute("aria-pressed", String(matches(READY[one.dataset.name])));
  };
  const download = button(t("server.export"), { icon: "download", "aria-haspopup": "menu", "aria-expanded": "false", on: event => menu(event.currentTarget, [
    { label: t("server.as_csv"), run: safely(() => exported(query(), "csv", download, signal)) },
    { label: t("server.as_ndjson"), run: safely(() => exported(query(), "ndjson", download, signal)) },
  ]) });
  put(place, heading(t("server.part_audit"), download), h("p", { class: "soft" }, t("server.audit_lead")), quick,
    h("div", { class: "filters" }, field(t("server.what"), fields.action), field(t("server.who"), fields.actor), projects.length > 1 ? field(t("common.project"), fields.project) : null, field(t("server.outcome"), fields.outcome), field(t("server.range"), fields.range)),
    count, list, foot);
  ready();
  await more();
}

/** "All about keys": groups with more than one action in them. */
function groups() {
  const found = new Map();
  for (const name of ACTIONS) found.set(name.split(".")[0], (found.get(name.split(".")[0]) ?? 0) + 1);
  return ["session", "user", "key", "project", "model", "file", "vector_store", "conversation", "erasure", "webhook"].filter(one => (found.get(one) ?? 0) > 1).map(one => [`${one}.`, t(`server.group_${one}`)]);
}

/** What it was about, with names for ids that are known. */
const about = (text, names) => text.split(" ").map(word => names.get(word) ?? names.get(word.replace(/:$/, "")) ?? word).join(" ");

function row(one, names, go) {
  const actor = names.get(one.actor) ?? one.actor_name ?? t("server.nobody");
  const facts = [
    [t("server.action"), one.action], [t("server.about"), one.target], [t("server.said"), one.detail], [t("common.project"), one.project && `${names.get(one.project) ?? ""} (${one.project})`], [t("server.who"), one.actor && [`${one.actor_name ?? ""} (${one.actor}) `, only(one.actor, go)]],
    [t("server.from_where"), one.address], [t("server.program"), one.agent], [t("server.request"), one.request_id], [t("server.exactly"), new Date(one.at * 1000).toISOString()], [t("server.row"), String(one.id)],
  ].filter(([, value]) => value);
  return h("li", {}, h("details", {}, h("summary", {},
    icon("right", { small: true }), h("time", { datetime: new Date(one.at * 1000).toISOString() }, when(one.at, { dateStyle: "short", timeStyle: "medium" })),
    h("span", { class: "who" }, actor), h("span", { class: "what" }, meaning(one), one.target && one.target !== "all" ? h("span", { class: "soft" }, ` · ${about(one.target, names)}`) : null),
    h("span", { class: `badge ${KINDS[one.outcome] ?? ""}`.trim() }, t(`server.outcome_${one.outcome}`))),
  h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
}

/** All that somebody, or a program with this key, has done. */
function only(actor, go) {
  const address = `/server/audit?actor=${encodeURIComponent(actor)}`;
  return h("a", { href: address, on: { click: event => { event.preventDefault(); go(address); } } }, t("server.only_this_one"));
}

const COLUMNS = ["id", "at", "actor", "actor_name", "project", "action", "target", "outcome", "detail", "address", "agent", "request_id"];

async function exported(query, format, control, signal) {
  const found = [];
  let before = null;
  control.disabled = true;
  try {
    do {
      const page = await get("/house/v1/audit", { ...query, before, limit: 500 }, { signal });
      found.push(...page.data);
      before = page.next;
    } while (before && found.length < MOST_EXPORTED);
  } finally {
    control.disabled = false;
    find("#part") && control.focus();
  }
  const text = format === "csv" ? csv(COLUMNS, found.map(one => COLUMNS.map(name => (name === "at" ? new Date(one.at * 1000).toISOString() : one[name])))) : found.map(one => `${JSON.stringify(one)}\n`).join("");
  save(`hausgeist-audit-${today()}.${format}`, text, format === "csv" ? "text/csv" : "application/x-ndjson");
  toast(before ? t("server.exported_part", { n: number(found.length) }) : t("server.exported", { n: found.length }));
}
