/** People: invited, given rights, let in again, removed. For owners of the server. */

import { get, patch, post, put as replace, remove } from "../api.js";
import { confirm, field, form } from "../dialog.js";
import { button, find, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { ago, day, t, when } from "../text.js";
import { me } from "../told.js";
import { complain, safely, toast } from "../toast.js";
import { heading, once, role, roles, select, table } from "./pieces.js";
import { showReceipt } from "./receipt.js";

const MANY = 8;

export async function show(place, { signal }) {
  let people = [];
  const list = h("div", {}), search = h("input", { type: "search", placeholder: t("server.search_people"), "aria-label": t("server.search_people"), on: { input: () => draw() } });
  const reload = async () => {
    people = (await get("/house/v1/users", {}, { signal })).data;
    box.hidden = people.length < MANY;
    draw();
  };
  const draw = () => {
    const words = search.value.trim().toLowerCase(), shown = people.filter(one => !words || [one.name, ...one.projects.map(other => other.name)].some(text => text.toLowerCase().includes(words)));
    put(list, people.length > 1 || people.some(one => one.id !== "local") ? rows(shown, reload) : h("div", { class: "empty" }, icon("people"), h("p", {}, t("server.nobody_else"))));
  };
  const add = safely(async () => { if (await invite()) await reload(); });
  const box = h("div", { class: "searchbox", hidden: true }, icon("search"), search);
  put(place, heading(t("server.part_people"), box, button(t("server.invite"), { icon: "plus", kind: "primary-action", on: add })), h("p", { class: "soft" }, t("server.people_lead")), list);
  await reload();
}

function rows(people, reload) {
  if (!people.length) return h("p", { class: "soft" }, t("server.nobody_found"));
  return table(t("server.part_people"), [{ name: t("common.name") }, { name: t("server.right") }, { name: t("server.projects") }, { name: t("server.signed_in") }, { name: t("server.added"), date: true }, { name: t("common.more"), hidden: true }],
    people.map(one => [
      h("span", { class: "named" }, one.id === "local" ? t("server.local_name") : one.name, one.id === me.user ? h("span", { class: "badge accent" }, t("common.you")) : null),
      role(one.role),
      one.id === "local" || one.role === "owner" ? t("server.all_projects") : one.projects.length ? one.projects.map(other => t("server.project_as", { project: other.name, role: role(other.role) })).join(", ") : t("common.none"),
      seen(one),
      day(one.created),
      one.id === "local" ? "" : button(t("server.do_with", { name: one.name }), { icon: "more", bare: true, kind: "quiet", "aria-haspopup": "menu", "aria-expanded": "false", on: event => doings(event.currentTarget, one, reload) }),
    ]));
}

function seen(one) {
  if (one.id === "local") return t("server.at_the_machine");
  if (one.last_seen) return h("span", { title: when(one.last_seen) }, ago(one.last_seen));
  return h("span", { class: "badge warn" }, t(one.invited ? "server.link_waits" : one.has_password ? "server.never" : "server.no_way_in"));
}

function doings(anchor, one, reload) {
  const changed = work => safely(async () => { if (await work()) { await reload(); back(one); } });
  menu(anchor, [
    { group: t("server.right") },
    ...roles().map(([name, label]) => ({ label, icon: "persona", checked: one.role === name, run: safely(async () => {
      if (one.role === name) return undefined;
      try {
        await patch(`/house/v1/users/${one.id}`, { role: name });
        if (one.id === me.user) return location.reload();
        return toast(t("server.right_changed", { name: one.name, role: label }));
      } finally {
        await reload();
        back(one);
      }
    }) })),
    "line",
    { label: t("server.make_link"), icon: "link", run: safely(() => link(one)) },
    // One's own is changed in the overview, with the one so far.
    one.id === me.user ? null : { label: t("server.set_password"), icon: "key", run: changed(() => setPassword(one)) },
    { label: t("server.see_usage"), icon: "plan", run: () => location.assign("/server/usage?by=user") },
    { label: t("server.see_audit"), icon: "clock", run: () => location.assign(`/server/audit?actor=${encodeURIComponent(one.id)}`) },
    "line",
    { label: t("server.remove_person"), icon: "trash", danger: true, run: safely(async () => { if (await leave(one)) { await reload(); find("#part h2")?.setAttribute("tabindex", "-1"); find("#part h2")?.focus(); } }) },
  ]);
}

/** The focus, back where it was before the list was made again. */
const back = one => document.querySelector(`[aria-label="${CSS.escape(t("server.do_with", { name: one.name }))}"]`)?.focus();

async function invite() {
  const projects = (await get("/house/v1/projects")).data.filter(one => one.id !== "default");
  const fields = [
    field(t("common.name"), h("input", { name: "name", required: true, maxlength: "256", autocomplete: "off" }), t("server.name_hint")),
    field(t("server.right"), select(roles(), "member", { name: "role" }), t("server.right_hint")),
    projects.length ? field(t("server.also_in"), select([["", t("server.in_no_other")], ...projects.map(one => [one.id, one.name])], "", { name: "project" }), t("server.also_in_hint")) : null,
  ];
  const made = await form(t("server.invite"), fields, async ({ name, role: right, project }) => {
    const user = await post("/house/v1/users", { name: name.trim(), role: right });
    // The person is there: what goes wrong from here on is said, and their link still shown.
    if (project && right !== "owner") await replace(`/house/v1/projects/${encodeURIComponent(project)}/members/${user.id}`, { role: right }).catch(complain);
    return user;
  }, { action: t("server.invite_do") });
  if (made) await tell(made, made.link, made.expires);
  return made;
}

async function link(one) {
  const { link: address, expires } = await post(`/house/v1/users/${one.id}/invite`);
  await tell(one, address, expires);
}

const tell = (one, address, expires) => once(t("server.link_title", { name: one.name }), t("server.link_lead", { name: one.name }), t("server.link"), address, t("server.link_note", { when: when(expires) }));

async function setPassword(one) {
  const input = name => h("input", { name, type: "password", required: true, maxlength: "1024", autocomplete: "new-password" });
  const done = await form(t("server.set_password_of", { name: one.name }), [field(t("server.new_password"), input("password"), t("server.password_hint")), field(t("server.password_again"), input("again"))], async values => {
    if (values.password !== values.again) throw new Error(t("server.different"));
    await post(`/house/v1/users/${one.id}/password`, { password: values.password });
  });
  if (done) toast(t("server.password_set", { name: one.name }));
  return done;
}

async function leave(one) {
  if (!await confirm(t("server.remove_title", { name: one.name }), t("server.remove_lead", { name: one.name }), { action: t("server.remove_person") })) return false;
  const { erasure } = await remove(`/house/v1/users/${one.id}`);
  showReceipt(t("server.removed", { name: one.name }), erasure);
  return true;
}
