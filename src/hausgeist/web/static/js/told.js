/** What the page was told by the server: texts, language, who looks at it. */

/** @type {{language: string, languages: Record<string, string>, version: string, base: string, project: string, me: {kind: string, name: string, user: string, role: string, house_role: string, project: string} | null, texts: Record<string, string | Record<string, string>>}} */
export const told = JSON.parse(document.getElementById("told").textContent);

export const language = told.language === "zh" ? "zh-Hans" : told.language;
export const me = told.me;

/** Owners of the house administer; readers only look and ask. */
export const mayAdminister = me?.house_role === "owner";
export const mayWrite = me !== null && me.role !== "reader";
