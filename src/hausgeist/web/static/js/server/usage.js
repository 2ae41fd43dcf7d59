/** Who asked what of which model: requests, tokens, times, as charts and figures, and as a file for a spreadsheet. */

import { all, get } from "../api.js";
import { lines } from "../chart.js";
import { field } from "../dialog.js";
import { button, h, icon, put } from "../dom.js";
import { compact, duration, number, t, when } from "../text.js";
import { choice, csv, save, select, table, today } from "./pieces.js";
import { clock, range, RANGES, spoken } from "./times.js";

const anything = answer => answer.series.some(one => one.calls);
const BY = ["model", "user", "key", "project"];

export async function show(place, { signal }) {
  const asked = new URLSearchParams(location.search), from = (name, known, usual) => (known.includes(asked.get(name)) ? asked.get(name) : usual);
  const chosen = { by: from("by", BY, "model"), range: from("range", Object.keys(RANGES), "24h"), project: asked.get("project") ?? "" };
  const projects = await all("/house/v1/projects");
  const shown = h("div", { class: "shown" });
  let answer = null;
  const load = async () => {
    answer = await get("/house/v1/usage", { by: chosen.by, project: chosen.project, ...range(chosen.range) }, { signal });
    put(shown, anything(answer) ? report(answer, chosen) : empty(answer));
    if (answer.scope === "own") lead.textContent = t("server.usage_own");
    else lead.textContent = t("server.usage_all");
    download.hidden = !answer.data.length;
  };
  const change = async (name, value) => {
    chosen[name] = value;
    const query = new URLSearchParams(Object.entries(chosen).filter(([, one]) => one));
    history.replaceState(null, "", `?${query}`);
    shown.setAttribute("aria-busy", "true");
    await load().catch(error => signal.aborted || put(shown, h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {}, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", on: () => change(name, value) })))));
    shown.removeAttribute("aria-busy");
  };
  const download = button(t("server.as_csv"), { icon: "download", on: () => save(`hausgeist-usage-${chosen.by}-${chosen.range}-${today()}.csv`, asCsv(answer), "text/csv") });
  const lead = h("p", { class: "soft" });
  const chooser = projects.length > 1 ? field(t("common.project"), select([["", t("server.all_projects")], ...projects.map(one => [one.id, one.name])], chosen.project, { on: { change: event => change("project", event.target.value) } })) : null;
  put(place,
    h("div", { class: "filters" },
      choice(t("server.by"), Object.fromEntries(BY.map(one => [one, t(`server.by_${one}`)])), chosen.by, value => change("by", value)),
      choice(t("server.range"), Object.fromEntries(Object.keys(RANGES).map(one => [one, t(`server.range_${one}`)])), chosen.range, value => change("range", value)),
      chooser),
    h("div", { class: "part-head" }, lead, download), shown);
  await load();
}

function empty(answer) {
  return h("div", { class: "empty" }, icon("plan"), h("p", {}, t(answer.scope === "own" ? "server.no_usage_own" : "server.no_usage")), h("p", {}, h("a", { href: "/server" }, t("server.how_to_connect"))));
}

function report(answer, chosen) {
  // Over time, where it is there: calls that came without a key are in no row of the keys.
  const sum = key => (key in answer.series[0] ? answer.series : answer.data).reduce((total, one) => total + one[key], 0), calls = sum("calls"), failed = sum("failed");
  const figures = [
    [t("server.requests"), number(calls), failed ? t("server.failed_of", { n: failed }) : t("server.none_failed")],
    [t("server.tokens_in"), compact(sum("prompt_tokens")), t("server.cached_of", { n: sum("cached_tokens") })],
    [t("server.tokens_out"), compact(sum("completion_tokens")), t("server.tokens_written")],
    [t("server.time_spent"), duration(sum("total_ms") / 1000), t("server.time_spent_note")],
  ];
  return [
    h("div", { class: "figures" }, figures.map(([name, value, note]) => h("div", { class: "card" }, h("h2", {}, name), h("p", { class: "figure" }, value), h("p", { class: "soft small" }, note)))),
    h("div", { class: "charts" },
      over(t("server.chart_requests"), answer, chosen, [[t("server.requests"), "calls", true], [t("server.failed"), "failed"]]),
      over(t("server.chart_tokens"), answer, chosen, [[t("server.tokens_in"), "prompt_tokens", true], [t("server.tokens_out"), "completion_tokens"]]),
      over(t("server.chart_first"), answer, chosen, [[t("server.median"), "first_token_ms_p50"]], value => duration(value / 1000))),
    h("section", { class: "card" }, h("h2", {}, t(`server.per_${chosen.by}`)), answer.data.length ? rows(answer) : h("p", { class: "soft" }, t("server.no_key_used"))),
  ];
}

/** A chart over the steps. Steps with nothing to measure leave a gap; one between two gaps is drawn as a short line. */
function over(title, answer, chosen, series, format = value => number(value)) {
  const { step } = answer.series[0], from = answer.series[0].at, to = answer.series.at(-1).at + step;
  const points = key => answer.series.flatMap(one => {
    const value = one[key], alone = value !== null && key.startsWith("first");
    return alone ? [[one.at + step * 0.1, value], [one.at + step * 0.9, value]] : [[one.at + step / 2, value]];
  });
  // Counts are whole: a scale of at least four steps has no halves.
  const key = first => (first.startsWith("first") ? undefined : Math.max(4, ...answer.series.flatMap(one => series.map(other => one[other[1]]))));
  const at = value => when(value, spoken(chosen.range));
  return h("section", { class: "card" }, lines(title, series.map(([name, key, area]) => ({ name, points: points(key), area })), { height: 200, x: { low: from, high: to, values: clock(from, to, 4), format: at, label: t("server.time") }, y: { low: 0, high: key(series[0][1]), format } }));
}

const COLUMNS = { of: false, calls: true, failed: true, prompt_tokens: true, cached_tokens: true, completion_tokens: true, first_p50: true, first_p95: true, speed: true };

function rows(answer) {
  const ms = value => (value === undefined || value === null ? "–" : duration(value / 1000));
  const columns = Object.entries(COLUMNS).map(([key, isNumber]) => ({ name: t(key === "of" ? `server.by_${answer.by}` : `server.column_${key}`), number: isNumber }));
  const sorted = answer.data.toSorted((one, other) => other.calls - one.calls);
  return table(t(`server.per_${answer.by}`), columns, sorted.map(one => [
    h("span", { title: one.of }, name(one)), number(one.calls), number(one.failed), number(one.prompt_tokens), number(one.cached_tokens), number(one.completion_tokens),
    ms(one.first_token_ms?.p50), ms(one.first_token_ms?.p95), one.tokens_per_second === null ? "–" : t("server.per_second", { n: number(one.tokens_per_second, 1) }),
  ]));
}

const name = one => (one.of === "local" ? t("server.local_name") : one.name || t("server.no_key"));

function asCsv(answer) {
  return csv([answer.by, "name", "calls", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "total_ms", "first_token_ms_p50", "first_token_ms_p95", "tokens_per_second"],
    answer.data.map(one => [one.of, one.name, one.calls, one.failed, one.prompt_tokens, one.cached_tokens, one.completion_tokens, one.total_ms, one.first_token_ms?.p50, one.first_token_ms?.p95, one.tokens_per_second]));
}
