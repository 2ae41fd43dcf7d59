/** The main memory over time as a chart, which grows while it is looked at. */

import { lines } from "../chart.js";
import { h, put } from "../dom.js";
import { number, t, when } from "../text.js";
import { clock } from "./times.js";
import { choice } from "./pieces.js";

const HOURS = 3600, GIB = 2 ** 30;
const KEPT = 24 * HOURS;

/** `history`: the answer of the API; `total`: bytes of the machine. */
export function memory(history, total) {
  let points = history.data, hours = 1;
  const place = h("div", { class: "memory-chart" });
  const draw = () => {
    // Somebody reads the table: it stays as it is.
    if (place.querySelector("details[open]")) return;
    const now = points.at(-1)?.at ?? Date.now() / 1000, first = Math.max(points[0]?.at ?? now, now - hours * HOURS), from = Math.min(first, now - 60);
    const shown = points.filter(one => one.at >= from), of = key => shown.map(one => [one.at, one[key] / GIB]);
    const series = [
      { name: t("server.of_models"), points: of("models"), area: true },
      { name: t("server.of_server"), points: of("server") },
      { name: t("server.in_use_by_all"), points: of("used") },
      { name: t("server.all_memory"), points: shown.map(one => [one.at, total / GIB]), dashed: true },
    ];
    put(place, lines(t("server.memory_title"), series, { x: { low: from, high: now, values: clock(from, now), format: at => when(at, { timeStyle: "short" }), label: t("server.time") }, y: { low: 0, format: value => `${number(value, value < 10 ? 1 : 0)}\u00a0GiB` } }));
  };
  draw();
  const pick = choice(t("server.range"), { 1: t("server.hours", { n: 1 }), 6: t("server.hours", { n: 6 }), 24: t("server.hours", { n: 24 }) }, "1", value => { hours = Number(value); for (const one of place.querySelectorAll("details")) one.open = false; draw(); });
  return {
    element: h("div", {}, pick, place, h("p", { class: "small soft" }, t("server.memory_note", { n: history.step }))),
    last: () => (points.at(-1)?.at ?? 0) + 0.001,
    add(more) {
      if (!more.length) return;
      const since = more.at(-1).at - KEPT;
      points = [...points, ...more].filter(one => one.at >= since);
      draw();
    },
  };
}
