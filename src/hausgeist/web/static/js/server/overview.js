/** The overview: is it well, how to connect, what is in memory, and that nothing leaves. */

import { get, post } from "../api.js";
import { field, form } from "../dialog.js";
import { button, find, h, icon, put } from "../dom.js";
import { ago, bytes, number, percent, t, when } from "../text.js";
import { language, me } from "../told.js";
import { toast } from "../toast.js";
import { connect } from "./connect.js";
import { memory } from "./memory.js";
import { every, table } from "./pieces.js";
import { outside } from "./outside.js";

const SECONDS = 5;

export async function show(place, { who, signal, go }) {
  const owner = who.house_role === "owner";
  const [machine, models, history] = await Promise.all([
    get("/house/v1/machine", {}, { signal }),
    get("/house/v1/models", {}, { signal }),
    get("/house/v1/machine/history", {}, { signal }),
  ]);
  const figures = h("div", { class: "figures" }), loaded = h("div", {}), chart = memory(history, machine.memory.total);
  const tell = seen => {
    state(seen);
    put(figures, cards(seen));
    put(loaded, inMemory(seen.models));
  };
  tell(machine);
  put(place,
    figures,
    connect(machine.address ?? location.origin, models.data, who),
    owner ? outside(machine.offline, { signal, go }) : offline(machine.offline),
    h("section", { class: "card" }, h("h2", {}, t("server.memory_over_time")), chart.element),
    h("section", { class: "card" }, h("h2", {}, t("server.in_memory")), loaded),
    h("div", { class: "pair" }, hardware(machine), yourself(who)));
  every(SECONDS, async () => {
    try {
      const [seen, more] = await Promise.all([get("/house/v1/machine", {}, { signal }), get("/house/v1/machine/history", { since: chart.last() }, { signal })]);
      if (signal.aborted) return;
      tell(seen);
      chart.add(more.data);
    } catch (error) {
      if (!signal.aborted && error.type === "unreachable") away();
    }
  }, signal);
}

/** Said aloud when it changes, and only then. */
function badge(kind, named, text) {
  const place = find("#state");
  if (place.textContent !== text) put(place, h("span", { class: `badge ${kind}` }, icon(named, { small: true }), text));
}

function state(seen) {
  badge("good", "check", t("server.well"));
  const text = t("server.version_since", { version: seen.version, length: length(seen.uptime) }), place = find("#since");
  if (place.textContent !== text) place.textContent = text;
}

function away() {
  badge("bad", "warning", t("common.unreachable"));
  find("#since").textContent = "";
}

/** "3 hours", in whole numbers of the largest unit. */
function length(seconds) {
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].find(([, one]) => seconds >= one) ?? ["second", 1];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 0 }).format(Math.floor(seconds / size));
}

function cards(seen) {
  const { memory: main, disk, models } = seen, sum = key => models.reduce((all, one) => all + one[key], 0);
  const used = main.total - main.available, rest = Math.max(0, used - main.models - main.server);
  return [
    h("div", { class: "card" }, h("h2", {}, t("server.requests_now")), h("p", { class: "figure" }, number(sum("active"))), h("p", { class: "soft small" }, t("server.waiting", { n: sum("waiting") }))),
    h("div", { class: "card" }, h("h2", {}, t("server.memory")), h("p", { class: "figure" }, bytes(used, { memory: true }), h("span", { class: "of" }, ` / ${bytes(main.total, { memory: true })}`)),
      split([[main.models, "s1", t("server.of_models")], [main.server, "s2", t("server.of_server")], [rest, "s6", t("server.of_rest")]], main.total)),
    disk ? h("div", { class: "card" }, h("h2", {}, t("server.disk")), h("p", { class: "figure" }, t("server.free", { size: bytes(disk.free) })),
      split([disk.home_bytes === null ? null : [disk.home_bytes, "s1", t("server.of_hausgeist")], [disk.total - disk.free - (disk.home_bytes ?? 0), "s6", t("server.of_rest")]].filter(Boolean), disk.total, bytes)) : null,
    seen.devices.map(one => h("div", { class: "card" }, h("h2", {}, one.name), h("p", { class: "figure" }, one.free === null ? bytes(one.memory || null, { memory: true }) : t("server.free", { size: bytes(one.free, { memory: true }) })), one.memory ? split([[one.memory - (one.free ?? one.memory), "s1", t("server.in_use")]], one.memory) : null)),
  ];
}

