/** The settings with their documentation: what each is, where that was said, and how it is said otherwise. For owners of the server. */

import { get } from "../api.js";
import { copyButton } from "../copying.js";
import { h, icon, put } from "../dom.js";
import { t } from "../text.js";
import { heading, snippet } from "./pieces.js";

export async function show(place, { signal }) {
  const told = await get("/house/v1/settings", {}, { signal });
  const search = h("input", { type: "search", placeholder: t("server.search_settings"), "aria-label": t("server.search_settings"), value: new URLSearchParams(location.search).get("q") ?? "" });
  const changed = h("input", { type: "checkbox" }), count = h("p", { class: "soft small", role: "status" }), list = h("div", { class: "rows settings" });
  const rows = told.data.map(one => [one, row(one, told.file), `${one.name} ${one.name.replaceAll("_", " ")} ${one.help} ${one.variable ?? ""}`.toLowerCase()]);
  const draw = () => {
    const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const shown = rows.filter(([one, , text]) => (!changed.checked || one.source !== "default") && words.every(word => text.includes(word)));
    // Rows are kept, so what is unfolded stays unfolded.
    put(list, shown.map(([, element]) => element));
    count.textContent = shown.length ? t("server.settings_shown", { n: shown.length }) : t("server.no_setting");
    history.replaceState(null, "", search.value ? `?q=${encodeURIComponent(search.value)}` : location.pathname);
  };
  search.addEventListener("input", draw);
  changed.addEventListener("change", draw);
  put(place, heading(t("server.part_settings")), h("p", { class: "soft" }, t("server.settings_lead")),
    h("p", { class: "base" }, h("span", { class: "soft" }, t("server.settings_file")), h("code", {}, told.file), copyButton(() => told.file, { label: t("server.copy_that", { what: t("server.settings_file") }), bare: true, kind: "quiet tiny" })),
    h("div", { class: "filters" }, h("div", { class: "searchbox grow" }, icon("search"), search), h("label", { class: "check" }, changed, t("server.only_changed"))), count, list);
  draw();
}

function row(one, file) {
  const inside = h("div", { class: "inside" });
  const element = h("details", {}, h("summary", {}, icon("right", { small: true }), h("code", { class: "what" }, one.name), h("span", { class: "value" }, value(one)), one.source === "default" ? null : h("span", { class: "badge accent" }, source(one)), h("span", { class: "help soft", lang: "en" }, one.help)), inside);
  element.addEventListener("toggle", () => { if (element.open && !inside.childElementCount) put(inside, details(one, file)); });
  return element;
}

const source = one => t(`server.source_${one.source.replace(" ", "_")}`);

function value(one) {
  if (one.secret) return t(one.set ? "server.is_set" : "server.is_not_set");
  return plain(one.value);
}

function plain(said) {
  if (said === null || said === undefined || said === "" || (Array.isArray(said) && !said.length)) return t("server.unset");
  if (typeof said === "boolean") return t(said ? "common.yes" : "common.no");
  return Array.isArray(said) ? said.join(", ") : typeof said === "object" ? JSON.stringify(said) : String(said);
}

function details(one, file) {
  const facts = [
    [t("server.value"), value(one)], one.secret ? null : [t("server.default"), plain(one.default)], [t("server.takes"), h("span", { lang: "en" }, one.type.replaceAll("`", ""))], [t("server.comes_from"), source(one)],
  ].filter(Boolean);
  const line = toml(one);
  return [
    h("dl", { class: "facts" }, facts.map(([name, said]) => h("div", {}, h("dt", {}, name), h("dd", {}, said)))),
    one.secret ? h("p", { class: "small soft" }, t("server.secret_note")) : null,
    line ? [h("p", {}, t(line.startsWith("[") ? "server.in_the_file" : "server.in_the_file_top", { file })), snippet(line, t("server.line_of", { name: one.name }))] : null,
    one.variable ? [h("p", {}, t("server.or_variable")), snippet(`${one.variable}=${shell(one)}`, one.variable)] : null,
    h("p", { class: "small soft" }, t("server.then_restart")),
  ];
}

/** The value to write: what it is now, else its default, else one of its type; of two, the other one. */
function sample(one) {
  if (one.secret) return "…";
  const said = one.value ?? one.default;
  if (typeof said === "boolean") return !said;
  if (said !== null && said !== undefined && typeof said !== "object") return said;
  if (Array.isArray(said)) return said;
  return /`true`/.test(one.type) ? true : /number/.test(one.type) ? 0 : "";
}

/** How it is written in hausgeist.toml; a table has no line of its own. */
function toml(one) {
  if (one.type === "a table") return null;
  const written = said => (Array.isArray(said) ? `[${said.map(written).join(", ")}]` : typeof said === "string" ? JSON.stringify(said) : String(said));
  const found = /^([A-Za-z0-9_-]+)\.("(?:[^"\\]|\\.)*"|[^.]+)\.(.+)$/.exec(one.name);
  return found ? `[${found[1]}.${found[2]}]\n${found[3]} = ${written(sample(one))}` : `${one.name} = ${written(sample(one))}`;
}

function shell(one) {
  const said = sample(one), text = Array.isArray(said) ? said.join(",") : String(said);
  return /^[\w./:@,+-]*$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
