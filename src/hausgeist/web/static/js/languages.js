/** The languages in a row, for pages without the account menu. */

import { button } from "./dom.js";
import { cookie } from "./preferences.js";
import { told } from "./told.js";

/** One button for each; the page is loaded again in the one that is pressed. */
export function languageRow() {
  return Object.entries(told.languages).map(([code, name]) => button(name, {
    kind: "quiet tiny", lang: code === "zh" ? "zh-Hans" : code, "aria-current": code === told.language ? "true" : null,
    on: () => { cookie("language", code); location.reload(); },
  }));
}
