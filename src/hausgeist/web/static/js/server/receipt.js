/** What went with a person or a project that was removed, shown as its receipt says. */

import { dialog } from "../dialog.js";
import { h } from "../dom.js";
import { number, t, when } from "../text.js";
import { told } from "../told.js";

/** "3 chats"; what is kept since this text was written, by its own name. */
const erased = (what, n) => { const key = `server.erased_${what}`; return key in told.texts ? t(key, { n }) : `${what}: ${number(n)}`; };

export function showReceipt(title, erasure) {
  const went = Object.entries(erasure.erased).filter(([, count]) => count > 0);
  dialog(title, h("div", {},
    h("p", {}, t(went.length ? "server.went" : "server.nothing_went")),
    h("ul", {}, went.map(([what, count]) => h("li", {}, erased(what, count)))),
    erasure.remains.length ? h("p", {}, erasure.remains.join(" ")) : null,
    h("p", { class: "small soft" }, t("server.receipt", { id: erasure.id, when: when(erasure.at), seconds: number(erasure.seconds, 1) }))));
}
