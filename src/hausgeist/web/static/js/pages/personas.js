/** Personas and the prompt library, as two tabs: `/personas` and `/personas#prompts`. */

import "../shell.js";
import { find } from "../dom.js";
import { t } from "../text.js";
import { personas } from "../personas/personas.js";
import { prompts } from "../personas/prompts.js";
import { shelf } from "../personas/shelf.js";

const KINDS = { personas, prompts };
const tabs = Object.fromEntries(Object.keys(KINDS).map(name => [name, find(`#tab-${name}`)]));

function show() {
  const name = location.hash === "#prompts" ? "prompts" : "personas";
  for (const [other, tab] of Object.entries(tabs)) {
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
  }
  find("#kept").setAttribute("aria-labelledby", `tab-${name}`);
  find("#lead").textContent = t(`personas.lead_${name}`);
  shelf(find("#kept"), KINDS[name]);
}

function choose(name) {
  history.replaceState(null, "", name === "prompts" ? "#prompts" : location.pathname);
  show();
}

for (const [name, tab] of Object.entries(tabs)) {
  tab.addEventListener("click", () => choose(name));
  tab.addEventListener("keydown", event => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = name === "prompts" ? "personas" : "prompts";
    choose(other);
    tabs[other].focus();
  });
}
addEventListener("hashchange", show);
show();
