/** The disk: how full it is, what other tools have on it, what nobody needs, models brought as a file. */

import { ApiError, get, lines, post } from "../api.js";
import { confirm, dialog, form, field } from "../dialog.js";
import { button, find, h, icon, put } from "../dom.js";
import { bytes, t } from "../text.js";
import { complain, toast } from "../toast.js";
import { licenceShort, refresh } from "./library.js";
import { startPull } from "./pulls.js";
import { toolName, warning } from "./words.js";

/** How full the disk is. Where the server does not tell, nothing is said. */
export async function openDisk(models) {
  const place = find("#disk");
  if (!place) return;
  const taken = models.reduce((sum, one) => sum + (one.stored ? one.size + one.before.reduce((all, version) => all + version.size, 0) : 0), 0);
  let disk = null;
  try {
    disk = (await get("/house/v1/machine")).disk;
  } catch {
    // An older server has no such route.
  }
  const used = disk ? disk.total - disk.free : 0;
  put(place, disk ? h("div", { class: "meter", role: "img", "aria-label": t("models.disk_says", { free: bytes(disk.free), total: bytes(disk.total), models: bytes(taken) }) },
    h("span", { class: "meter-models", style: { width: `${Math.min(100, (taken / disk.total) * 100)}%` } }), h("span", { class: "meter-other", style: { width: `${Math.min(100, (Math.max(0, used - taken) / disk.total) * 100)}%` } })) : null,
  h("p", { class: "small soft" }, disk ? t("models.disk_says", { free: bytes(disk.free), total: bytes(disk.total), models: bytes(taken) }) : t("models.models_take", { models: bytes(taken) })));
}

/** What could be removed; removed only after a look at it. */
export async function tidy(control) {
  control.disabled = true;
  try {
    const found = await post("/house/v1/models/gc", { dry_run: true });
    if (!found.size) return toast(t("models.nothing_to_remove"));
    if (!(await confirm(t("models.tidy"), t("models.tidy_says", { size: bytes(found.size), n: found.files }), { action: t("models.tidy_now") }))) return undefined;
    const removed = await post("/house/v1/models/gc", {});
    toast(t("models.freed", { size: bytes(removed.size) }));
    return refresh();
  } catch (error) {
    return complain(error);
  } finally {
    control.disabled = false;
  }
}

let looked = false;

/** What Ollama, LM Studio and others have brought here already. */
export async function openElsewhere() {
  if (looked) return;
  looked = true;
  const place = find("#elsewhere-list");
  put(place, h("li", { class: "row soft" }, h("span", { class: "spinner" }), t("models.looking_around")));
  try {
    const found = (await get("/house/v1/models/adoptable")).data;
    put(place, found.map(there));
    find("#elsewhere-empty").hidden = found.length > 0;
  } catch (error) {
    looked = false;
    put(place, h("li", {}, warning(error.message, "bad"), button(t("common.retry"), { icon: "retry", on: openElsewhere })));
  }
}

const folderOf = path => path.replace(/[\\/][^\\/]*$/, "");

function there(one) {
  const act = h("div", { class: "model-act" });
  const use = button(t("models.adopt"), { icon: "plus", kind: "tiny", "aria-label": t("models.adopt_named", { model: one.model }), on: () => adopt(one, act, use) });
  put(act, one.installed ? h("span", { class: "badge good" }, icon("check", { small: true }), t("models.installed")) : use);
  return h("li", { class: "model card" },
    h("div", { class: "model-name" }, h("h3", {}, one.model), h("p", { class: "small soft" }, [toolName(one.tool), bytes(one.size), one.licence ? licenceShort(one.licence) : null].filter(Boolean).join(" · "))),
    h("div", { class: "model-state small soft" }, folderOf(one.files[0] ?? "")), act);
}

async function adopt(one, act, use) {
  use.disabled = true;
  const bar = h("progress", { max: "1", "aria-label": t("models.progress_of", { model: one.model }) });
  act.prepend(bar);
  try {
    for await (const line of lines("/house/v1/models/adopt", { model: one.model, tool: one.tool })) {
      if (line.stage === "done" && "in_place" in line) {
        put(act, h("span", { class: "badge good" }, icon("check", { small: true }), t("models.installed")));
        toast(t(line.in_place ? "models.adopted_in_place" : "models.adopted", { model: line.name }));
      } else if (line.total) bar.value = line.done / line.total;
    }
    await refresh();
  } catch (error) {
    bar.remove();
    use.disabled = false;
    complain(error);
  }
}

/** Install by any name that a source understands. */
export function byName() {
  const input = h("input", { name: "model", required: true, maxlength: 4096, autocomplete: "off", spellcheck: "false", placeholder: "llama3.2:3b" });
  const name = h("input", { name: "name", maxlength: 350, autocomplete: "off", spellcheck: "false" });
  return form(t("models.by_name"), [
    field(t("models.name"), input, t("models.by_name_hint")),
    h("details", { class: "field" }, h("summary", {}, t("models.own_name")), field(t("models.own_name_label"), name, t("models.own_name_hint"))),
  ], async values => {
    await startPull(values.model.trim(), { name: values.name.trim() || undefined });
    return true;
  }, { action: t("models.install") });
}

/** A GGUF file, or one with models that were exported elsewhere: sent as it is, however large. */
export function byFile() {
  const input = h("input", { type: "file", accept: ".gguf,.tar", class: "visually-hidden", tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", () => { if (input.files[0]) chosen(input.files[0]); input.remove(); });
  input.addEventListener("cancel", () => input.remove());
  document.body.append(input);
  input.click();
}

/** An exported file says itself what its models are called; a GGUF file is asked about. */
async function chosen(file) {
  if (!/\.gguf$/i.test(file.name)) return send(file);
  const stem = file.name.replace(/\.gguf$/i, "").normalize("NFKD").replace(/[^\w.-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 80).toLowerCase();
  const name = h("input", { name: "name", required: true, maxlength: 350, autocomplete: "off", spellcheck: "false", value: stem });
  const values = await form(t("models.from_file"), field(t("models.own_name_label"), name, t("models.file_name_hint", { file: file.name })), given => given, { action: t("models.install") });
  return values ? send(file, values.name.trim()) : undefined;
}

function send(file, name = "") {
  const request = new XMLHttpRequest(), bar = h("progress", { max: "1", "aria-label": file.name });
  const said = h("p", { role: "status", class: "soft" }, t("models.sending", { file: file.name })), body = h("div", {}, said, bar);
  const shown = dialog(t("models.from_file"), body);
  shown.closed.then(() => request.abort());
  const failed = error => put(body, warning(error.message, "bad"));
  request.upload.addEventListener("progress", event => {
    if (!event.lengthComputable) return;
    bar.value = event.loaded / event.total;
    if (event.loaded === event.total) { said.textContent = t("models.stage_finishing"); bar.removeAttribute("value"); }
    else said.textContent = t("models.of_bytes", { done: bytes(event.loaded), total: bytes(event.total) });
  });
  request.addEventListener("load", () => {
    if (request.status >= 300) return failed(new ApiError(request.response?.error?.message ?? t("common.failed", { status: request.status })));
    put(body, warning(t("models.brought", { names: request.response.data.map(one => one.id).join(", ") }), "good"));
    return refresh();
  });
  request.addEventListener("error", () => failed(new ApiError(t("common.unreachable"))));
  request.open("POST", `/house/v1/models/import${name ? `?name=${encodeURIComponent(name)}` : ""}`);
  request.setRequestHeader("content-type", "application/octet-stream");
  request.responseType = "json";
  request.send(file);
}
