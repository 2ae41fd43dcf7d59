/** What is asked before collections and files are made, changed and removed. */

import { get, post } from "../api.js";
import { button, h } from "../dom.js";
import { dialog, field, form } from "../dialog.js";
import { quoted, t, when } from "../text.js";
import { create, erase, nameOf } from "./stores.js";

const NAME = { type: "text", maxlength: "256", autocomplete: "off", required: true };

/** Resolves with the new collection, or null. */
export const askToCreate = () => form(t("documents.new"), [field(t("common.name"), h("input", { ...NAME, name: "name" }), t("documents.new_hint"))], ({ name }) => create(name.trim()), { action: t("documents.create") });

/** Name and expiry. Resolves with the collection as it is then, or null. */
export async function askSettings(store) {
  const details = await get(`/house/v1/stores/${store.id}`).catch(() => ({}));
  const days = store.expires_after?.days ?? 0;
  const choices = [...new Set([0, 7, 30, 90, 365, days])].sort((a, b) => a - b);
  const name = h("input", { ...NAME, name: "name", value: store.name ?? "" });
  const expiry = h("select", { name: "expires_after" }, choices.map(one => h("option", { value: String(one), selected: one === days }, one ? t("documents.expires_after", { n: one }) : t("documents.expires_never"))));
  const facts = [
    [t("documents.seen_by"), details.project ? t("documents.seen_by_project", { project: details.project }) : t("documents.seen_by_all")],
    [t("documents.embedding_model"), details.embedding_model || t("documents.embedding_none")],
    [t("documents.made"), when(store.created_at)],
    [t("documents.identifier"), store.id],
  ];
  return form(t("documents.settings"), [
    field(t("common.name"), name),
    field(t("documents.expiry"), expiry, t("documents.expiry_hint")),
    h("dl", { class: "facts" }, facts.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, h("bdi", {}, value))))),
  ], values => post(`/v1/vector_stores/${store.id}`, { name: values.name.trim(), expires_after: values.expires_after === "0" ? null : { anchor: "last_active_at", days: Number(values.expires_after) } }));
}

/** Says what goes, and removes it. Resolves with true, or null. */
export function askToErase(store) {
  const files = h("input", { type: "checkbox", name: "files", checked: true });
  const said = h("p", { class: "small soft", role: "status" });
  const count = store.file_counts.total;
  return form(t("documents.delete_title", { name: quoted(nameOf(store)) }), [
    h("p", {}, t("documents.delete_lead")),
    count ? h("label", { class: "check" }, files, h("span", {}, t("documents.delete_files", { n: count }))) : null,
    said,
  ], async () => {
    await erase(store.id, { files: count > 0 && files.checked, heard: (done, of) => { said.textContent = t("documents.deleting", { done, of }); } });
    return true;
  }, { action: t("common.delete"), danger: true });
}

/** Before files are removed. Resolves with true or false. */
export async function askToRemove(files) {
  const yes = button(t("documents.remove"), { kind: "danger" }), no = button(t("common.cancel"));
  const title = files.length === 1 ? t("documents.remove_one", { name: quoted(files[0].filename) }) : t("documents.remove_many", { n: files.length });
  const shown = dialog(title, h("p", {}, t("documents.remove_lead")), { actions: [no, yes] });
  yes.addEventListener("click", () => shown.close(true));
  no.addEventListener("click", () => shown.close(false));
  no.focus();
  return (await shown.closed) === true;
}
