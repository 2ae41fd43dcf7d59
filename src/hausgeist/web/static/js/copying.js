/** Copying: buttons that do it and say so, also where the browser keeps its clipboard from pages that came without TLS. */

import { button, h, icon } from "./dom.js";
import { t } from "./text.js";
import { toast } from "./toast.js";

/** Put a text on the clipboard. Resolves with whether that worked. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Only secure pages have that clipboard. The older way needs a selection, which cannot leave an open dialog.
    const area = h("textarea", { class: "visually-hidden", value: text, "aria-hidden": "true", tabindex: "-1" }), before = document.activeElement;
    ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus();
    return done;
  }
}

/** A button that copies what `text` returns. */
export function copyButton(text, { label = t("common.copy"), bare = false, ...more } = {}) {
  const control = button(label, { icon: "copy", bare, ...more, on: async () => {
    if (!await copy(text())) return toast(t("common.not_copied"));
    const drawn = control.querySelector("svg");
    drawn.replaceWith(icon("check"));
    setTimeout(() => control.querySelector("svg").replaceWith(drawn), 1500);
    return toast(t("common.copied"), { seconds: 2 });
  } });
  return control;
}
