/** Formulas in TeX as MathML, which browsers draw themselves. Loaded with the first formula. */

let loading = null;

function load() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("../vendor/temml.css", import.meta.url).href;
  document.head.append(style);
  return import("../vendor/temml.js").then(module => module.default);
}

/** Draw a formula into an element, which shows its source until then, and where it cannot be read. */
export async function draw(element, source, { display = false } = {}) {
  loading ??= load();
  const temml = await loading;
  try {
    temml.render(source, element, { displayMode: display, throwOnError: true, trust: false, maxExpand: 200, maxSize: [20, 40] });
  } catch {
    element.textContent = source;
    element.classList.add("unread-math");
  }
}
