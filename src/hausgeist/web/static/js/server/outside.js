/** The proof that nothing leaves: which connections to elsewhere were made and which were refused, in words, out of the audit. */

import { get } from "../api.js";
import { h, icon } from "../dom.js";
import { day, t } from "../text.js";
import { table } from "./pieces.js";

const DAYS = 30, MOST = 500;

/** The card; its figures come when they come, in the place that is kept for them. */
export function outside(offline, { signal, go }) {
  const said = h("div", { class: "outside", "aria-live": "polite" });
  tell(said, { signal, go }).catch(error => signal.aborted || said.replaceChildren(h("p", { class: "field-error" }, error.message)));
  return h("section", { class: "card" }, h("div", { class: "part-head" }, h("h2", {}, t("server.outside")), h("span", { class: offline ? "badge good" : "badge" }, t(offline ? "server.offline" : "server.online"))),
    said, h("p", { class: "small soft" }, t(offline ? "server.offline_on" : "server.offline_off"), " ", h("a", { href: "/server/settings?q=offline" }, t("server.change_setting"))));
}

async function tell(place, { signal, go }) {
  const since = Math.floor(Date.now() / 1000 - DAYS * 86400), ask = outcome => get("/house/v1/audit", { action: "egress.connect", outcome, since, limit: MOST }, { signal });
  const [made, refused] = await Promise.all([ask("allowed"), ask("refused")]);
  const hosts = [...Map.groupBy?.(made.data, one => one.target) ?? grouped(made.data)];
  const content = [h("p", { class: "verdict" }, icon(hosts.length ? "info" : "shield"), h("span", {}, hosts.length ? t("server.went_to", { days: DAYS, n: hosts.length }) : t("server.nothing_left", { days: DAYS })))];
  if (hosts.length) {
    content.push(table(t("server.outside"), [{ name: t("server.host") }, { name: t("server.for_what") }, { name: t("server.times"), number: true }, { name: t("server.last_time"), date: true }],
      hosts.map(([host, rows]) => [host, [...new Set(rows.map(one => purpose(one.detail)))].join(", "), rows.length, day(rows[0].at)])));
  }
  if (made.next) content.push(h("p", { class: "small soft" }, t("server.only_the_newest", { n: MOST })));
  const link = h("a", { href: "/server/audit?action=egress.connect&outcome=refused", on: { click: event => { event.preventDefault(); go(link.getAttribute("href")); } } }, t("server.see_refused"));
  content.push(h("p", {}, refused.data.length ? [t(refused.next ? "server.refused_many" : "server.refused", { n: refused.data.length }), " ", link] : t("server.refused_none")));
  place.replaceChildren(...content);
}

function grouped(rows) {
  const found = new Map();
  for (const one of rows) found.set(one.target, [...(found.get(one.target) ?? []), one]);
  return found;
}

const KNOWN = { "model download": "server.purpose_download", "model header": "server.purpose_header", image: "server.purpose_image", mcp: "server.purpose_mcp" };
const purpose = detail => (KNOWN[detail] ? t(KNOWN[detail]) : detail);
