/** The frame around every page: the drawer of narrow screens, the account menu, the keyboard. */

import { all, get, project, remove } from "./api.js";
import { dialog } from "./dialog.js";
import { h, find } from "./dom.js";
import { menu } from "./menu.js";
import { cookie } from "./preferences.js";
import { t } from "./text.js";
import { me, told } from "./told.js";
import { complain, safely } from "./toast.js";

const keys = new Map();

/** A shortcut, told in the list that "?" opens. `key`: such as "k" with Ctrl or Command ("mod+k"), or a bare key, which counts outside of fields only. */
export function shortcut(key, label, run) {
  keys.set(key, { label, run });
}

/** Whether this is a Mac, whose shortcuts have another key. */
const mac = /Mac|iPhone|iPad/.test(navigator.platform);

function pressed(event) {
  const held = event.ctrlKey || event.metaKey, shifted = event.shiftKey && (event.key.length > 1 || held);
  return `${held ? "mod+" : ""}${shifted ? "shift+" : ""}${event.key.length === 1 ? event.key.toLowerCase() : event.key}`;
}

function listen(event) {
  if (event.isComposing || event.altKey || event.defaultPrevented) return;
  const found = keys.get(pressed(event));
  if (!found) return;
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]");
  if ((typing && !event.ctrlKey && !event.metaKey) || find("dialog[open]")) return;
  event.preventDefault();
  found.run(event);
}

function showKeys() {
  const name = key => key.split("+").map(part => h("kbd", {}, part === "mod" ? (mac ? "⌘" : "Ctrl") : part === "shift" ? "⇧" : part.length === 1 ? part.toUpperCase() : part));
  const rows = [...keys].map(([key, { label }]) => h("tr", {}, h("td", {}, name(key).flatMap((one, place) => (place ? [" ", one] : [one]))), h("td", {}, label)));
  dialog(t("common.shortcuts"), h("table", {}, h("tbody", {}, rows)));
}

function drawer() {
  const side = find("#sidebar"), shade = find("#shade"), opener = find("#sidebar-open");
  const narrow = matchMedia("(max-width: 52rem)");
  const show = open => {
    side.classList.toggle("open", open);
    shade.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    find(".content").inert = open && narrow.matches;
    if (open) find("#sidebar-close").focus();
    else if (side.contains(document.activeElement) && narrow.matches) opener.focus();
  };
  opener.addEventListener("click", () => show(true));
  find("#sidebar-close").addEventListener("click", () => show(false));
  shade.addEventListener("click", () => show(false));
  side.addEventListener("keydown", event => event.key === "Escape" && side.classList.contains("open") && show(false));
  narrow.addEventListener("change", () => show(false));
  side.addEventListener("click", event => event.target.closest("a") && show(false));
}

/** Choose a theme: light, dark, or "" as the system has it. */
export function theme(chosen) {
  cookie("theme", chosen);
  chosen ? document.documentElement.setAttribute("data-theme", chosen) : document.documentElement.removeAttribute("data-theme");
}

function speak(chosen) {
  cookie("language", chosen);
  location.reload();
}

const signOut = safely(async () => {
  await remove("/house/v1/session");
  cookie("project", "");
  location.assign("/sign-in");
});

async function accountMenu(anchor) {
  const current = document.documentElement.getAttribute("data-theme") ?? "";
  let projects = [];
  try {
    projects = await all("/house/v1/projects");
  } catch (error) {
    complain(error);
  }
  const at = project() || me.project;
  menu(anchor, [
    ...(projects.length > 1 ? [{ group: t("common.project") }, ...projects.map(one => ({ label: one.name, icon: "folder", checked: one.id === at, run: () => { cookie("project", one.id); location.assign(location.pathname.startsWith("/chat") ? "/" : location.pathname.split("/").slice(0, 2).join("/")); } })), "line"] : []),
    { label: t("common.personas"), icon: "persona", run: () => location.assign("/personas") },
    { label: t("common.shortcuts"), icon: "keyboard", run: showKeys },
    "line",
    { group: t("common.theme") },
    { label: t("common.theme_system"), icon: "settings", checked: current === "", run: () => theme("") },
    { label: t("common.theme_light"), icon: "sun", checked: current === "light", run: () => theme("light") },
    { label: t("common.theme_dark"), icon: "moon", checked: current === "dark", run: () => theme("dark") },
    "line",
    { group: t("common.language") },
    ...Object.entries(told.languages).map(([code, name]) => ({ label: name, icon: "globe", checked: code === told.language, run: () => speak(code) })),
    ...(me.kind === "local" ? [] : ["line", { label: t("common.sign_out"), icon: "out", run: signOut }]),
  ]);
}

/** Whether the session still is whose it was, and the project there; a revoked one is noticed when the page is looked at again. */
function watchSession() {
  let last = Date.now();
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible" || Date.now() - last < 30000) return;
    last = Date.now();
    get("/house/v1/session").catch(() => {});
  });
}

drawer();
watchSession();
find("#account").addEventListener("click", event => accountMenu(event.currentTarget));
document.addEventListener("keydown", listen);
shortcut("?", t("common.shortcuts"), showKeys);
