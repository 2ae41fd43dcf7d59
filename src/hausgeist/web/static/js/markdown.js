/**
 * Markdown as elements. The lexer (CommonMark with GitHub's tables, and formulas) only makes tokens; every element is made here, so whatever a model
 * or a document says stays text: HTML is shown as it is written, pictures are not fetched, and only http, https and mailto become links.
 */

import { Marked } from "../vendor/marked.js";
import { copy } from "./copying.js";
import { button, h } from "./dom.js";
import { highlight } from "./highlight.js";
import { draw } from "./math.js";
import { t } from "./text.js";

/** How deep lists and quotations lie in one another, how many cells a table has, and for how long a text is read: what is beyond stays as it was written. */
const DEEPEST = 50, MOST_CELLS = 50000, LONGEST_MS = 1500;
const PICTURE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+$/;

const FORMULA = /\$\$([^$]{1,4000}?)\$\$\s*(?:\n|$)|\\\[([\s\S]{1,4000}?)\\\]\s*(?:\n|$)/y;

function formulaAt(source, at) {
  inTime();
  FORMULA.lastIndex = at;
  return FORMULA.exec(source);
}

const blockMath = {
  name: "blockMath", level: "block",
  // Where a paragraph ends: at a line that begins a whole formula, never in the middle of one.
  start(source) {
    for (const line of source.matchAll(/\n(?=\$\$|\\\[)/g)) if (formulaAt(source, line.index + 1)) return line.index + 1;
    return undefined;
  },
  tokenizer(source) {
    const found = formulaAt(source, 0);
    return found ? { type: "blockMath", raw: found[0], text: (found[1] ?? found[2]).trim() } : undefined;
  },
};

const inlineMath = {
  name: "inlineMath", level: "inline",
  start: source => { inTime(); const at = source.search(/\$|\\\(|\\\[/); return at < 0 ? undefined : at; },
  tokenizer(source) {
    inTime();
    // "$5 and $6" is money: a formula neither begins nor ends with a space, and no digit follows it.
    const found = /^\$\$([^$\n]{1,1000}?)\$\$/.exec(source) ?? /^\\\(([\s\S]{1,1000}?)\\\)/.exec(source) ?? /^\\\[([\s\S]{1,1000}?)\\\]/.exec(source) ?? /^\$(?!\s)([^$\n]{1,400}?)(?<![\s\\])\$(?!\d)/.exec(source);
    return found ? { type: "inlineMath", raw: found[0], text: found[1].trim(), display: found[0].startsWith("$$") || found[0].startsWith("\\[") } : undefined;
  },
};

/** Short rows are filled up: a few kilobytes could be millions of cells. `false`: the lexer's own rule decides. */
function table(source) {
  const columns = source.slice(0, source.search(/\n|$/)).split("|").length;
  if (columns < 3) return false;
  const end = source.indexOf("\n\n"), rows = (end < 0 ? source : source.slice(0, end)).split("\n").length;
  return columns * rows > MOST_CELLS ? undefined : false;
}

const marked = new Marked({ gfm: true, breaks: false, async: false }, { extensions: [blockMath, inlineMath], tokenizer: { table } });
let until = Infinity;

/** The lexer asks for formulas at every step. Raises `RangeError` where a text was made to take for ever. */
function inTime() {
  if (performance.now() > until) throw new RangeError("the text takes too long to read");
}

/** The tokens of a text; of one that cannot be read in time, or nests without end, one that shows it as it was written. */
function read(text) {
  until = performance.now() + LONGEST_MS;
  try {
    return marked.lexer(text);
  } catch (error) {
    console.warn("a text is shown as it was written", error);
    return [{ type: "html", raw: text, text }];
  }
}

/** An address that may be a link; null for all others (javascript:, data:, file:, relative ones). */
export function safeLink(text) {
  let address;
  try {
    address = new URL(text);
  } catch {
    return null;
  }
  return ["http:", "https:", "mailto:"].includes(address.protocol) ? address.href : null;
}

/**
 * Makes elements of tokens. `reference`: a node for "[3]" in a text, or null where 3 refers to nothing (citations); `anchor`: one for a place that
 * citations/marks.js has put into the text.
 */
class Maker {
  constructor({ reference = null, anchor = null, live = false } = {}) {
    this.reference = reference;
    this.anchor = anchor;
    this.live = live;
    this.depth = 0;
  }

  blocks(tokens) {
    return tokens.map(token => this.block(token)).filter(Boolean);
  }

  block(token) {
    if (this.depth > DEEPEST) return h("p", {}, token.raw);
    this.depth += 1;
    const made = this.made(token);
    this.depth -= 1;
    return made;
  }

  made(token) {
    switch (token.type) {
      case "space": case "def": return null;
      case "heading": return h(`h${Math.min(6, token.depth + 1)}`, {}, this.inline(token.tokens));
      case "paragraph": return h("p", {}, this.inline(token.tokens));
      case "text": return h("p", {}, token.tokens ? this.inline(token.tokens) : this.text(token.text));
      case "code": return this.code(token);
      case "blockquote": return h("blockquote", {}, this.blocks(token.tokens));
      case "list": return this.list(token);
      case "table": return this.table(token);
      case "hr": return h("hr");
      case "html": return h("p", {}, token.text.trimEnd());
      case "blockMath": return this.math(token.text, true);
      default: return h("p", {}, token.raw ?? "");
    }
  }

  list(token) {
    const items = token.items.map(item => {
      const body = item.tokens.flatMap(one => (one.type === "text" && !token.loose ? [one.tokens ? this.inline(one.tokens) : this.text(one.text)] : [this.block(one)])).filter(Boolean);
      const box = item.task ? h("input", { type: "checkbox", disabled: true, checked: item.checked, "aria-label": item.checked ? t("common.done") : t("common.open") }) : null;
      return h("li", { class: item.task ? "task" : null }, box, box ? " " : null, body);
    });
    return h(token.ordered ? "ol" : "ul", { start: token.ordered && token.start !== 1 ? token.start : null }, items);
  }

  table(token) {
    const cell = (name, one) => h(name, { style: one.align ? { textAlign: one.align } : {}, scope: name === "th" ? "col" : null }, this.inline(one.tokens));
    const head = h("thead", {}, h("tr", {}, token.header.map(one => cell("th", one))));
    const body = h("tbody", {}, token.rows.map(row => h("tr", {}, row.map(one => cell("td", one)))));
    return h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": t("common.table") }, h("table", {}, head, body));
  }

  code(token) {
    const said = (token.lang ?? "").trim(), text = document.createTextNode(token.text);
    const code = h("code", {}, text);
    const copy = button(t("common.copy"), { icon: "copy", kind: "quiet tiny", on: () => copyText(code.textContent, copy) });
    const element = h("div", { class: "code" }, h("header", {}, h("span", {}, said.split(/\s/)[0] || t("common.code")), copy), h("pre", { tabindex: "0" }, code));
    element.growing = text;
    if (!this.live) colour(code, said);
    return element;
  }

  math(source, display) {
    const element = h(display ? "div" : "span", { class: display ? "display-math" : "math" }, source);
    draw(element, source, { display });
    return element;
  }

  inline(tokens = []) {
    if (this.depth > DEEPEST) return tokens.map(token => token.raw);
    this.depth += 1;
    const made = this.words(tokens);
    this.depth -= 1;
    return made;
  }

  words(tokens) {
    return tokens.flatMap(token => {
      switch (token.type) {
        case "text": case "escape": return token.tokens ? this.inline(token.tokens) : this.text(plain(token));
        case "strong": return [h("strong", {}, this.inline(token.tokens))];
        case "em": return [h("em", {}, this.inline(token.tokens))];
        case "del": return [h("del", {}, this.inline(token.tokens))];
        case "codespan": return [h("code", {}, this.text(token.text))];
        case "br": return [h("br")];
        case "link": return [this.link(token)];
        case "image": return [this.picture(token)];
        case "inlineMath": return [this.math(token.text, token.display)];
        case "html": return /^<br\s*\/?>$/i.test(token.raw.trim()) ? [h("br")] : [token.raw];
        default: return [token.raw ?? ""];
      }
    });
  }

  link(token) {
    const address = safeLink(token.href), content = this.inline(token.tokens);
    if (!address) return h("span", {}, content, token.href && token.href !== token.text ? ` (${token.href})` : "");
    return h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", title: address }, content);
  }

  picture(token) {
    if (PICTURE.test(token.href)) return h("img", { src: token.href, alt: token.text, loading: "lazy" });
    const address = safeLink(token.href), label = t("common.picture_elsewhere", { name: token.text || token.href });
    return address ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", title: address, class: "picture-elsewhere" }, label) : h("span", { class: "picture-elsewhere" }, label);
  }

  text(text) {
    if (!this.reference && !this.anchor) return [text];
    return text.split(/(\[\d{1,3}\]|\ue000\d{1,3}\ue001)/).map(part => {
      const found = /^(?:\[(\d{1,3})\]|\ue000(\d{1,3})\ue001)$/.exec(part);
      const make = found?.[1] ? this.reference : this.anchor;
      return (found && make?.(Number(found[1] ?? found[2]))) ?? part;
    });
  }
}

const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™", hellip: "…", mdash: "—", ndash: "–", laquo: "«", raquo: "»", euro: "€", deg: "°", times: "×", middot: "·", bull: "•", rarr: "→", larr: "←", auml: "ä", ouml: "ö", uuml: "ü", szlig: "ß", Auml: "Ä", Ouml: "Ö", Uuml: "Ü" };

/** A text with its entities read: the lexer leaves them to a browser that reads markup, which none does here. */
function plain({ text }) {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal, hex, name) => {
    if (name) return Object.hasOwn(NAMED, name) ? NAMED[name] : whole;
    const code = decimal ? Number(decimal) : parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000) ? String.fromCodePoint(code) : "\ufffd";
  });
}

