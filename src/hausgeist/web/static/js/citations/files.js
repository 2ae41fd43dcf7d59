/** What the viewer asks the server: pages, pictures, texts and boxes of files. What was asked once is kept for as long as the page is open. */

import { ask, get } from "../api.js";

const MOST = 24;
const told = new Map();

function once(key, work) {
  if (!told.has(key)) {
    if (told.size >= MOST * 4) told.delete(told.keys().next().value);
    told.set(key, work().catch(error => { told.delete(key); throw error; }));
  }
  return told.get(key);
}

const path = (file, rest) => `/house/v1/files/${encodeURIComponent(file)}/${rest}`;

/** {media_type, characters, pictures, pages: [{number, start, end, width, height, label}], warnings} */
export const pagesOf = file => once(`pages ${file}`, () => get(path(file, "pages")));

/** Rectangles of a passage: [{page, left, top, right, bottom}] in points from the top left. */
export const boxesOf = (file, start, end) => once(`boxes ${file} ${start} ${end}`, async () => (await get(path(file, "boxes"), { start, end })).boxes);

/** Characters of a file's text, `end` exclusive. */
export const textOf = (file, start, end) => once(`text ${file} ${start} ${end}`, async () => (await ask("GET", path(file, "text"), { query: { start: String(start), end: String(end) } })).text());

const pictures = new Map();
const shown = new Map();

/** A page as a picture, as an address for an <img>. The pictures of the last pages are kept; asked by fetch, because an <img> cannot name a project. */
export function pictureOf(file, page, width) {
  const key = `${file} ${page} ${width}`;
  let found = pictures.get(key);
  pictures.delete(key);
  found ??= ask("GET", path(file, `pages/${page}.png`), { query: { width: String(width) } }).then(async reply => {
    const address = URL.createObjectURL(await reply.blob());
    shown.set(`${file} ${page}`, address);
    return address;
  }).catch(error => { pictures.delete(key); throw error; });
  pictures.set(key, found);
  if (pictures.size > MOST) {
    const oldest = pictures.keys().next().value, gone = pictures.get(oldest);
    pictures.delete(oldest);
    gone.then(address => {
      for (const [name, one] of shown) if (one === address) shown.delete(name);
      URL.revokeObjectURL(address);
    }, () => {});
  }
  return found;
}

/** A picture of the page in whatever width that has been shown before, at once; "" where there is none. */
export const shownBefore = (file, page) => shown.get(`${file} ${page}`) ?? "";

/** A place in UTF-16 units of the character with this number: the server counts characters. */
export function unitAt(text, character) {
  let unit = 0;
  for (let passed = 0; passed < character && unit < text.length; passed += 1) unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
  return unit;
}
