/** API keys of a project: made, seen, revoked. A secret is shown when it is made and never again. */

import { all, get, post, project as current, remove } from "../api.js";
import { confirm, field, form } from "../dialog.js";
import { button, find, h, icon, put } from "../dom.js";
import { ago, day, t, when } from "../text.js";
import { safely, toast } from "../toast.js";
import { heading, once, role, roles, select, table } from "./pieces.js";

export async function show(place, { who, signal }) {
  const house = who.house_role === "owner";
  const projects = await all("/house/v1/projects"), asked = new URLSearchParams(location.search).get("project");
  let chosen = projects.some(one => one.id === asked) ? asked : projects.find(one => one.id === (current() || who.project))?.id ?? projects[0]?.id;
  const list = h("div", {}), lead = h("p", { class: "soft" });
  let owns = false;
  const within = () => ({ headers: { "OpenAI-Project": chosen }, signal });
  const reload = async () => {
    const path = `/house/v1/projects/${encodeURIComponent(chosen)}/members`;
    const [keys, members, people] = await Promise.all([get("/house/v1/keys", {}, within()), get(path, {}, within()).then(told => told.data, () => []), house ? get("/house/v1/users", {}, { signal }).then(told => told.data, () => []) : []]);
    owns = house || members.some(one => one.user === who.user && one.role === "owner");
    make.hidden = !owns;
    lead.textContent = t(owns ? "server.keys_lead" : "server.keys_lead_member");
    const names = new Map([...members.map(one => [one.user, one.name]), ...people.map(one => [one.id, one.name]), ["local", t("server.local_name")]]);
    put(list, keys.data.length ? rows(keys.data, names) : h("div", { class: "empty" }, icon("key"), h("p", {}, t(owns ? "server.no_keys" : "server.no_keys_member"))));
  };
  const rows = (keys, names) => table(t("server.part_keys"), [{ name: t("common.name") }, { name: t("server.begins_with") }, { name: t("server.right") }, { name: t("server.in_the_name_of") }, { name: t("server.made"), date: true }, { name: t("server.last_used") }, { name: t("common.more"), hidden: true }],
    keys.toSorted((one, other) => other.created - one.created).map(one => [
      h("span", { class: "named" }, one.name, one.project === null ? h("span", { class: "badge" }, t("server.all_projects")) : null), h("code", {}, `${one.prefix}…`), role(one.role), names.get(one.user) ?? one.user, day(one.created),
      one.last_used ? h("span", { title: when(one.last_used) }, ago(one.last_used)) : t("server.never_used"),
      owns ? button(t("server.revoke"), { icon: "trash", kind: "tiny danger", "aria-label": t("server.revoke_that", { name: one.name }), on: safely(() => revoke(one)) }) : "",
    ]));
  const revoke = async one => {
    if (!await confirm(t("server.revoke_title", { name: one.name }), t(one.last_used ? "server.revoke_lead_used" : "server.revoke_lead"), { action: t("server.revoke") })) return;
    await remove(`/house/v1/keys/${one.id}`, within());
    toast(t("server.revoked", { name: one.name }));
    await reload();
    (make.hidden ? find("#part h2") : make).focus();
  };
  const make = button(t("server.new_key"), { icon: "plus", kind: "primary-action", hidden: true, on: safely(async () => {
    const fields = [field(t("common.name"), h("input", { name: "name", required: true, maxlength: "256", autocomplete: "off" }), t("server.key_name_hint")), field(t("server.right"), select(roles(), "member", { name: "role" }), t("server.key_right_hint"))];
    const made = await form(t("server.new_key"), fields, ({ name, role: right }) => post("/house/v1/keys", { name: name.trim(), role: right, project: chosen }, within()), { action: t("server.create") });
    if (!made) return;
    await reload();
    await once(t("server.key_made", { name: made.name }), t("server.key_once"), t("server.key"), made.key, t("server.key_note"));
  }) });
  const chooser = projects.length > 1 ? h("label", { class: "inline" }, t("common.project"), select(projects.map(one => [one.id, one.name]), chosen, { on: { change: event => { chosen = event.target.value; history.replaceState(null, "", `?project=${encodeURIComponent(chosen)}`); safely(reload)(); } } })) : null;
  put(place, heading(t("server.part_keys"), chooser, make), lead, list);
  await reload();
}

