/** The events of an answer from the first to the last, whatever becomes of the connection meanwhile. */

import { ApiError, events, get } from "../api.js";

const ENDS = new Set(["response.completed", "response.incomplete", "response.failed"]);
const GOING = new Set(["queued", "in_progress"]);
const LONGEST_PAUSE = 5000;

/** The last event of an answer that has ended. */
const last = response => ({ type: response.status === "completed" ? "response.completed" : response.status === "failed" ? "response.failed" : "response.incomplete", response });

/** A pause, which ends sooner where the network comes back. Raises AbortError. */
export const wait = (milliseconds, signal) => new Promise((resolve, reject) => {
  const done = (end, value) => () => {
    clearTimeout(timer);
    removeEventListener("online", back);
    signal?.removeEventListener("abort", leave);
    end(value);
  };
  const back = done(resolve), leave = done(reject, new DOMException("", "AbortError"));
  const timer = setTimeout(back, milliseconds);
  addEventListener("online", back);
  if (signal?.aborted) leave();
  else signal?.addEventListener("abort", leave);
});

/** Whether asking again later may help: the server is away, starts, or is stopping. */
export const passing = error => error.status === 0 || error.status === 502 || error.status === 503 || error.status === 504;

/**
 * Have an answer made in the background, and follow it: the connection may break as often as it likes. Raises `ApiError` where the answer was refused,
 * and where the connection broke before the server said which answer it is (type "unreachable" or "broke_off").
 * `lost`: told true when the connection broke, false when it is there again.
 */
export async function* make(body, { signal, lost = () => {} } = {}) {
  const seen = { id: null, last: -1 };
  try {
    yield* told(events("POST", "/v1/responses", { body: { ...body, background: true, stream: true }, signal }), seen);
    if (seen.ended) return;
  } catch (error) {
    if (error.name === "AbortError" || seen.id === null) throw error;
  }
  if (seen.id === null) throw new ApiError("", { type: "broke_off" });
  lost(true);
  yield* follow(seen.id, { signal, lost, seen });
}

/** Follow an answer that is being made, from its first event or from where `seen` ended. */
export async function* follow(id, { signal, lost = () => {}, seen = { id, last: -1 } } = {}) {
  for (let tries = 0; !seen.ended; tries += 1) {
    try {
      const query = { stream: true, starting_after: seen.last < 0 ? null : seen.last };
      for await (const event of told(events("GET", `/v1/responses/${id}`, { query, signal }), seen)) {
        if (tries) lost(false);
        tries = 0;
        yield event;
      }
      if (seen.ended) return undefined;
      // A server that was killed may have forgotten the last of what it sent: then nothing comes after that, and the answer has ended all the same.
      const response = await get(`/v1/responses/${id}`, {}, { signal });
      if (!GOING.has(response.status)) return yield last(response);
      throw new ApiError("", { type: "broke_off" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (error.status === 400) return yield* look(id, signal);
      if (error.type !== "broke_off" && !passing(error)) throw error;
      lost(true);
      await wait(Math.min(LONGEST_PAUSE, 250 * 2 ** tries), signal);
    }
  }
  return undefined;
}

async function* told(source, seen) {
  for await (const event of source) {
    // The server stops: what has been said so far is taken up again when it is back.
    if (event.type === "error") return;
    if (event.sequence_number !== undefined) {
      if (event.sequence_number <= seen.last && !ENDS.has(event.type)) continue;
      seen.last = event.sequence_number;
    }
    seen.id = event.response?.id ?? seen.id;
    if (ENDS.has(event.type)) seen.ended = true;
    yield event;
  }
}

/** Another client's answer, of which no events are kept: looked at every second. */
async function* look(id, signal) {
  for (;;) {
    const response = await get(`/v1/responses/${id}`, {}, { signal });
    if (!GOING.has(response.status)) { yield last(response); return; }
    yield { type: "looked", response };
    await wait(1000, signal);
  }
}
