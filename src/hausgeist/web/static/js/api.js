/** The server's public API, as any client could ask it. */

import { t } from "./text.js";
import { me, told } from "./told.js";

/** What went wrong, in words for people. `type`: the class of the error, as the API names it; `code`: more precisely, where it says; `after`: seconds to wait. */
export class ApiError extends Error {
  constructor(message, { status = 0, type = "", code = "", param = null, after = 0 } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.type = type;
    this.code = code;
    this.param = param;
    this.after = after;
  }
}

/** The project that was chosen when this page was loaded, in which all its requests are made; empty: the person's own default. */
export const project = () => told.project;

function headersOf(body, headers) {
  const all = new Headers(headers);
  if (project() && !all.has("OpenAI-Project")) all.set("OpenAI-Project", project());
  if (body !== undefined && !(body instanceof FormData) && !(body instanceof Blob)) all.set("content-type", "application/json");
  return all;
}

/** A request whose answer is not read yet. Raises ApiError. Who is not signed in any longer is led to where one does that. */
export async function ask(method, path, { body, query, headers, signal, keepalive } = {}) {
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== undefined && one !== "") address.searchParams.append(name, one);
  }
  const sent = body === undefined || body instanceof FormData || body instanceof Blob ? body : JSON.stringify(body);
  let reply;
  try {
    reply = await fetch(address, { method, headers: headersOf(body, headers), body: sent, signal, keepalive, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(t("common.unreachable"), { type: "unreachable" });
  }
  if (!reply.ok) throw await problem(reply);
  return reply;
}

async function problem(reply) {
  const told = await reply.json().catch(() => null);
  const error = told?.error ?? {};
  const message = typeof error === "string" ? error : error.message;
  if (reply.status === 401 && me !== null) leave();
  const facts = { status: reply.status, type: error.type ?? "", code: error.code ?? "", param: error.param ?? null, after: Number(reply.headers.get("retry-after")) || 0 };
  return new ApiError(message || t("common.failed", { status: reply.status }), facts);
}

let leaving = false;

/** To the page for signing in, which leads back. */
export function leave() {
  if (leaving || location.pathname === "/sign-in") return;
  leaving = true;
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

async function json(method, path, options) {
  const reply = await ask(method, path, options);
  return reply.status === 204 ? null : reply.json();
}

export const get = (path, query, options) => json("GET", path, { query, ...options });
export const post = (path, body = {}, options) => json("POST", path, { body, ...options });
export const patch = (path, body, options) => json("PATCH", path, { body, ...options });
export const put = (path, body, options) => json("PUT", path, { body, ...options });
export const remove = (path, options) => json("DELETE", path, options);

async function* linesOf(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const lines = rest.split("\n");
      rest = lines.pop();
      yield* lines;
    }
    if (rest) yield rest;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(t("common.broke_off"), { type: "broke_off" });
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** An answer told in lines of JSON (pulls, verification). A line with an error is raised. */
export async function* lines(path, body, { signal } = {}) {
  const reply = await ask("POST", path, { body, signal });
  for await (const line of linesOf(reply)) {
    if (!line.trim()) continue;
    const value = JSON.parse(line);
    if (value.error) throw new ApiError(value.error.message ?? value.error, { type: value.error.type ?? "" });
    yield value;
  }
}

/** An answer told in server-sent events, each one's data parsed. Ends with the stream. */
export async function* events(method, path, { body, query, signal } = {}) {
  const reply = await ask(method, path, { body, query, signal, headers: { accept: "text/event-stream" } });
  let data = [];
  for await (const raw of linesOf(reply)) {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
    else if (line === "" && data.length) {
      const text = data.join("\n");
      data = [];
      if (text !== "[DONE]") yield JSON.parse(text);
    }
  }
}

/** All of a list that comes in pages, by OpenAI's `has_more` and `last_id` or by the house's `next`. */
export async function all(path, query = {}, { most = 10000 } = {}) {
  const found = [];
  let after;
  do {
    const page = await get(path, { ...query, after });
    found.push(...page.data);
    after = page.next ?? (page.has_more ? page.last_id : null);
  } while (after && found.length < most);
  return found;
}

/** A file to /v1/files, with its progress from 0 to 1. `fetch` cannot tell how much was sent. */
export function upload(file, { purpose = "user_data", name = file.name, onProgress = () => {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const form = new FormData(), request = new XMLHttpRequest();
    form.append("purpose", purpose);
    form.append("file", file, name);
    request.open("POST", "/v1/files");
    if (project()) request.setRequestHeader("OpenAI-Project", project());
    request.responseType = "json";
    request.upload.addEventListener("progress", event => event.lengthComputable && onProgress(event.loaded / event.total));
    request.addEventListener("load", () => {
      if (request.status < 300) return resolve(request.response);
      if (request.status === 401) leave();
      return reject(new ApiError(request.response?.error?.message ?? t("common.failed", { status: request.status }), { status: request.status, type: request.response?.error?.type ?? "" }));
    });
    request.addEventListener("error", () => reject(new ApiError(t("common.unreachable"), { type: "unreachable" })));
    request.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
