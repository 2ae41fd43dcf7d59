/** What is done with an installed model: load, update, go back, pin, verify, export, delete. Each says how it went. */

import { ask, lines, post } from "../api.js";
import { confirm, dialog } from "../dialog.js";
import { button, h, put } from "../dom.js";
import { bytes, t } from "../text.js";
import { complain, toast } from "../toast.js";
import { mayAdminister, mayWrite } from "../told.js";
import { forgetFit } from "./fits.js";
import { startPull } from "./pulls.js";
import { warning } from "./words.js";

/** The menu of a model. `changed` is called after what changes the list. */
export function actionsOf(one, { changed, open }) {
  const then = work => () => work().then(done => done && changed()).catch(complain);
  const owner = mayAdminister && one.stored;
  return [
    { label: t("models.details"), icon: "info", run: open },
    mayWrite && !("loaded" in one) ? { label: t("models.unload"), icon: "stop", run: then(() => unload(one)) } : null,
    owner && one.reference ? { label: t("models.update"), icon: "download", run: then(() => upgrade(one)) } : null,
    owner && one.before.length ? { label: t("models.roll_back"), icon: "left", run: then(() => rollBack(one)) } : null,
    owner ? { label: t(one.pinned ? "models.unpin" : "models.pin"), icon: "pin", run: then(() => pin(one)) } : null,
    owner ? { label: t("models.verify"), icon: "shield", run: then(() => verify(one)) } : null,
    owner ? { label: t("models.export"), icon: "upload", run: () => exported(one) } : null,
    owner ? "line" : null,
    owner ? { label: t("common.delete"), icon: "trash", danger: true, run: then(() => erase(one)) } : null,
  ].filter(Boolean);
}

async function pressed(control, work) {
  if (control) control.disabled = true;
  try {
    return await work();
  } catch (error) {
    complain(error);
    return null;
  } finally {
    if (control) control.disabled = false;
  }
}

/** Into memory, so that the first answer comes sooner. */
export function load(one, control = null) {
  const embeds = one.capabilities?.includes("embedding");
  toast(t("models.being_loaded", { model: one.id }), { seconds: 3 });
  return pressed(control, () => embeds ? post("/api/embed", { model: one.id, input: [] }) : post("/api/generate", { model: one.id, stream: false }));
}

/** Out of memory. */
export const unload = (one, control = null) => pressed(control, async () => {
  await post("/api/generate", { model: one.id, keep_alive: 0, stream: false });
  toast(t("models.unloaded", { model: one.id }));
  return true;
});

/** What the source has now. */
export async function upgrade(one) {
  try {
    await startPull(one.id, { upgrade: true });
    toast(t("models.update_started", { model: one.id }));
  } catch (error) {
    complain(error);
  }
}

/** Ask the sources of all. Resolves with what they say, by model, or null. */
export function checkUpdates(control) {
  return pressed(control, async () => {
    const found = (await post("/house/v1/models/outdated", { models: [] })).data;
    const outdated = found.filter(one => one.outdated).length;
    toast(outdated ? t("models.updates_found", { n: outdated }) : found.some(one => one.error) ? t("models.updates_unknown") : t("models.all_up_to_date"));
    return new Map(found.map(one => [one.model, one]));
  });
}

async function rollBack(one) {
  if (!(await confirm(t("models.roll_back_title", { model: one.id }), t("models.roll_back_says"), { action: t("models.roll_back"), danger: false }))) return false;
  await post("/house/v1/models/rollback", { model: one.id });
  forgetFit(one.id);
  toast(t("models.rolled_back", { model: one.id }));
  return true;
}

async function pin(one) {
  await post("/house/v1/models/pin", { model: one.id, pinned: !one.pinned });
  toast(t(one.pinned ? "models.is_unpinned" : "models.is_pinned", { model: one.id }));
  return true;
}

/** Read all of its files again, in a dialog that shows how far it is; what is damaged can be fetched anew. */
export async function verify(one, { repair = false } = {}) {
  const bar = h("progress", { max: "1", "aria-label": t("models.verifying", { model: one.id }) }), said = h("p", { role: "status" }, t("models.verifying", { model: one.id }));
  const body = h("div", {}, bar, said), stopping = new AbortController();
  const shown = dialog(t("models.verify"), body);
  shown.closed.then(() => stopping.abort());
  try {
    for await (const line of lines("/house/v1/models/verify", { model: one.id, repair }, { signal: stopping.signal })) {
      if (line.stage !== "done") { if (line.total) bar.value = line.done / line.total; continue; }
      put(body, line.sound
        ? warning(t("models.sound", { n: line.files }), "good")
        : [warning(t("models.damaged", { n: line.damages.length }), "bad"), h("ul", {}, line.damages.map(damage => h("li", { class: "small" }, Object.values(damage).filter(value => typeof value === "string").join(": ")))), button(t("models.repair"), { icon: "download", kind: "primary-action", on: () => { shown.close(); verify(one, { repair: true }); } })]);
    }
  } catch (error) {
    if (error.name !== "AbortError") put(body, warning(error.message, "bad"));
  }
  return repair;
}

/** As one file, by the browser's own download. */
function exported(one) {
  const link = h("a", { href: `/house/v1/models/export?model=${encodeURIComponent(one.id)}`, download: `${one.id.replace(/[^\w.-]+/g, "-")}.tar` });
  document.body.append(link);
  link.click();
  link.remove();
}

async function erase(one) {
  const versions = one.before.reduce((sum, version) => sum + version.size, 0);
  if (!(await confirm(t("models.delete_title", { model: one.id }), t("models.delete_says", { size: bytes(one.size + versions) })))) return false;
  await ask("DELETE", "/api/delete", { body: { model: one.id } });
  forgetFit(one.id);
  toast(t("models.deleted", { model: one.id }));
  document.getElementById("main").focus();
  return true;
}
