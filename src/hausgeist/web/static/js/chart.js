/** Charts as SVG in the page's own colours, read out under the pointer or by the arrow keys, each with its figures as a table. */

import { h, put, svg } from "./dom.js";
import { number, t } from "./text.js";

const MARGIN = { top: 14, right: 18, bottom: 30 };
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

/** Pixels that a text takes, about: letters of Chinese are as wide as they are high. */
const wide = text => [...String(text)].reduce((sum, letter) => sum + (letter.codePointAt(0) > 0x2e7f ? 13.5 : 7), 0);

/**
 * A figure. `draw(width)` returns the SVG's children, its height, and `stops`: what can be read out, [{at: [x, y], lines: [text, ...], dots: [{at: [x, y], place}], box}].
 * It is drawn again when the width changes. `columns` and `rows`: the same as a table.
 */
function figure(title, series, draw, columns, rows, named = series.length > 1) {
  const id = `chart-${(charts += 1)}`;
  const picture = svg("svg", { class: "chart", "aria-hidden": "true", preserveAspectRatio: "xMinYMid meet" }), tip = h("div", { class: "chart-tip", hidden: true, "aria-hidden": "true" });
  const said = h("span", { class: "visually-hidden", "aria-live": "polite" });
  const plot = h("div", { class: "plot", tabindex: "0", role: "group", "aria-labelledby": id, "aria-roledescription": t("common.chart"), "aria-describedby": `${id}-keys` }, picture, tip, said, h("span", { id: `${id}-keys`, hidden: true }, t("common.chart_keys")));
  const legend = named ? h("ul", { class: "legend" }, series.map((one, place) => h("li", {}, h("span", { class: `swatch s${((one.place ?? place) % 6) + 1}${one.dashed ? " dashed" : ""}` }), one.name))) : null;
  const table = h("details", { class: "chart-table small" }, h("summary", {}, t("common.as_table")));
  table.addEventListener("toggle", () => {
    if (!table.open || table.querySelector("table")) return;
    const cell = (text, place) => (place ? h("td", {}, text) : h("th", { scope: "row" }, text));
    const head = h("thead", {}, h("tr", {}, columns.map(name => h("th", { scope: "col" }, name))));
    table.append(h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": title }, h("table", {}, head, h("tbody", {}, rows().map(row => h("tr", {}, row.map(cell)))))));
  });
  const element = h("figure", { class: "chart-figure" }, h("figcaption", { id }, title), plot, legend, table);
  let shown = 0, stops = [], here = -1, cursor = null;
  // Of its height before it is drawn, so that nothing moves then.
  picture.style.height = `${draw(640).height}px`;
  const render = () => {
    const width = Math.round(plot.clientWidth);
    if (!width || width === shown) return;
    shown = width;
    const drawn = draw(width);
    stops = drawn.stops ?? [];
    picture.setAttribute("viewBox", `0 0 ${width} ${drawn.height}`);
    picture.style.height = `${drawn.height}px`;
    cursor = svg("g", { class: "cursor" });
    put(picture, drawn.children, cursor);
    point(-1);
  };
  const point = (place, { aloud = false } = {}) => {
    here = place;
    const stop = stops[place];
    tip.hidden = !stop;
    put(cursor ?? picture);
    if (!stop) return;
    if (!stop.box) put(cursor, svg("line", { class: "axis", x1: stop.at[0], x2: stop.at[0], y1: MARGIN.top, y2: stop.floor }), stop.dots.map(dot => svg("circle", { class: `dot s${(dot.place % 6) + 1}`, cx: dot.at[0], cy: dot.at[1], r: 4 })));
    else put(cursor, svg("rect", { class: "chosen", x: stop.box[0], y: stop.box[1], width: Math.max(2, stop.box[2]), height: stop.box[3], rx: 3 }));
    put(tip, stop.lines.map((line, row) => h("div", { class: row ? null : "head" }, line.place === undefined ? null : h("span", { class: `swatch s${(line.place % 6) + 1}` }), line.text ?? line)));
    tip.style.left = `${Math.min(Math.max(0, stop.at[0] + 10), Math.max(0, shown - tip.offsetWidth))}px`;
    if (stop.at[0] + 10 + tip.offsetWidth > shown) tip.style.left = `${Math.max(0, stop.at[0] - 10 - tip.offsetWidth)}px`;
    tip.style.top = `${Math.max(0, stop.at[1] - tip.offsetHeight - 6)}px`;
    if (aloud) said.textContent = stop.lines.map(line => line.text ?? line).join("; ");
  };
  const under = event => {
    const from = picture.getBoundingClientRect(), x = event.clientX - from.left, y = event.clientY - from.top;
    const found = stops.findIndex(stop => stop.box && x >= stop.box[0] && x <= stop.box[0] + stop.box[2] && y >= stop.box[1] && y <= stop.box[1] + stop.box[3]);
    if (found >= 0 || stops.some(stop => stop.box)) return found;
    return stops.reduce((best, stop, place) => (best < 0 || Math.abs(stop.at[0] - x) < Math.abs(stops[best].at[0] - x) ? place : best), -1);
  };
  plot.addEventListener("pointermove", event => { const found = under(event); if (found !== here) point(found); });
  plot.addEventListener("pointerdown", event => point(under(event)));
  plot.addEventListener("pointerleave", () => document.activeElement !== plot && point(-1));
  plot.addEventListener("blur", () => point(-1));
  plot.addEventListener("keydown", event => {
    const moves = { ArrowRight: here + 1, ArrowLeft: here < 0 ? stops.length - 1 : here - 1, Home: 0, End: stops.length - 1 };
    if (event.key === "Escape" && here >= 0) { event.stopPropagation(); point(-1); }
    if (!(event.key in moves) || !stops.length) return;
    event.preventDefault();
    point(Math.min(stops.length - 1, Math.max(0, moves[event.key])), { aloud: true });
  });
  new ResizeObserver(render).observe(plot);
  return element;
}

/** Where values lie on an axis from `low` to `high`, `from` and `to` in pixels; `log` where it grows by factors. */
function scale(low, high, from, to, log) {
  const share = log ? value => Math.log(value / low) / (Math.log(high / low) || 1) : value => (value - low) / (high - low || 1);
  return value => from + share(value) * (to - from);
}

/** Labels of an axis that do not touch each other, each kept inside the picture. */
function spaced(values, at, say, width) {
  let free = -Infinity;
  return values.map(value => {
    const text = say(value), half = wide(text) / 2, x = Math.min(Math.max(at(value), half), width - half);
    if (x - half < free) return null;
    free = x + half + 10;
    return { x, text };
  }).filter(Boolean);
}

/**
 * Lines over a common x. `series`: [{name, points: [[x, y], ...], area, dashed, place}]; y null leaves a gap, `place` chooses the colour. `x`, `y`: {format, label, low, high, values}; `x.log`: x grows
 * by factors; `x.unit`: the word behind x where it is read out; `y.unit`: steps are round in so many. `marks`: [{x, label}] vertical lines; `limits`: [{y, label}] horizontal ones. `named`: whether a legend
 * names the lines; else where there are several.
 */
export function lines(title, given, { x = {}, y = {}, marks = [], limits = [], height = 240, named } = {}) {
  const series = given.map((one, place) => ({ ...one, place: one.place ?? place }));
  const points = series.flatMap(one => one.points.filter(point => point[1] !== null));
  const low = { x: x.low ?? Math.min(...points.map(one => one[0])), y: y.low ?? Math.min(0, ...points.map(one => one[1])) };
  const high = { x: x.high ?? Math.max(...points.map(one => one[0])), y: y.high ?? Math.max(...points.map(one => one[1]), ...limits.map(one => one.y), low.y + 1e-9) };
  const say = { x: x.format ?? (value => number(value)), y: y.format ?? (value => number(value)) };
  const all = [...new Set(series.flatMap(one => one.points.map(point => point[0])))].sort((a, b) => a - b);
  const valueAt = (one, at) => one.points.find(point => point[0] === at)?.[1] ?? null;
  const draw = width => {
    const unit = y.unit ?? 1, steps = ticks(low.y / unit, high.y / unit, 4).map(value => value * unit);
    if (steps.at(-1) < high.y && y.high === undefined) steps.push(2 * steps.at(-1) - (steps.at(-2) ?? low.y));
    const left = Math.max(...steps.map(value => wide(say.y(value)))) + 14, top = MARGIN.top + (y.label ? 18 : 0), floor = height - MARGIN.bottom - (x.label ? 16 : 0), right = width - MARGIN.right;
    const atX = scale(low.x, high.x, left, right, x.log), atY = scale(low.y, Math.max(high.y, steps.at(-1)), floor, top, false);
    const below = spaced(x.values?.filter(value => value >= low.x && value <= high.x) ?? ticks(low.x, high.x, Math.max(2, Math.floor((right - left) / 110))), atX, say.x, width);
    // Labels of marks: above or below, wherever the lines are not, and one below the other where they would meet.
    const nearest = (one, at) => one.points.reduce((best, point) => (point[1] !== null && (!best || Math.abs(point[0] - at) < Math.abs(best[0] - at)) ? point : best), null);
    const high_ = at => {
      const near = series.map(one => nearest(one, at)).filter(Boolean);
      return near.reduce((sum, point) => sum + point[1], 0) / (near.length || 1) > (low.y + high.y) / 2;
    };
    const marked = marks.filter(mark => mark.x >= low.x && mark.x <= high.x).map((mark, row) => ({ ...mark, at: atX(mark.x), row, low: high_(mark.x), back: atX(mark.x) + 6 + wide(mark.label) > width }));
    // Below the label of a limit, where that is at the top.
    const under = top + (limits.some(limit => atY(limit.y) < top + 26) ? 31 : 11);
    const stops = all.map(at => {
      const there = series.map(one => ({ place: one.place, name: one.name, value: valueAt(one, at) })).filter(one => one.value !== null);
      const texts = there.map(one => ({ place: series.length > 1 ? one.place : undefined, text: series.length > 1 ? `${one.name}: ${say.y(one.value)}` : say.y(one.value) }));
      return { at: [atX(at), Math.min(...there.map(one => atY(one.value)), floor)], floor, lines: [x.unit ? `${say.x(at)} ${x.unit}` : say.x(at), ...texts], dots: there.map(one => ({ at: [atX(at), atY(one.value)], place: one.place })) };
    });
    return { height, stops, children: [
      y.label ? svg("text", { x: 0, y: 11, class: "axis-name" }, y.label) : null,
      x.label ? svg("text", { x: right, y: height - 4, "text-anchor": "end", class: "axis-name" }, x.label) : null,
      steps.map(value => [svg("line", { class: "rule", x1: left, x2: right, y1: atY(value), y2: atY(value) }), svg("text", { x: left - 8, y: atY(value) + 4, "text-anchor": "end" }, say.y(value))]),
      below.map(one => svg("text", { x: one.x, y: floor + 18, "text-anchor": "middle" }, one.text)),
      svg("line", { class: "axis", x1: left, x2: right, y1: atY(low.y), y2: atY(low.y) }),
      series.map(one => svg("g", { class: `s${(one.place % 6) + 1}` }, one.area ? svg("path", { class: "area", d: path(one.points, atX, atY, atY(low.y)) }) : null,
        svg("path", { class: "line", "stroke-dasharray": one.dashed ? "6 4" : null, d: path(one.points, atX, atY) }),
        one.points.length === 1 && one.points[0][1] !== null ? svg("circle", { class: "dot", cx: atX(one.points[0][0]), cy: atY(one.points[0][1]), r: 4 }) : null)),
      limits.map(limit => [svg("line", { class: "limit", x1: left, x2: right, y1: atY(limit.y), y2: atY(limit.y) }), svg("text", { class: "marked", x: left + 6, y: atY(limit.y) - 5 }, limit.label)]),
      marked.map(mark => [svg("line", { class: "axis", "stroke-dasharray": "4 4", x1: mark.at, x2: mark.at, y1: top, y2: floor }),
        svg("text", { class: "marked", x: mark.back ? mark.at - 5 : mark.at + 5, y: mark.low ? floor - 6 - mark.row * 16 : under + mark.row * 16, "text-anchor": mark.back ? "end" : "start" }, mark.label)]),
    ] };
  };
  const rows = () => all.map(at => [say.x(at), ...series.map(one => { const found = valueAt(one, at); return found === null ? "–" : say.y(found); })]);
  return figure(title, series, draw, [x.label ?? "", ...series.map(one => one.name || y.label || "")], rows, named);
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
 * Horizontal bars, each made of parts: `rowsOf`: [{name, parts: [number, ...], note, limit}], `parts`: [name of each part]. A row's `limit`: how long it may be, drawn as
 * a frame. `limit`: {value, label} a line across all.
 */
export function bars(title, rowsOf, { parts = [""], format = value => number(value), limit = null, unit = "" } = {}) {
  const totals = rowsOf.map(one => one.parts.reduce((sum, part) => sum + part, 0));
  const most = Math.max(...totals, ...rowsOf.map(one => one.limit ?? 0), limit?.value ?? 0, 1e-9);
  const draw = width => {
    const each = 54, height = rowsOf.length * each + (limit ? 26 : 4), inner = width - 2, at = value => (value / most) * inner, stops = [];
    const children = rowsOf.map((one, place) => {
      const y = place * each + 20, note = one.note ?? format(totals[place]);
      // Where both do not fit beside each other, the note is what counts: the name is in the read-out and in the table.
      const name = wide(one.name) + wide(note) + 16 > width ? shortened(one.name, width - wide(note) - 16) : one.name;
      let from = 0;
      const pieces = one.parts.map((part, number_) => {
        const box = [1 + at(from), y, Math.max(0, at(part)), 24];
        from += part;
        if (part > 0) stops.push({ at: [box[0] + Math.min(box[2] / 2, 60), y], box, dots: [], lines: [one.name, { place: parts.length > 1 ? number_ : undefined, text: parts[number_] ? `${parts[number_]}: ${format(part)}` : format(part) }] });
        return svg("g", { class: `s${(number_ % 6) + 1}` }, svg("rect", { class: "bar", x: box[0], y, width: Math.max(0, box[2] - (box[2] > 3 ? 1 : 0)), height: 24, rx: box[2] > 6 ? 3 : 0 }));
      });
      const frame = one.limit ? svg("rect", { class: "room", x: 1, y, width: at(one.limit), height: 24, rx: 3 }) : null;
      const past = one.limit && totals[place] > one.limit ? svg("rect", { class: "past", x: 1 + at(one.limit), y: y - 1, width: at(totals[place] - one.limit), height: 26, rx: 3 }) : null;
      const edge = one.limit ? svg("line", { class: "limit", x1: 1 + at(one.limit), x2: 1 + at(one.limit), y1: y - 3, y2: y + 27 }) : null;
      return svg("g", {}, svg("text", { x: 0, y: y - 6, class: "named" }, name), svg("text", { x: width, y: y - 6, "text-anchor": "end" }, note), frame, pieces, past, edge);
    });
    const across = limit ? [
      svg("line", { class: "axis", "stroke-dasharray": "4 4", x1: at(limit.value), x2: at(limit.value), y1: 16, y2: height - 20 }),
      svg("text", { x: Math.min(Math.max(at(limit.value), wide(limit.label) / 2), width - wide(limit.label) / 2), y: height - 6, "text-anchor": "middle" }, limit.label),
    ] : null;
    return { height, stops, children: [children, across] };
  };
  return figure(title, parts.map(name => ({ name })), draw, ["", ...parts, unit], () => rowsOf.map((one, place) => [one.name, ...one.parts.map(format), one.note ?? format(totals[place])]));
}

function shortened(text, width) {
  const letters = [...text];
  while (letters.length > 1 && wide(letters.join("")) + 8 > width) letters.pop();
  return letters.length === text.length ? text : `${letters.join("")}…`;
}
