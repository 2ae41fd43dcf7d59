/** Citations in words: where one stands, and what was found out about it. */

import { t } from "../text.js";

/** Where it stands, for people: "lease.pdf, page 3". The server's own label is in English where it names a page, and a name where it does not. */
export function placeOf(one) {
  if (one.label && one.label !== `${one.filename}, page ${one.page}`) return one.label;
  const paged = one.label || (one.page ?? 0) > 1;
  return paged ? t("citations.place", { file: one.filename, page: String(one.page) }) : one.filename || "";
}

/** What was found out about it: {words, icon, kind}. */
export function verdict(one) {
  if (one.verified === undefined) return null;
  if (!one.verified) return { words: t("citations.unverified"), icon: "warning", kind: "warn" };
  return { words: t(one.kind === "quote" ? "citations.verbatim" : "citations.supported"), icon: "check", kind: "good" };
}
