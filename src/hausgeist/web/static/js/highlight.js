/** Colours for code: the highlighter and each language are loaded when first needed, and its tree is made into elements here. */

import { h } from "./dom.js";

const KNOWN = new Set(("ada apache arduino bash basic c clojure cmake cpp csharp css dart delphi diff dockerfile elixir erlang excel fortran fsharp go gradle graphql groovy haskell http ini java javascript json julia kotlin latex less lisp lua makefile markdown matlab nginx nix objectivec ocaml perl pgsql php plaintext powershell prolog properties protobuf python r ruby rust scala scheme scss shell sql swift tcl typescript vbnet verilog vhdl vim wasm x86asm xml yaml").split(" "));
const ALIASES = { "c#": "csharp", "c++": "cpp", cc: "cpp", h: "c", hpp: "cpp", cs: "csharp", js: "javascript", jsx: "javascript", mjs: "javascript", ts: "typescript", tsx: "typescript", py: "python", python3: "python", rb: "ruby", rs: "rust", sh: "bash", zsh: "bash", console: "shell", "shell-session": "shell", yml: "yaml", toml: "ini", html: "xml", svg: "xml", vue: "xml", md: "markdown", tex: "latex", docker: "dockerfile", make: "makefile", golang: "go", kt: "kotlin", ps1: "powershell", asm: "x86asm", hs: "haskell", objc: "objectivec", text: "plaintext", txt: "plaintext", postgresql: "pgsql", jsonc: "json", json5: "json", patch: "diff" };
const LONGEST = 60000;

let core = null;
const loaded = new Map();

/** The name of a language as the highlighter has it; empty: not known. Only names of the list are ever loaded. */
export function languageOf(said) {
  const name = said.trim().toLowerCase().split(/[\s,{]/)[0];
  const known = ALIASES[name] ?? name;
  return KNOWN.has(known) ? known : "";
}

async function ready(language) {
  core ??= import("../vendor/highlight.js").then(module => module.default);
  const highlighter = await core;
  if (!loaded.has(language)) loaded.set(language, import(`../vendor/languages/${language}.js`).then(module => highlighter.registerLanguage(language, module.default)));
  await loaded.get(language);
  return highlighter;
}

function nodes(tree) {
  return tree.children.map(child => {
    if (typeof child === "string") return child;
    const scope = (child.scope ?? "").split(".")[0].replace(/[^a-z_-]/gi, "");
    return scope ? h("span", { class: `hl-${scope}` }, nodes(child)) : nodes(child);
  });
}

/** Code as coloured nodes; null where the language is not known or the code is too long to be worth it. */
export async function highlight(code, said) {
  const language = languageOf(said);
  if (!language || language === "plaintext" || code.length > LONGEST) return null;
  const highlighter = await ready(language);
  const found = highlighter.highlight(code, { language, ignoreIllegals: true });
  return nodes(found._emitter.root);
}
