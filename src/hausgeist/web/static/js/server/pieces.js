/** What several parts are put together from: tables that become cards on phones, texts to copy, secrets that are shown once, files to save. */

import { copyButton } from "../copying.js";
import { dialog } from "../dialog.js";
import { button, h } from "../dom.js";
import { t } from "../text.js";

/**
 * A table. `columns`: {name, number, date, hidden} (date: is not broken; hidden: a heading for screen readers alone); `rows`: arrays of cells, text or nodes.
 * The roles are said, since on phones it is laid out as cards, which takes them from it.
 */
export function table(label, columns, rows) {
  const head = columns.map(one => h("th", { scope: "col", role: "columnheader", class: one.number ? "number" : null }, one.hidden ? h("span", { class: "visually-hidden" }, one.name) : one.name));
  const body = rows.map(row => h("tr", { role: "row" }, row.map((cell, place) => h("td", { role: "cell", class: [columns[place].number ? "number" : "", columns[place].hidden ? "doing" : "", columns[place].date ? "date" : ""].join(" ").trim() || null, dataset: columns[place].hidden ? {} : { label: columns[place].name } }, cell))));
  return h("table", { class: "stacking", role: "table", "aria-label": label }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)), h("tbody", { role: "rowgroup" }, body));
}

/** A heading of a part with what can be done there. */
export const heading = (text, ...actions) => h("div", { class: "part-head" }, h("h2", {}, text), actions.length ? h("div", { class: "row" }, actions) : null);

/** Lines to copy. */
export function snippet(text, label) {
  return h("div", { class: "snippet" }, h("pre", { tabindex: "0", role: "region", "aria-label": label }, h("code", {}, text)), copyButton(() => text, { label: t("server.copy_that", { what: label }), bare: true, kind: "quiet tiny" }));
}

/** Show what is told once: a key, a link. A click beside it does not lose it. */
export function once(title, explanation, label, value, note) {
  const input = h("input", { readonly: true, value, class: "mono", "aria-label": label, on: { focus: () => input.select() } });
  const close = button(t("server.have_it"));
  const shown = dialog(title, h("div", {}, h("p", {}, explanation), h("div", { class: "told-once" }, input, copyButton(() => value, { kind: "primary-action" })), h("p", { class: "small soft" }, note)), { actions: [close], lasting: true });
  close.addEventListener("click", () => shown.close());
  input.focus();
  return shown.closed;
}

/** Save a text as a file. */
export function save(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** Rows as CSV (RFC 4180). A cell that a spreadsheet would take for a formula gets an apostrophe. */
export function csv(columns, rows) {
  const cell = value => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return `\ufeff${[columns, ...rows].map(row => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

/** Such as 2026-11-28, for names of files. */
export const today = () => new Date().toISOString().slice(0, 10);

/** A choice between few: `choices` {value: label}. `chosen` is called with the value. */
export function choice(label, choices, value, chosen) {
  const options = Object.entries(choices).map(([one, text]) => h("button", { type: "button", "aria-pressed": String(one === value), on: { click: event => {
    for (const other of event.currentTarget.parentElement.children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
    chosen(one);
  } } }, text));
  return h("div", { class: "choice", role: "group", "aria-label": label }, options);
}

/** A select. `choices`: [[value, label], ...]. */
export function select(choices, value, properties = {}) {
  const element = h("select", properties, choices.map(([one, label]) => h("option", { value: one }, label)));
  if (value !== undefined && value !== null) element.value = value;
  return element;
}

/** The rights of members, the least first. */
export const roles = () => [["reader", t("server.role_reader")], ["member", t("server.role_member")], ["owner", t("server.role_owner")]];
export const role = name => t(`server.role_${name}`);

/** Do something again and again, while the page is looked at. */
export function every(seconds, work, signal) {
  const next = async () => {
    if (signal.aborted) return;
    if (document.visibilityState === "visible") await work();
    if (!signal.aborted) setTimeout(next, seconds * 1000);
  };
  setTimeout(next, seconds * 1000);
}
