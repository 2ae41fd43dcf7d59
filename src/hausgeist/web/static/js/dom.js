/** Making elements. All that pages show is made here, element by element: no string ever becomes markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `properties`: class, dataset, style (an object), on (events by name), attributes by their names; true and false set and leave out.
 * Children: nodes, strings, numbers, arrays of them; null, undefined and false are left out.
 */
export function h(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same for SVG. */
export function svg(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) key.startsWith("--") ? element.style.setProperty(key, one) : (element.style[key] = one);
    else if (name === "on") for (const [event, listen] of Object.entries(value)) element.addEventListener(event, listen);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
}

/** Put these in place of what is in an element. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

export const icon = (name, { label = "", small = false } = {}) =>
  svg("svg", { class: small ? "icon small-icon" : "icon", ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) }, svg("use", { href: `#i-${name}` }));

/** A button. `label` is its text, or what it is called where only the icon is shown (`bare`). */
export function button(label, { icon: named = "", bare = false, kind = "", on = null, ...attributes } = {}) {
  const names = [kind, bare ? "icon-only" : "", attributes.class ?? ""].filter(Boolean).join(" ");
  const content = [named ? icon(named) : null, bare ? null : h("span", {}, label)];
  return h("button", { type: "button", ...attributes, class: names || null, "aria-label": bare ? label : attributes["aria-label"], title: bare ? label : attributes.title, on: on ? { click: on } : {} }, ...content);
}

export const find = (selector, within = document) => within.querySelector(selector);
export const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];
