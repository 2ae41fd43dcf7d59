/** Short messages in the corner, read aloud by screen readers. */

import { button, h } from "./dom.js";
import { t } from "./text.js";

/** Show a message. `action`: {label, run}, such as undoing. Errors stay until they are closed. */
export function toast(message, { action = null, seconds = 6, lasting = false } = {}) {
  const shown = h("div", { class: "toast" }, h("p", {}, message));
  const close = () => shown.remove();
  if (action) shown.append(button(action.label, { kind: "quiet tiny", on: () => { close(); action.run(); } }));
  shown.append(button(t("common.close"), { icon: "close", bare: true, kind: "quiet tiny", on: close }));
  document.getElementById("toasts").append(shown);
  if (!lasting) setTimeout(close, seconds * 1000);
  return close;
}

/** Say an error; one that the person caused themselves by leaving is not one. */
export function complain(error) {
  if (error?.name === "AbortError") return;
  if (error?.name !== "ApiError") console.error(error);
  toast(error?.message || String(error), { lasting: true });
}

/** An event's work, whose errors are said. */
export const safely = work => async (...values) => {
  try {
    return await work(...values);
  } catch (error) {
    complain(error);
    return undefined;
  }
};
