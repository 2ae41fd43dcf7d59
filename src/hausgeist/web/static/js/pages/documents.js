/** The documents: all collections of a project, or one of them. */

import "../shell.js";
import { button, find, h, icon, put } from "../dom.js";
import { overview } from "../documents/overview.js";
import { StorePage } from "../documents/store.js";
import { t } from "../text.js";

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");

async function show() {
  try {
    await (id ? new StorePage(id).open() : overview());
  } catch (error) {
    if (error.name !== "ApiError") console.error(error);
    const gone = error.status === 404;
    put(find("#page"), h("h1", {}, t("common.nav_documents")), h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {}, h("p", {}, error.message), gone ? h("a", { href: "/documents", class: "button" }, t("documents.all_collections")) : button(t("common.retry"), { icon: "retry", on: show }))));
  }
  find("#page").removeAttribute("aria-busy");
}

show();

// A collection that was made by a drop on the list has an address of its own; the way back leads to the other page.
addEventListener("popstate", () => {
  if ((location.pathname.split("/")[2] ?? "") !== (find("#page").dataset.store ?? "")) location.reload();
});
