/** Charts as SVG in the page's own colours, each with its figures as a table for those who do not see it. */

import { h, put, svg } from "./dom.js";
import { number, t } from "./text.js";

const MARGIN = { top: 12, right: 16, bottom: 28, left: 60 };
let charts = 0;

/** Round steps that cover a range (after P. Heckbert, Nice Numbers for Graph Labels, Graphics Gems, 1990). */
export function ticks(low, high, wanted = 5) {
  if (!(high > low)) high = low + 1;
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough)), share = rough / power;
  const step = (share < 1.5 ? 1 : share < 3 ? 2 : share < 7 ? 5 : 10) * power;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return found;
}

/**
 * A figure. `draw(width)` returns the SVG's children and its height; it is drawn again when the width changes.
 * `columns` and `rows`: the same as a table.
 */
function figure(title, series, draw, columns, rows) {
  const id = `chart-${(charts += 1)}`;
  const picture = svg("svg", { class: "chart", role: "img", "aria-labelledby": id });
  const legend = series.length > 1 ? h("ul", { class: "legend" }, series.map((one, place) => h("li", {}, h("span", { class: `swatch s${(place % 6) + 1}` }), one.name))) : null;
  const table = h("details", { class: "chart-table small" }, h("summary", {}, t("common.as_table")));
  table.addEventListener("toggle", () => {
    if (!table.open || table.querySelector("table")) return;
    table.append(h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": title }, h("table", {}, h("thead", {}, h("tr", {}, columns.map(name => h("th", { scope: "col" }, name)))), h("tbody", {}, rows().map(row => h("tr", {}, row.map(cell => h("td", {}, cell))))))));
  });
  const element = h("figure", { class: "chart-figure" }, h("figcaption", { id }, title), picture, legend, table);
  let shown = 0;
  const render = () => {
    const width = Math.round(element.clientWidth || 640);
    if (width === shown) return;
    shown = width;
    const { children, height } = draw(width);
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    put(picture, children);
  };
  new ResizeObserver(render).observe(element);
  return element;
}

/**
 * Lines over a common x. `series`: [{name, points: [[x, y], ...], area}]; y null leaves a gap. `x`, `y`: {format, label, low, high, values}.
 * `marks`: [{x, label}] vertical lines.
 */
export function lines(title, series, { x = {}, y = {}, marks = [], height = 240 } = {}) {
  const points = series.flatMap(one => one.points.filter(point => point[1] !== null));
  const low = { x: x.low ?? Math.min(...points.map(one => one[0])), y: y.low ?? Math.min(0, ...points.map(one => one[1])) };
  const high = { x: x.high ?? Math.max(...points.map(one => one[0])), y: y.high ?? Math.max(...points.map(one => one[1]), low.y + 1e-9) };
  const say = { x: x.format ?? (value => number(value)), y: y.format ?? (value => number(value)) };
  const draw = width => {
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const steps = ticks(low.y, high.y, 4), top = Math.max(high.y, steps.at(-1) ?? high.y);
    const atX = value => MARGIN.left + ((value - low.x) / (high.x - low.x || 1)) * inner.width;
    const atY = value => MARGIN.top + inner.height - ((value - low.y) / (top - low.y || 1)) * inner.height;
    const below = x.values ?? ticks(low.x, high.x, Math.max(2, Math.floor(inner.width / 110)));
    return { height, children: [
      steps.map(value => [svg("line", { class: "rule", x1: MARGIN.left, x2: width - MARGIN.right, y1: atY(value), y2: atY(value) }), svg("text", { x: MARGIN.left - 8, y: atY(value) + 4, "text-anchor": "end" }, say.y(value))]),
      below.map(value => svg("text", { x: atX(value), y: height - 8, "text-anchor": "middle" }, say.x(value))),
      svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: atY(low.y), y2: atY(low.y) }),
      marks.map(mark => [svg("line", { class: "axis", "stroke-dasharray": "4 4", x1: atX(mark.x), x2: atX(mark.x), y1: MARGIN.top, y2: MARGIN.top + inner.height }), svg("text", { x: atX(mark.x) + 5, y: MARGIN.top + 11 }, mark.label)]),
      series.map((one, place) => svg("g", { class: `s${(place % 6) + 1}` }, one.area ? svg("path", { class: "area", d: path(one.points, atX, atY, atY(low.y)) }) : null, svg("path", { class: "line", d: path(one.points, atX, atY) }))),
    ] };
  };
  const rows = () => [...new Set(series.flatMap(one => one.points.map(point => point[0])))].sort((a, b) => a - b).map(at => [say.x(at), ...series.map(one => { const found = one.points.find(point => point[0] === at); return found && found[1] !== null ? say.y(found[1]) : "–"; })]);
  return figure(title, series, draw, [x.label ?? "", ...series.map(one => one.name)], rows);
}

function path(points, atX, atY, floor = null) {
  const parts = [];
  let run = [];
  const close = () => {
    if (run.length) parts.push(`M${run.map(([x, y]) => `${atX(x).toFixed(1)} ${atY(y).toFixed(1)}`).join("L")}${floor === null ? "" : `L${atX(run.at(-1)[0]).toFixed(1)} ${floor}L${atX(run[0][0]).toFixed(1)} ${floor}Z`}`);
    run = [];
  };
  for (const point of points) point[1] === null ? close() : run.push(point);
  close();
  return parts.join("");
}

/**
 * Horizontal bars, each made of parts: `bars`: [{name, parts: [number, ...], note}], `parts`: [name of each part]. `limit`: {value, label} a line across.
 */
export function bars(title, rowsOf, { parts = [""], format = value => number(value), limit = null, unit = "" } = {}) {
  const most = Math.max(...rowsOf.map(one => one.parts.reduce((sum, part) => sum + part, 0)), limit?.value ?? 0, 1e-9);
  const draw = width => {
    const wide = width > 480, left = wide ? Math.min(200, width * .3) : 0, each = wide ? 34 : 50, height = rowsOf.length * each + (limit ? 26 : 10);
    const inner = width - left - 90, at = value => (value / most) * inner;
    return { height, children: [
      rowsOf.map((one, place) => {
        const y = place * each + (wide ? 6 : 22);
        let from = 0;
        const total = one.parts.reduce((sum, part) => sum + part, 0);
        return svg("g", {}, svg("text", wide ? { x: left - 10, y: y + 15, "text-anchor": "end" } : { x: 0, y: y - 6 }, one.name),
          one.parts.map((part, number_) => { const bar = svg("rect", { class: "bar", x: left + at(from), y, width: Math.max(0, at(part)), height: 22, rx: 3 }); from += part; return svg("g", { class: `s${(number_ % 6) + 1}` }, bar); }),
          svg("text", { x: left + at(total) + 8, y: y + 15 }, one.note ?? format(total)));
      }),
      limit ? [svg("line", { class: "axis", "stroke-dasharray": "4 4", x1: left + at(limit.value), x2: left + at(limit.value), y1: 0, y2: height - 20 }), svg("text", { x: left + at(limit.value), y: height - 6, "text-anchor": at(limit.value) > inner * .7 ? "end" : "middle" }, limit.label)] : null,
    ] };
  };
  return figure(title, parts.map(name => ({ name })), draw, ["", ...parts, unit], () => rowsOf.map(one => [one.name, ...one.parts.map(format), one.note ?? ""]));
}
