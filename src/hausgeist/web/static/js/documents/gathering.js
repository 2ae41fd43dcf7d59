/** What was dropped or chosen, as a list of files with their paths: folders with all that is in them, without what is no document. */

/** Bytes that parsers read of one file: larger ones would travel for nothing. */
const LARGEST = 512 * 2 ** 20;
const JUNK = new Set(["thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "__pycache__", "node_modules", "$recycle.bin", "system volume information", "lost+found", "__macosx", "cvs"]);
const JUNK_ENDS = ["~", ".tmp", ".temp", ".swp", ".swo", ".part", ".partial", ".crdownload", ".download", ".lock", ".lck", ".bak", ".orig", ".pyc"];
const JUNK_BEGINS = ["~$", ".~", "._", "#"];
const NO_DOCUMENTS = new Set((
  "exe dll so dylib o a lib class jar war msi deb rpm apk appimage wasm bin com sys ko whl mp4 mkv mov avi wmv webm mpg mpeg m4v flv mp3 m4a wav flac ogg opus aac wma aiff mid " +
  "zip 7z rar tar gz bz2 xz zst tgz tbz iso dmg img vmdk qcow2 vdi cab gguf safetensors onnx pt pth ckpt h5 pb tflite db sqlite sqlite3 mdb accdb dbf parquet feather " +
  "ttf otf woff woff2 eot psd ai indd sketch fig dwg dxf blend stl step stp svgz cdr ico cur icns raw cr2 nef arw dng heic"
).split(" "));

/** What a drop holds: [{file, path, named}]. `named`: given itself, not found in a folder. Must be called within the event; the rest may take a while. */
export function dropped(transfer) {
  const entries = [...transfer.items].filter(item => item.kind === "file").map(item => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
  return walkAll(entries);
}

async function walkAll(entries) {
  const found = [], unread = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push({ file: entry, path: entry.name, named: true });
    else await walk(entry, "", found, unread, true);
  }
  return { found, unread };
}

async function walk(entry, above, found, unread, named) {
  const path = above + entry.name;
  try {
    if (entry.isFile) found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path, named });
    else if (named || !isJunk(entry.name)) for (const one of await listed(entry)) await walk(one, `${path}/`, found, unread, false);
  } catch {
    unread.push(path);
  }
}

/** The reader gives a hundred at a time, and none when there are no more. */
async function listed(folder) {
  const reader = folder.createReader(), all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}

/** What an <input type="file"> holds. */
export const chosen = files => ({ found: [...files].map(file => ({ file, path: file.webkitRelativePath || file.name, named: !file.webkitRelativePath })), unread: [] });

/** Those that are documents, and how many are not, by reason: {taken, left: {hidden, empty, junk, other, large}}. */
export function sift(found) {
  const taken = [], left = {};
  for (const one of found) {
    const reason = whyNot(one);
    if (reason) left[reason] = (left[reason] ?? 0) + 1;
    else taken.push(one);
  }
  return { taken, left };
}

function whyNot({ file, path, named }) {
  if (file.size === 0) return "empty";
  if (file.size > LARGEST) return "large";
  if (named) return "";
  const parts = path.split("/"), name = parts.at(-1);
  if (parts.slice(1).some(part => part.startsWith(".") && !isJunk(part))) return "hidden";
  if (parts.slice(1).some(isJunk)) return "junk";
  return NO_DOCUMENTS.has(name.toLowerCase().split(".").slice(1).at(-1) ?? "") ? "other" : "";
}

function isJunk(name) {
  const small = name.toLowerCase();
  return JUNK.has(small) || JUNK_ENDS.some(end => small.endsWith(end)) || JUNK_BEGINS.some(begin => small.startsWith(begin));
}
