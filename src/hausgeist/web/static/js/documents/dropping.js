/** The whole page takes what is dropped on it, and says so while it is held over it. */

import { h, icon } from "../dom.js";
import { dropped } from "./gathering.js";

/** `take` gets a promise of what `gathering.dropped` finds; until `signal` says that it is over. */
export function takeDrops(label, take, { signal } = {}) {
  const shade = h("div", { class: "drop-shade", hidden: true }, h("p", {}, icon("upload"), h("span", {}, label)));
  document.body.append(shade);
  signal?.addEventListener("abort", () => shade.remove());
  let inside = 0;
  const carries = event => event.dataTransfer?.types.includes("Files");
  const show = depth => { inside = Math.max(0, depth); shade.hidden = inside === 0; };
  addEventListener("dragenter", event => carries(event) && show(inside + 1), { signal });
  addEventListener("dragleave", event => carries(event) && show(inside - 1), { signal });
  addEventListener("dragover", event => carries(event) && event.preventDefault(), { signal });
  addEventListener("drop", event => {
    if (!carries(event)) return;
    event.preventDefault();
    show(0);
    take(dropped(event.dataTransfer));
  }, { signal });
}
