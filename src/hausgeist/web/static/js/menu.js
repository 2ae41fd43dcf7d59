/** Menus of buttons, by the pattern of WAI-ARIA: arrows move, letters jump, Escape closes and gives the focus back. */

import { h, icon } from "./dom.js";

let open = null;

/** Close the menu that is open. */
export function closeMenu({ restore = true } = {}) {
  if (!open) return;
  const { element, anchor } = open;
  open = null;
  element.remove();
  anchor.setAttribute("aria-expanded", "false");
  if (restore) anchor.focus();
}

/**
 * Open a menu at a button. `items`: {label, icon, run, danger, checked, disabled}, {group: "text"} or "line".
 */
export function menu(anchor, items) {
  if (open?.anchor === anchor) return closeMenu();
  closeMenu({ restore: false });
  const element = h("div", { class: "menu", role: "menu" }, items.filter(Boolean).map(item => {
    if (item === "line") return h("hr", { role: "separator" });
    if (item.group) return h("div", { class: "group", role: "presentation" }, item.group);
    const checkable = item.checked !== undefined;
    return h("button", {
      type: "button", role: checkable ? "menuitemradio" : "menuitem", "aria-checked": checkable ? String(item.checked) : null, class: item.danger ? "danger" : null, tabindex: "-1", disabled: item.disabled,
      on: { click: () => { closeMenu(); item.run(); } },
    }, item.icon ? icon(item.icon) : null, h("span", {}, item.label), item.checked ? h("span", { class: "check-mark" }, icon("check", { small: true })) : null);
  }));
  // Inside a landmark, and inside the dialog that it belongs to: what is outside of an open one cannot be reached.
  (anchor.closest("dialog, main, aside, header") ?? document.body).append(element);
  const at = anchor.getBoundingClientRect(), size = element.getBoundingClientRect();
  const below = at.bottom + 4 + size.height <= innerHeight;
  element.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - 4 - size.height)}px`;
  element.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
  anchor.setAttribute("aria-expanded", "true");
  open = { element, anchor };
  const entries = () => [...element.querySelectorAll("button:not(:disabled)")];
  element.addEventListener("keydown", event => {
    const all = entries(), here = all.indexOf(document.activeElement);
    const moves = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 };
    if (event.key in moves) { event.preventDefault(); all[(moves[event.key] + all.length) % all.length]?.focus(); }
    else if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); closeMenu(); }
    else if (event.key === "Tab") closeMenu();
    else if (event.key.length === 1) all.find((one, place) => place > here && one.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
  });
  (element.querySelector('[aria-checked="true"]') ?? entries()[0])?.focus();
  return undefined;
}

document.addEventListener("pointerdown", event => {
  if (open && !open.element.contains(event.target) && !open.anchor.contains(event.target)) closeMenu({ restore: false });
});
addEventListener("resize", () => closeMenu({ restore: false }));
