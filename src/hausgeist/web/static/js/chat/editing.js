/** A question written anew, in its place. */

import { button, h } from "../dom.js";
import { t } from "../text.js";
import { asked } from "./said.js";

/** Make a question's bubble a field. `send(content)` is called with what it became. */
export function edit(turn, send) {
  if (turn.editing) return;
  turn.editing = true;
  const was = asked(turn.entry);
  const area = h("textarea", { class: "edit-area", "aria-label": t("chat.edit"), value: was.text, rows: String(Math.min(14, Math.max(2, was.text.split("\n").length + 1))) });
  const close = () => {
    turn.editing = false;
    box.replaceWith(turn.bubble);
    turn.foot.hidden = false;
    turn.foot.querySelector("button:nth-of-type(2)")?.focus();
  };
  const done = () => {
    const text = area.value.trim();
    if (!text && !was.images.length && !was.files.length) return area.focus();
    close();
    return send({ ...was, text });
  };
  const box = h("div", { class: "edit-box" }, area, h("p", { class: "small faint" }, t("chat.edit_hint")), h("div", { class: "row end" }, button(t("common.cancel"), { kind: "tiny", on: close }), button(t("chat.send"), { icon: "send", kind: "primary-action tiny", on: done })));
  area.addEventListener("keydown", event => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); done(); }
    else if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); close(); }
  });
  turn.bubble.replaceWith(box);
  turn.foot.hidden = true;
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
}
