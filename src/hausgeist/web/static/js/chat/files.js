/** Chats as files: taken away, and brought. */

import { ApiError, ask, project } from "../api.js";
import { dialog } from "../dialog.js";
import { h } from "../dom.js";
import { number, t } from "../text.js";

const PATH = "/house/v1/chats";

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/** A name that every system takes. */
const fileName = title => (title.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069<>:"/\\|?*]+/g, " ").replace(/\s+/g, " ").trim().slice(0, 80).replace(/[. ]+$/, "") || "chat");

export async function exportChat(chat, format) {
  const reply = await ask("GET", `${PATH}/${chat.id}/export`, { query: { format } });
  save(await reply.blob(), `${fileName(chat.title)}.${format === "json" ? "json" : "md"}`);
}

export async function exportAll(format) {
  const reply = await ask("GET", `${PATH}/export`, { query: { format } });
  save(await reply.blob(), `chats-${new Date().toISOString().slice(0, 10)}.${format === "json" ? "json" : "md"}`);
}

/** Ask for a file, bring its chats with progress, say what came of it. Resolves with whether there are new chats. */
export function importChats() {
  const chosen = h("input", { type: "file", accept: ".json,.zip,application/json,application/zip" });
  return new Promise(resolve => {
    chosen.addEventListener("cancel", () => resolve(false));
    chosen.addEventListener("change", () => resolve(bring(chosen.files[0])));
    chosen.click();
  });
}

async function bring(file) {
  const bar = h("progress", { max: "1", value: 0, "aria-label": file.name }), said = h("div", { role: "status" }, h("p", {}, file.name), bar);
  const leave = new AbortController();
  const shown = dialog(t("chat.import"), said);
  shown.closed.then(() => leave.abort());
  try {
    const told = await send(file, share => { bar.value = share; if (share >= 1) bar.removeAttribute("value"); }, leave.signal);
    said.replaceChildren(
      h("p", {}, t("chat.brought", { n: told.chats })),
      ...(told.already_there ? [h("p", { class: "soft" }, t("chat.there_already", { n: told.already_there }))] : []),
      ...(told.refused ? [h("p", { class: "soft" }, t("chat.could_not_bring", { n: told.refused })), h("ul", { class: "small" }, told.reasons.slice(0, 20).map(one => h("li", {}, Object.values(one).filter(value => value !== null && value !== "").map(value => (typeof value === "number" ? number(value) : String(value))).join(" · "))))] : []),
      ...(told.stopped ? [h("p", {}, told.stopped)] : []));
    return told.chats > 0;
  } catch (error) {
    if (error.name !== "AbortError") said.replaceChildren(h("p", { class: "field-error" }, error.message));
    return false;
  }
}

/** With its progress from 0 to 1, which `fetch` cannot tell. */
function send(file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${PATH}/import`);
    if (project()) request.setRequestHeader("OpenAI-Project", project());
    request.responseType = "json";
    request.upload.addEventListener("progress", event => event.lengthComputable && onProgress(event.loaded / event.total));
    request.addEventListener("load", () => (request.status < 300 ? resolve(request.response) : reject(new ApiError(request.response?.error?.message ?? t("common.failed", { status: request.status }), { status: request.status }))));
    request.addEventListener("error", () => reject(new ApiError(t("common.unreachable"), { type: "unreachable" })));
    request.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