/** One bar of parts, each named with its size. */
function split(parts, total, say = size => bytes(size, { memory: true })) {
  return [
    h("div", { class: "split", "aria-hidden": "true" }, parts.map(([size, series]) => h("span", { class: `swatch ${series}`, style: { width: `${(100 * size) / total}%` } }))),
    h("ul", { class: "legend" }, parts.map(([size, series, name]) => h("li", {}, h("span", { class: `swatch ${series}` }), `${name} ${say(size)}`))),
  ];
}

function inMemory(models) {
  if (!models.length) return h("p", { class: "soft" }, t("server.none_loaded"));
  return table(t("server.in_memory"), [{ name: t("server.model") }, { name: t("server.model_state") }, { name: t("server.measured"), number: true }, { name: t("server.predicted"), number: true }, { name: t("server.context"), number: true }, { name: t("server.running"), number: true }, { name: t("server.stays_until") }],
    models.map(one => [
      one.id,
      h("span", { class: one.state === "loaded" ? "badge good" : "badge" }, t(`server.state_${one.state}`)),
      bytes(one.memory, { memory: true }),
      bytes(one.predicted, { memory: true }),
      number(one.context),
      one.waiting ? t("server.running_waiting", { active: one.active, slots: one.slots, waiting: one.waiting }) : t("server.running_of", { active: one.active, slots: one.slots }),
      one.until === null ? t("server.stays") : one.active ? t("server.at_work") : when(one.until, { timeStyle: "short" }),
    ]));
}

function hardware(seen) {
  const rows = [
    [t("server.processor"), t("server.cores", { n: seen.processors.cores, name: seen.processors.name || "–" })],
    [t("server.cards"), seen.devices.length ? seen.devices.map(one => `${one.name}${one.memory ? ` (${bytes(one.memory, { memory: true })})` : ""}`).join(", ") : t("server.no_cards")],
    [t("server.running_since"), `${when(seen.started)} (${ago(seen.started)})`],
    seen.address ? [t("server.address"), seen.address] : null,
    [t("server.disk"), seen.disk ? t("server.free_of", { free: bytes(seen.disk.free), total: bytes(seen.disk.total), share: percent(seen.disk.free / seen.disk.total) }) : "–"],
  ].filter(Boolean);
  return h("section", { class: "card" }, h("h2", {}, t("server.machine")), h("dl", { class: "facts" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

function offline(on) {
  return h("section", { class: "card" }, h("h2", {}, t("server.outside")), h("p", {}, t(on ? "server.offline_on" : "server.offline_off")));
}

function yourself(who) {
  const local = me.kind === "local";
  const rows = [[t("common.name"), local ? t("common.you") : me.name], [t("server.on_this_server"), t(`server.role_${who.house_role}`)], [t("server.in_this_project"), t(`server.role_${who.role}`)]];
  return h("section", { class: "card" }, h("h2", {}, t("server.yourself")), h("dl", { class: "facts" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    local ? h("p", { class: "soft small" }, t("server.local_owner")) : null,
    me.kind === "user" ? button(t("server.change_password"), { icon: "key", on: changePassword }) : null);
}

async function changePassword() {
  const input = (name, auto) => h("input", { name, type: "password", required: true, maxlength: "1024", autocomplete: auto });
  const fields = [field(t("server.current_password"), input("current", "current-password")), field(t("server.new_password"), input("password", "new-password"), t("server.password_hint")), field(t("server.password_again"), input("again", "new-password"))];
  const done = await form(t("server.change_password"), fields, async values => {
    if (values.password !== values.again) throw new Error(t("server.different"));
    await post("/house/v1/users/me/password", { current: values.current, password: values.password });
  });
  if (done) toast(t("server.password_changed"));
}
