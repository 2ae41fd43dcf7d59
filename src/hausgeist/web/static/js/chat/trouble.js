/** What went wrong, said where it happened, with what can be done about it. */

import { button, h, icon } from "../dom.js";
import { t } from "../text.js";

const OTHER_MODEL = new Set(["model_not_found", "not_enough_memory", "model_not_loadable", "engine_crashed", "engine_failed", "not_supported"]);

/**
 * A block at the end of the thread. `error`: {message, code, type}. `ways`: again(), edit(), choose() another model, fresh() a new chat, shorten()
 * so that the oldest is left out from now on; those that are missing are not offered.
 */
export function trouble(error, { again = null, edit = null, choose = null, fresh = null, shorten = null }) {
  const code = error.code || error.type;
  const waits = error.after > 0 || code === "rate_limit_exceeded";
  // Responses that are kept have no code of their own for it: "invalid_prompt", as in the official API.
  const tooLong = code === "context_length_exceeded" || code === "invalid_prompt";
  const actions = [
    again ? button(t("common.retry"), { icon: "retry", kind: "tiny", on: again }) : null,
    again && shorten && tooLong ? button(t("chat.leave_out_oldest"), { kind: "tiny", on: () => { shorten(); again(); } }) : null,
    tooLong && fresh ? button(t("chat.new"), { icon: "plus", kind: "tiny", on: fresh }) : null,
    choose && OTHER_MODEL.has(code) ? button(t("chat.choose_model"), { icon: "models", kind: "tiny", on: choose }) : null,
    code === "model_not_found" ? h("a", { class: "button tiny", href: "/models" }, t("chat.more_models")) : null,
    edit ? button(t("common.edit"), { icon: "edit", kind: "tiny", on: edit }) : null,
  ];
  return h("div", { class: `notice trouble ${waits ? "warn" : "bad"}`, role: "alert" }, icon("warning"), h("div", {}, h("p", {}, error.message || t("common.unreachable")), h("p", { class: "row" }, actions)));
}

/** What is to be said at the end of a chat in which nothing goes on: the last answer failed, or there is none. */
export function afterwards(entry, { goOn, again, ...ways }) {
  if (!entry) return null;
  const { made } = entry;
  if (made?.status === "failed") {
    const error = { message: made.error?.message ?? t("chat.failed"), code: made.error?.code ?? "" };
    return trouble(error, { ...ways, again: entry.kind === "question" ? goOn : again });
  }
  if (entry.kind === "question" && entry.items[0].item.role === "user") {
    return h("div", { class: "notice trouble" }, icon("info"), h("div", {}, h("p", {}, t(made?.status === "cancelled" ? "chat.stopped_early" : "chat.not_answered")), h("p", { class: "row" }, button(t("chat.answer_now"), { icon: "play", kind: "tiny", on: goOn }))));
  }
  return null;
}
