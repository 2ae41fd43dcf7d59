/** Dialogs, on the browser's own element: it keeps the focus inside and gives it back. */

import { button, h } from "./dom.js";
import { t } from "./text.js";

/**
 * Open a dialog. `content` and `actions` are nodes; resolves with what `close` is called with, null for Escape and the cross.
 * `lasting`: a click beside it does not close it, for what is shown once.
 * @returns {{element: HTMLDialogElement, close: (value?: unknown) => void, closed: Promise<unknown>}}
 */
export function dialog(title, content, { actions = [], wide = false, lasting = false } = {}) {
  const id = `dialog-${Math.random().toString(36).slice(2)}`;
  let settle;
  const closed = new Promise(resolve => { settle = resolve; });
  const element = h("dialog", { class: wide ? "wide" : null, "aria-labelledby": id },
    h("header", {}, h("h2", { id }, title), button(t("common.close"), { icon: "close", bare: true, kind: "quiet", on: () => close(null) })),
    h("div", {}, content),
    actions.length ? h("footer", {}, actions) : null);
  function close(value = null) {
    settle(value);
    element.close();
    element.remove();
  }
  element.addEventListener("cancel", event => { event.preventDefault(); close(null); });
  element.addEventListener("pointerdown", event => event.target === element && !lasting && close(null));
  document.body.append(element);
  element.showModal();
  return { element, close, closed };
}

/** Ask before something that cannot be undone. Resolves with true or false. */
export async function confirm(title, message, { action = t("common.delete"), danger = true } = {}) {
  const yes = button(action, { kind: danger ? "danger" : "primary-action" });
  const no = button(t("common.cancel"));
  const shown = dialog(title, h("p", {}, message), { actions: [no, yes] });
  yes.addEventListener("click", () => shown.close(true));
  no.addEventListener("click", () => shown.close(false));
  no.focus();
  return (await shown.closed) === true;
}

/**
 * A form in a dialog. `fields`: elements with names; `save` gets the form's values and may raise, then the error is said in place and nothing is lost.
 * Resolves with what `save` returned, or null.
 */
export async function form(title, fields, save, { action = t("common.save"), wide = false, danger = false } = {}) {
  const said = h("p", { role: "alert", class: "field-error" });
  const submit = h("button", { type: "submit", class: danger ? "danger" : "primary-action" }, action);
  const cancel = button(t("common.cancel"));
  const element = h("form", { novalidate: false }, fields, said, h("footer", { class: "row end" }, cancel, submit));
  const shown = dialog(title, element, { wide });
  cancel.addEventListener("click", () => shown.close(null));
  element.addEventListener("submit", async event => {
    event.preventDefault();
    submit.disabled = true;
    said.textContent = "";
    try {
      shown.close((await save(Object.fromEntries(new FormData(element)), element)) ?? true);
    } catch (error) {
      said.textContent = error.message;
      if (error.param && element.elements[error.param]) {
        element.elements[error.param].setAttribute("aria-invalid", "true");
        element.elements[error.param].focus();
      }
    } finally {
      submit.disabled = false;
    }
  });
  element.querySelector("input, textarea, select")?.focus();
  return shown.closed;
}

/** A labelled control: input, select or textarea as `control`. */
export function field(label, control, hint = "") {
  const id = control.id || (control.id = `field-${Math.random().toString(36).slice(2)}`);
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hint ? h("span", { class: "hint", id: `${id}-hint` }, hint) : null);
}
