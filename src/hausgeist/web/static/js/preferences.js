/** What this browser keeps of a person's choices. Language, theme and project are cookies, so that the server makes pages in them at once. */

import { me } from "./told.js";

const PREFIX = "hausgeist.";

/** Read a choice, or make one ("" forgets it). Browsers that keep nothing are lived with. */
export function preference(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(PREFIX + name);
    value === "" ? localStorage.removeItem(PREFIX + name) : localStorage.setItem(PREFIX + name, value);
  } catch {
    // Storage is switched off.
  }
  return value ?? null;
}

/** Under which name what somebody has begun to write to a chat is kept: whoever signs in next in this browser does not read it. */
export const draftOf = chat => `draft.${me === null || me.kind === "local" ? "" : `${me.user}.`}${chat || "new"}`;

/** A choice that the server reads; "" forgets it. */
export function cookie(name, value) {
  const age = value === "" ? 0 : 31536000;
  document.cookie = `hausgeist_${name}=${encodeURIComponent(value)}; path=/; max-age=${age}; samesite=strict${location.protocol === "https:" ? "; secure" : ""}`;
}
