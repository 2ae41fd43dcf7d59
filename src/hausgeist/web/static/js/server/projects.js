/** Projects: who works in them, how long they keep what is said, their names. */

import { all, get, patch, post, project as current, put as replace, remove } from "../api.js";
import { confirm, field, form } from "../dialog.js";
import { button, find, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { cookie } from "../preferences.js";
import { day, t } from "../text.js";
import { me } from "../told.js";
import { complain, safely, toast } from "../toast.js";
import { heading, role, roles, select, table } from "./pieces.js";
import { showReceipt } from "./receipt.js";

export async function show(place, { who, signal }) {
  const house = who.house_role === "owner", list = h("div", { class: "stack" });
  const people = house ? get("/house/v1/users", {}, { signal }).then(told => told.data, () => []) : Promise.resolve([]);
  const reload = async (open = "") => {
    const projects = await all("/house/v1/projects");
    put(list, projects.map(one => card(one, { who, house, people, open: one.id === open || projects.length === 1, reload })));
    if (open) find(`[data-project="${CSS.escape(open)}"] summary`)?.focus();
  };
  const add = safely(async () => {
    const made = await form(t("server.new_project"), [field(t("common.name"), h("input", { name: "name", required: true, maxlength: "256", autocomplete: "off" }))], ({ name }) => post("/house/v1/projects", { name: name.trim() }), { action: t("server.create") });
    if (made) await reload(made.id);
  });
  put(place, heading(t("server.part_projects"), house ? button(t("server.new_project"), { icon: "plus", kind: "primary-action", on: add }) : null), h("p", { class: "soft" }, t(house ? "server.projects_lead" : "server.projects_lead_member")), list);
  await reload(new URLSearchParams(location.search).get("project") ?? "");
}

function card(one, { who, house, people, open, reload }) {
  const inside = h("div", { class: "inside" }), here = one.id === (current() || me.project);
  const element = h("details", { class: "card fold", open, dataset: { project: one.id } },
    h("summary", {}, icon("right", { small: true }), icon("folder"), h("span", { class: "grow" }, one.name), here ? h("span", { class: "badge accent" }, t("server.you_are_here")) : null, h("span", { class: "soft small" }, day(one.created))),
    inside);
  const fill = async () => {
    try {
      await details(inside, one, { who, house, people, reload, element });
    } catch (error) {
      put(inside, h("p", { class: "field-error" }, error.message), button(t("common.retry"), { icon: "retry", on: fill }));
    }
  };
  element.addEventListener("toggle", () => element.open && !inside.childElementCount && fill());
  if (open) fill();
  return element;
}

async function details(inside, one, { who, house, people, reload }) {
  const path = `/house/v1/projects/${encodeURIComponent(one.id)}`, options = { headers: { "OpenAI-Project": one.id } };
  const [members, kept, users] = await Promise.all([get(`${path}/members`, {}, options), get(`${path}/retention`, {}, options), people]);
  const mine = members.data.find(member => member.user === who.user), owns = house || mine?.role === "owner";
  const again = () => details(inside, one, { who, house, people, reload });
  const change = (member, right) => safely(async () => {
    await replace(`${path}/members/${encodeURIComponent(member.user)}`, { role: right }, options);
    toast(t("server.right_changed", { name: member.name, role: role(right) }));
    await again();
    find(`[data-member="${CSS.escape(member.user)}"] button`, inside)?.focus();
  });
  const rows = members.data.map(member => [
    h("span", { class: "named", dataset: { name: member.user } }, member.user === "local" ? t("server.local_name") : member.name, member.user === me.user ? h("span", { class: "badge accent" }, t("common.you")) : null), role(member.role), day(member.created),
    owns ? h("span", { dataset: { member: member.user } }, button(t("server.do_with", { name: member.name }), { icon: "more", bare: true, kind: "quiet", "aria-haspopup": "menu", "aria-expanded": "false", on: event => menu(event.currentTarget, [
      { group: t("server.right") }, ...roles().map(([name, label]) => ({ label, icon: "persona", checked: member.role === name, run: name === member.role ? () => {} : change(member, name) })), "line",
      { label: t("server.take_out"), icon: "trash", danger: true, run: safely(async () => {
        if (!await confirm(t("server.take_out_title", { name: member.name, project: one.name }), t("server.take_out_lead"), { action: t("server.take_out") })) return;
        await remove(`${path}/members/${encodeURIComponent(member.user)}`, options);
        await again();
        find("h3", inside)?.focus();
      }) }]) })) : "",
  ]);
  put(inside,
    h("div", { class: "part-head" }, h("h3", { tabindex: "-1" }, t("server.members")), owns ? button(t("server.add_member"), { icon: "plus", kind: "tiny", on: safely(async () => { if (await addMember(path, options, users, members.data)) await again(); }) }) : null),
    rows.length ? table(t("server.members"), [{ name: t("common.name") }, { name: t("server.right") }, { name: t("server.since"), date: true }, { name: t("common.more"), hidden: true }], rows) : h("p", { class: "soft" }, t("server.no_members")),
    h("p", { class: "small soft" }, t("server.owners_everywhere")),
    retention(path, options, kept.days, owns),
    h("div", { class: "row" },
      one.id === (current() || me.project) ? null : button(t("server.work_here"), { icon: "folder", on: () => { cookie("project", one.id); location.reload(); } }),
      h("a", { class: "button", href: `/server/usage?project=${encodeURIComponent(one.id)}` }, icon("plan"), t("server.part_usage")),
      owns ? h("a", { class: "button", href: `/server/keys?project=${encodeURIComponent(one.id)}` }, icon("key"), t("server.part_keys")) : null,
      owns ? button(t("common.rename"), { icon: "edit", on: safely(() => rename(one, path, options, reload)) }) : null,
      house && one.id !== "default" ? button(t("server.delete_project"), { icon: "trash", kind: "danger", on: safely(() => drop(one, path, reload)) }) : null));
}

async function addMember(path, options, users, members) {
  const known = users.filter(one => one.id !== "local" && !members.some(other => other.user === one.id));
  const id = "people-known", name = h("input", { name: "name", required: true, maxlength: "256", autocomplete: "off", list: known.length ? id : null });
  return form(t("server.add_member"), [field(t("common.name"), name, t("server.add_member_hint")), h("datalist", { id }, known.map(one => h("option", { value: one.name }))), field(t("server.right"), select(roles(), "member", { name: "role" }), t("server.right_hint"))],
    values => replace(`${path}/members/${encodeURIComponent(values.name.trim())}`, { role: values.role }, options), { action: t("server.add") });
}

function retention(path, options, days, owns) {
  const told = value => (value === null ? t("server.kept_for_ever") : t("server.kept_for", { n: value }));
  const said = h("p", {}, told(days)), title = h("h3", {}, t("server.retention"));
  if (!owns) return h("div", {}, title, said);
  const change = safely(async () => {
    const input = h("input", { name: "days", type: "number", min: "1", max: "36500", step: "1", inputmode: "numeric", value: days === null ? "" : String(days) });
    const done = await form(t("server.retention"), [field(t("server.days"), input, t("server.days_hint"))], values => replace(`${path}/retention`, { days: values.days === "" ? null : Number(values.days) }, options));
    if (done) { days = done.days; said.textContent = told(days); }
  });
  return h("div", {}, h("div", { class: "part-head" }, title, button(t("server.change"), { icon: "edit", kind: "tiny", "aria-label": t("server.change_retention"), on: change })), said);
}

async function rename(one, path, options, reload) {
  const done = await form(t("server.rename_project", { name: one.name }), [field(t("common.name"), h("input", { name: "name", required: true, maxlength: "256", value: one.name, autocomplete: "off" }))], ({ name }) => patch(path, { name: name.trim() }, options));
  if (done) await reload(one.id);
}

async function drop(one, path, reload) {
  if (!await confirm(t("server.delete_project_title", { name: one.name }), t("server.delete_project_lead"), { action: t("server.delete_project") })) return;
  const { erasure } = await remove(path);
  if (current() === one.id) cookie("project", "");
  await reload().catch(complain);
  find("#part h2")?.setAttribute("tabindex", "-1");
  // The dialog gives the focus back to what has it now.
  find("#part h2")?.focus();
  showReceipt(t("server.project_deleted", { name: one.name }), erasure);
}

