/** What was said, as it is shown: the items of a chat as questions and answers, and an answer as its pieces. Pure. */

const isAnswer = item => item.type !== "message" || item.role === "assistant";
const isText = item => item.type === "message" && item.role === "assistant";

/** Those of a list that are objects, whatever stands there instead: chats are brought from anywhere. */
export const listed = value => (Array.isArray(value) ? value.filter(one => one !== null && typeof one === "object") : []);

/** Whether an answer was cut off with these items, and the next text goes on in the middle of it. */
const wasCut = items => { const last = items.at(-1)?.item; return last !== undefined && isText(last) && last.status === "incomplete"; };

/**
 * @returns {Array<{kind: "question" | "answer", key: string, items: object[], made: object | null, response: string | null, beside: string[] | null, cut: boolean}>}
 * `key`: the id of the first item, by which it is turned, made again, and told from its neighbours.
 */
export function entriesOf(items) {
  const entries = [];
  for (const one of items) {
    const last = entries.at(-1);
    const together = last?.kind === "answer" && isAnswer(one.item) && (
      (one.response !== null && one.response === last.response)
      || (wasCut(last.items) && (isText(one.item) || one.item.type === "reasoning"))
      || (one.response === null && last.response === null && !last.items.some(other => isText(other.item))));
    if (together) {
      last.items.push(one);
      last.response = one.response ?? last.response;
      if (one.made) last.made = last.made && last.items.length > 1 ? sum(last.made, one.made) : one.made;
    } else {
      entries.push({ kind: isAnswer(one.item) ? "answer" : "question", key: one.item.id, items: [one], made: one.made ?? null, response: one.response, beside: one.beside ?? null, cut: false });
    }
  }
  for (const entry of entries) entry.cut = entry.kind === "answer" && wasCut(entry.items);
  return entries;
}

/** Figures of an answer that was gone on with: those of its parts together. */
function sum(first, second) {
  const both = name => (first[name] === null || second[name] === null ? null : first[name] + second[name]);
  const seconds = (first.completed - first.created) + (second.completed - second.created);
  return { ...second, created: second.completed - seconds, output_tokens: both("output_tokens"), first_token_ms: first.first_token_ms };
}

/** The text of a question, and what came with it. */
export function asked(entry) {
  const { content } = entry.items[0].item;
  const parts = typeof content === "string" ? [{ type: "input_text", text: content }] : listed(content);
  return {
    role: entry.items[0].item.role,
    text: parts.filter(part => typeof part.text === "string").map(part => part.text).join("\n\n"),
    images: parts.filter(part => part.type === "input_image"),
    files: parts.filter(part => part.type === "input_file"),
  };
}

/** Content to be sent again, with another text. What is kept of files is their id, where they have one. */
export function asInput({ text, images = [], files = [] }) {
  if (!images.length && !files.length) return text;
  const content = [
    ...images.map(image => ({ type: "input_image", image_url: image.image_url, detail: image.detail ?? "auto" })),
    ...files.map(file => (file.file_id ? { type: "input_file", file_id: file.file_id } : { type: "input_file", filename: file.filename, file_data: file.file_data })),
    ...(text ? [{ type: "input_text", text }] : []),
  ];
  return [{ role: "user", content }];
}

/** The same as the chat will have it. */
export const shownAs = ({ text, images = [], files = [] }) => [
  ...images.map(image => ({ type: "input_image", image_url: image.image_url })),
  ...files.map(file => ({ type: "input_file", filename: file.filename })),
  ...(text ? [{ type: "input_text", text }] : []),
];

/**
 * The pieces of an answer, in order: {kind: "thought", text, going}, {kind: "text", text, cites: [{at, annotation, response, place}]}, {kind: "tool", item}.
 * `at`: where in the text, in UTF-16 units as strings here count; the API counts characters. Annotations are numbered through the answer.
 */
export function piecesOf(entry) {
  const pieces = [], places = new Map();
  let cut = false;
  for (const { item, response } of entry.items) {
    if (item.type === "reasoning") {
      const text = [...listed(item.summary), ...listed(item.content)].map(part => part.text).join("\n\n");
      if (text) pieces.push({ kind: "thought", text, id: item.id });
      continue;
    }
    if (item.type !== "message") {
      pieces.push({ kind: "tool", item, id: item.id });
      continue;
    }
    for (const part of listed(item.content)) {
      const text = String(part.text ?? part.refusal ?? "");
      const last = pieces.at(-1), joined = cut && last?.kind === "text";
      const target = joined ? last : { kind: "text", text: "", cites: [], id: item.id };
      if (!joined) pieces.push(target);
      for (const annotation of listed(part.annotations)) {
        if (annotation.type !== "file_citation") continue;
        const place = places.get(response) ?? 0;
        places.set(response, place + 1);
        target.cites.push({ at: target.text.length + unitsOf(text, annotation.index), annotation, response, place });
      }
      target.text += text;
      cut = false;
    }
    cut = item.status === "incomplete";
  }
  return pieces;
}

/** Where the n-th character stands in a string. */
export function unitsOf(text, characters) {
  if (!/[\ud800-\udbff]/.test(text)) return Math.min(characters, text.length);
  let units = 0;
  for (const character of text) {
    if (characters <= 0) break;
    characters -= 1;
    units += character.length;
  }
  return units;
}

const OPEN = "\ue000", CLOSE = "\ue001";

/** Where the mark of a citation stands in a text that is written as Markdown: characters that no text has. */
export const place = number => `${OPEN}${number}${CLOSE}`;

/** A text without such characters of its own. */
export const clean = text => (/[\ue000\ue001]/.test(text) ? text.replace(/[\ue000\ue001]/g, "\ufffd") : text);

/** A text with the places of its citations, the first of which is number `from` + 1. */
export function numbered(text, cites, from = 0) {
  const parts = [];
  let at = 0;
  cites.forEach((cite, order) => {
    parts.push(clean(text.slice(at, cite.at)), place(from + order + 1));
    at = cite.at;
  });
  return parts.join("") + clean(text.slice(at));
}

/** All that an answer says, without its thoughts. */
export const wordsOf = entry => piecesOf(entry).filter(piece => piece.kind === "text").map(piece => piece.text).join("\n\n");