async function colour(code, said) {
  try {
    const nodes = await highlight(code.textContent, said);
    if (nodes) code.replaceChildren(...nodes.flat(20));
  } catch (error) {
    console.warn("code is shown without colours", error);
  }
}

async function copyText(text, control) {
  const label = control.querySelector("span"), done = await copy(text);
  if (label) {
    label.textContent = t(done ? "common.copied" : "common.not_copied");
    setTimeout(() => { label.textContent = t("common.copy"); }, 1500);
  }
}

/** A whole text as elements. */
export function markdown(text, options = {}) {
  return new Maker(options).blocks(read(text));
}

/**
 * A text that grows while it is shown. Only what is not settled yet is read and made again: what came before the last blocks stays as it is.
 * `write` often; what is shown follows at the pace that the machine keeps up with.
 */
export class Growing {
  constructor(element, options = {}) {
    this.element = element;
    this.options = options;
    this.text = "";
    this.settled = 0;
    this.tail = [];
    this.due = 0;
    this.scheduled = false;
    this.onShown = options.onShown ?? (() => {});
  }

  write(piece) {
    this.text += piece;
    if (!this.scheduled) {
      this.scheduled = true;
      this.#soon();
    }
  }

  #soon() {
    requestAnimationFrame(now => {
      if (this.ended) return;
      if (now < this.due) return this.#soon();
      this.scheduled = false;
      const started = performance.now();
      this.#show();
      // A block that takes long to make is made less often: at most a quarter of the time goes into it.
      this.due = started + 4 * (performance.now() - started);
      return undefined;
    });
  }

  #show() {
    const rest = this.text.slice(this.settled);
    const tokens = read(rest);
    if (this.#grow(tokens)) return this.onShown();
    let from = 0, kept = 0;
    // All but the last block with what surrounds it are settled: nothing that comes can change them, but for definitions of links.
    const last = tokens.findLastIndex(token => token.type !== "space");
    const make = new Maker({ ...this.options, live: true }), done = new Maker(this.options);
    for (const node of this.tail) node.remove();
    for (; kept < last; kept += 1) {
      from += tokens[kept].raw.length;
      const node = done.block(tokens[kept]);
      if (node) this.element.append(node);
    }
    this.settled += from;
    this.tail = tokens.slice(Math.max(0, last)).map(token => make.block(token)).filter(Boolean);
    this.element.append(...this.tail);
    this.growing = tokens[last]?.type === "code" ? this.tail[0]?.growing ?? null : null;
    return this.onShown();
  }

  /** The block of code at the end only gets longer: then its text is added to instead of made again. */
  #grow(tokens) {
    const only = tokens.filter(token => token.type !== "space");
    if (!this.growing || only.length !== 1 || only[0].type !== "code" || !only[0].text.startsWith(this.growing.data)) return false;
    this.growing.appendData(only[0].text.slice(this.growing.data.length));
    return true;
  }

  /** No more comes: what was unsettled is made for good. */
  end() {
    this.ended = true;
    for (const node of this.tail) node.remove();
    const again = /^ {0,3}\[[^\]]{1,999}\]:/m.test(this.text);
    if (again) this.element.replaceChildren(...markdown(this.text, this.options));
    else this.element.append(...markdown(this.text.slice(this.settled), this.options));
    this.tail = [];
    this.onShown();
  }
}
