/** The tabs: which part is shown, who may see which, what is said where one may not. */

import { button, find, findAll, h, icon, put } from "../dom.js";
import { t } from "../text.js";
import { me } from "../told.js";
import { show as audit } from "./audit.js";
import { show as keys } from "./keys.js";
import { show as overview } from "./overview.js";
import { show as people } from "./people.js";
import { show as projects } from "./projects.js";
import { show as settings } from "./settings.js";
import { show as usage } from "./usage.js";

const everybody = () => true, owners = who => who.house_role === "owner";
/** Who only reads in the project at hand may own another one, which the address then names. What is in it, the API decides. */
const members = who => who.role !== "reader" || new URLSearchParams(location.search).has("project");

/** Each puts its content into `place` and lives until `signal` says that another one is shown. */
const PARTS = {
  overview: [overview, everybody],
  usage: [usage, everybody],
  people: [people, owners],
  projects: [projects, everybody],
  keys: [keys, members],
  audit: [audit, owners],
  settings: [settings, owners],
};
const SLOW = 300;
const who = me;
let leaving = new AbortController();

const named = path => path.split("/").filter(Boolean)[1] ?? "overview";

/** Begin with the part that the address names. */
export async function begin() {
  for (const link of findAll("#parts a")) {
    link.addEventListener("click", event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      go(link.getAttribute("href"));
    });
  }
  addEventListener("popstate", () => show());
  await show();
}

/** To another part, by its address. */
export function go(address) {
  history.pushState(null, "", address);
  return show();
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving, name = named(location.pathname), part = Object.hasOwn(PARTS, name) ? PARTS[name] : null;
  for (const link of findAll("#parts a")) {
    link.hidden = !PARTS[link.dataset.part][1](who);
    link.dataset.part === name ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  find("#parts [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  const title = part ? t(`server.part_${name}`) : t("common.nav_server");
  document.title = `${title} · Hausgeist`;
  const place = h("section", { "aria-label": title });
  if (!part || !part[1](who)) return put(find("#part"), refused(part));
  const waiting = setTimeout(() => signal.aborted || put(find("#part"), h("p", { class: "row soft", role: "status" }, h("span", { class: "spinner" }), t("common.loading"))), SLOW);
  try {
    await part[0](place, { who, signal, go });
    if (!signal.aborted) put(find("#part"), place);
  } catch (error) {
    if (!signal.aborted) put(find("#part"), failed(error));
  } finally {
    clearTimeout(waiting);
  }
}

function refused(part) {
  const message = part ? (part === PARTS.keys ? t("server.not_for_readers") : t("server.not_for_you")) : t("server.no_such_part");
  return h("div", { class: "empty", role: "status" }, icon("shield"), h("p", {}, message), h("p", {}, h("a", { href: "/server" }, t("server.to_overview"))));
}

function failed(error) {
  if (error.name !== "ApiError") console.error(error);
  return h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {}, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", on: () => show() })));
}
