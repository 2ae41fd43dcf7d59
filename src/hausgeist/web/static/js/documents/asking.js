/** Asking: a response with `file_search` over a collection, made in the background so that a broken connection or a reload loses nothing. */

import { ApiError, ask, events, get, post, remove } from "../api.js";
import { preference } from "../preferences.js";
import { t } from "../text.js";

const KEPT = 30;
const PAUSE = 1000;
const LONGEST_SILENCE = 60000;
const ENDED = ["completed", "incomplete", "failed", "cancelled"];

/** The models that can answer, the one installed last first; the guide, which quotes, at the end. */
export async function models() {
  const { models: installed } = await get("/api/tags");
  const names = installed.filter(one => !one.name.startsWith("fake:")).sort((a, b) => String(b.modified_at).localeCompare(String(a.modified_at))).map(one => one.name.replace(/:latest$/, ""));
  const able = await Promise.all(names.map(async name => (await post("/api/show", { model: name }).catch(() => ({}))).capabilities?.includes("completion") ?? false));
  const found = names.filter((_, place) => able[place]);
  return [...found.filter(name => name !== "guide"), ...found.filter(name => name === "guide")];
}

/**
 * Ask, and follow the answer. `heard`: {made(response), text(delta), cited(annotation)}. Resolves with the response as it ended. Where the connection
 * breaks, what was missed is asked for.
 */
export async function question(store, { model, text, mode = "", heard, signal }) {
  const body = { model, input: text, tools: [{ type: "file_search", vector_store_ids: [store] }], stream: true, background: true, store: true, ...(mode ? { metadata: { mode } } : {}) };
  return follow(() => events("POST", "/v1/responses", { body, signal }), { heard, signal });
}

/** Go on with one that is being made. */
export const resume = (id, { heard, signal }) => follow(null, { id, heard, signal });

async function follow(begin, { id = "", heard, signal }) {
  let seen = -1, silent = 0;
  for (let stream = begin; ; stream = null) {
    try {
      const told = stream ? stream() : events("GET", `/v1/responses/${id}`, { query: { stream: "true", ...(seen >= 0 ? { starting_after: String(seen) } : {}) }, signal });
      for await (const event of told) {
        seen = event.sequence_number ?? seen;
        silent = 0;
        if (event.type === "response.created") { id = event.response.id; heard.made(event.response); }
        else if (event.type === "response.output_text.delta") heard.text(event.delta);
        else if (event.type === "response.output_text.annotation.added") heard.cited(event.annotation);
        else if (event.type === "error") throw new ApiError(event.message, { type: event.code ?? "" });
        else if (event.response && ENDED.includes(event.response.status)) return event.response;
      }
      if (!id) throw new ApiError(t("common.broke_off"), { type: "broke_off" });
    } catch (error) {
      const passing = error.type === "broke_off" || error.type === "unreachable" || (error.status >= 500 && error.status !== 501);
      if (!id || !passing || silent > LONGEST_SILENCE) throw error;
    }
    silent += PAUSE;
    await new Promise(resolve => setTimeout(resolve, PAUSE));
    signal?.throwIfAborted();
  }
}

/** Stop one that is being made; what it has said so far stays. */
export const stop = id => post(`/v1/responses/${id}/cancel`);

/** A stored answer with its question and what was checked. Raises ApiError. */
export async function stored(id) {
  const [response, text, facts] = await Promise.all([get(`/v1/responses/${encodeURIComponent(id)}`), questionOf(id), citations(id)]);
  return { response, question: text, facts };
}

/** What was asked. Raises ApiError. */
export async function questionOf(id) {
  const { data } = await get(`/v1/responses/${encodeURIComponent(id)}/input_items`);
  const said = data.findLast(item => item.type === "message" && item.role === "user");
  return typeof said?.content === "string" ? said.content : (said?.content ?? []).map(part => part.text ?? "").join("\n");
}

/** {mode, documents, data, passages} */
export const citations = id => get(`/house/v1/responses/${encodeURIComponent(id)}/citations`);

/** Passages, best first. */
export async function passages(store, text, { signal } = {}) {
  const reply = await ask("POST", "/house/v1/search", { body: { query: text, stores: [store], limit: 20 }, signal });
  return (await reply.json()).data;
}

/** The answers asked for in this browser about a collection, newest first: {id, at}. What was asked stays on the server, for those who may read it. */
export function asked(store) {
  try {
    const kept = JSON.parse(preference(`asked.${store}`) ?? "[]");
    return Array.isArray(kept) ? kept.filter(one => typeof one?.id === "string") : [];
  } catch {
    return [];
  }
}

/** Note one, or forget it. */
export function note(store, id, { gone = false } = {}) {
  const others = asked(store).filter(one => one.id !== id);
  const all = gone ? others : [{ id, at: Date.now() / 1000 }, ...others].slice(0, KEPT);
  preference(`asked.${store}`, all.length ? JSON.stringify(all) : "");
}

/** Away with a stored answer. */
export async function forget(store, id) {
  await remove(`/v1/responses/${encodeURIComponent(id)}`).catch(error => { if (error.status !== 404) throw error; });
  note(store, id, { gone: true });
}
