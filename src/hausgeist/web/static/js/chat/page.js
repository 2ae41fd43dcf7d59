/** The chat page: puts its parts together, and knows which chat is open. */

import { post } from "../api.js";
import { confirm } from "../dialog.js";
import { copy } from "../copying.js";
import { find, findAll, icon } from "../dom.js";
import { menu } from "../menu.js";
import { preference } from "../preferences.js";
import { shortcut } from "../shell.js";
import { t } from "../text.js";
import { complain, safely, toast } from "../toast.js";
import { mayWrite } from "../told.js";
import { Composer } from "./composer.js";
import { Documents, openCite } from "./documents.js";
import { edit } from "./editing.js";
import { exportAll, importChats } from "./files.js";
import { History } from "./history.js";
import { ModelPicker, Models } from "./models.js";
import { Parameters } from "./parameters.js";
import { PromptLibrary } from "./prompts.js";
import { Follow } from "./scroll.js";
import { ChatSearch } from "./search.js";
import { tabs } from "./tabs.js";
import { Talk } from "./talk.js";
import { Thread } from "./thread.js";
import { afterwards, trouble } from "./trouble.js";

const SPOKEN = 600;
const models = new Models();
const scroller = find("#thread"), room = find("#chat"), start = find("#start"), turns = find("#turns");
const follow = new Follow(scroller, turns, find("#newest"));

// What can be done with a turn

const doings = {
  copy: safely(async (text, anchor) => {
    if (!await copy(text)) return toast(t("common.not_copied"));
    anchor.replaceChildren(icon("check"));
    aloud(t("common.copied"));
    return setTimeout(() => anchor.replaceChildren(icon("copy")), 1500);
  }),
  edit: turn => { if (!talk.busy) { follow.hold(); edit(turn, content => { follow.toEnd(); talk.send(content, { insteadOf: turn.entry.key }); }); } },
  show: safely(id => { follow.hold(); return talk.show(id); }),
  goOn: () => talk.goOn(),
  decide: (item, approve) => talk.decide(item, approve),
  cite: (cite, opener) => openCite(cite, opener),
  againMenu(turn, anchor) {
    const now = talk.chat.model;
    menu(anchor, [
      { label: t("chat.again_with", { model: now }), icon: "retry", run: () => again(turn) },
      ...(models.all.length > 1 ? ["line", { group: t("chat.again_by") }, ...models.all.filter(one => one.id !== now).slice(0, 30).map(one => ({ label: one.id, icon: "models", run: () => again(turn, one.id) }))] : []),
    ]);
  },
  more(turn, anchor) {
    menu(anchor, [
      { label: t("chat.branch_here"), icon: "branch", run: safely(() => branch(turn)) },
      { label: t("chat.delete_message"), icon: "trash", danger: true, run: safely(() => forget(turn)) },
    ]);
  },
};

function again(turn, model = null) {
  follow.toEnd();
  return talk.again(turn, { model });
}

async function branch(turn) {
  const made = await post(`/house/v1/chats/${talk.chat.id}/branch`, { item: turn.entry.items.at(-1).item.id });
  tell(made.id, "changed");
  await go(made.id);
  toast(t("chat.branched"));
}

async function forget(turn) {
  if (talk.busy || !(await confirm(t("chat.delete_message"), t(turn.entry.kind === "question" ? "chat.delete_question_sure" : "chat.delete_answer_sure")))) return;
  await talk.forget(turn);
  composer.area.focus();
}

function aloud(text) {
  find("#told-aloud").textContent = text;
}

/** What else can be done where something went wrong. */
const ways = { choose: () => picker.open(), fresh: () => fresh(), shorten: () => change({ settings: { ...talk.chat.settings, truncation: "auto" } }) };

// What the chat tells

const thread = new Thread(turns, scroller, doings);

const talk = new Talk(thread, {
  opened(chat) {
    composer.open(chat.id);
    look(chat);
    follow.toEnd();
    documents.named();
    parameters.draw();
  },
  changed(chat, what) {
    if (what === "created") {
      composer.rename(chat.id);
      history.replaceState(null, "", `/chat/${chat.id}`);
    }
    if (what === "dropped") {
      composer.rename("");
      if (location.pathname === `/chat/${chat.id}`) history.replaceState(null, "", "/");
      side.forget(chat.id);
      look(talk.chat);
      return;
    }
    if (what === "asked") follow.toEnd();
    look(chat);
    side.set(chat);
    if (what === "ended" || what === "created") { tell(chat.id, what); side.refresh().catch(() => {}); }
    else if (what === "turned" || what === "changed") tell(chat.id, what);
  },
  busy(busy) {
    composer.working(busy);
    trouble_(null);
    room.dataset.busy = String(busy);
    if (busy) aloud(t("chat.answering"));
    else looked();
    if (talk.chat.created) side.set({ ...talk.chat, running: busy ? talk.response ?? "starting" : null });
  },
  trouble(error, { again: more = null, edit: content = null }) {
    if (error.code === "conversation_locked") return complain(error);
    return trouble_(trouble(error, {
      again: more && (() => { trouble_(null); more(); }),
      edit: content && (() => { thread.takeBack(); trouble_(null); composer.restore(content); look(talk.chat); }),
      ...ways,
    }));
  },
  waiting() {
    const one = models.get(talk.chat.model);
    return t(one && one.loaded === null && one.engine === "llamacpp" ? "chat.loading_model" : "chat.reading");
  },
  taken() {
    composer.taken();
    tell(talk.chat.id, "began");
    if (!talk.chat.title) named(talk.chat.id).catch(() => {});
  },
  away(away) {
    room.classList.toggle("away", away);
    composer.note(away ? t("chat.reconnecting") : "");
  },
  ended(text) {
    aloud(`${t("chat.answered")}: ${text.slice(0, SPOKEN)}`);
    models.load().catch(() => {});
  },
});

/** The title that the server has made of the first question. */
async function named(id) {
  await side.refresh();
  const title = side.chats.get(id)?.title;
  if (!title || talk.chat.id !== id) return;
  talk.chat.title = title;
  look(talk.chat);
}

/** The page around the chat, as it is now. */
function look(chat) {
  const empty = !thread.turns.length && !thread.pending && !thread.live && (!chat.id || !chat.items.length) && !talk.busy;
  room.classList.toggle("empty-chat", empty);
  start.hidden = !empty;
  find("#title").textContent = chat.title || (chat.id ? t("chat.untitled") : t("chat.new"));
  document.title = `${chat.title || t("chat.new")} · Hausgeist`;
  picker.say(chat.model);
  if (!talk.busy) looked();
}

/** What is to be said below the last turn. */
function looked() {
  const { last } = thread;
  if (talk.busy || !talk.chat.id || find(".trouble", turns)?.matches("[role=alert]")) return;
  trouble_(afterwards(last?.entry, { goOn: () => talk.goOn(), again: () => again(last), ...ways }));
}

function trouble_(block) {
  find(".trouble", turns)?.remove();
  if (block) turns.append(block);
}

// The parts

const library = { typed: () => {}, key: () => false };
const composer = new Composer({
  prompts: library,
  sees: () => models.sees(talk.chat.model),
  extra: () => documents.chips(),
  stop: safely(() => talk.stop()),
  leaf: direction => follow.leaf(direction),
  send(content) {
    if (content.images.length && !models.sees(talk.chat.model)) { composer.restore(content); composer.note(t("chat.cannot_see")); return; }
    talk.send(content);
  },
  editLast() {
    const last = thread.turns.findLast(turn => turn.entry.kind === "question");
    if (!last || talk.busy) return false;
    last.element.scrollIntoView({ block: "nearest" });
    doings.edit(last);
    return true;
  },
});
const prompts = new PromptLibrary(composer);
library.typed = text => prompts.typed(text);
library.key = event => prompts.key(event);

const change = fields => {
  talk.change(fields);
  if (fields.model) { preference("model", fields.model); picker.say(fields.model); parameters.draw(); noteModels(); }
};
const documents = new Documents({ chat: () => talk.chat, change, redraw: () => composer.attachments.redraw() });
const parameters = new Parameters({ chat: () => talk.chat, change, thinks: () => models.thinks(talk.chat.model) });
const picker = new ModelPicker(models, id => { change({ model: id }); composer.area.focus(); });
const side = new History({
  open: id => go(id),
  current: () => talk.chat.id,
  gone: id => { if (talk.chat.id === id) fresh(); },
  renamed: chat => { if (talk.chat.id === chat.id) { Object.assign(talk.chat, { title: chat.title, pinned: chat.pinned, archived: chat.archived }); look(talk.chat); } },
  tell: (id, what) => tell(id, what),
});
const search = new ChatSearch((id, item) => go(id, { item }));

const tell = tabs(({ chat, what }) => {
  if (what === "deleted") {
    side.forget(chat);
    if (talk.chat.id === chat) fresh();
    return;
  }
  side.refresh().catch(() => {});
  if (chat === talk.chat.id) talk.refresh().catch(() => {});
});

// Which chat is open

/** The chat that the address names. */
const address = () => /^\/chat\/([^/]+)$/.exec(location.pathname)?.[1] ?? "";

/** The model and settings of a new chat. */
const chosen = () => ({ model: new URLSearchParams(location.search).get("model") || models.preferred(), settings: {} });

function fresh({ push = true } = {}) {
  if (push && location.pathname !== "/") history.pushState(null, "", "/");
  closeDrawer();
  const before = talk.chat.id ? null : talk.chat;
  talk.fresh(chosen());
  if (before) Object.assign(talk.chat, { settings: before.settings });
  side.draw();
  noteModels();
  composer.attachments.redraw();
  composer.area.focus();
}

async function go(id, { push = true, item = null } = {}) {
  closeDrawer();
  if (push && location.pathname !== `/chat/${id}`) history.pushState(null, "", `/chat/${id}`);
  if (talk.chat.id !== id) {
    const opening = talk.open(id);
    side.draw();
    start.hidden = true;
    room.classList.remove("empty-chat");
    // An answer that is being made is followed for as long as it takes.
    opening.catch(error => {
      if (error.name === "AbortError") return;
      turns.replaceChildren();
      trouble_(trouble(error, { again: error.status === 404 ? null : () => go(id, { push: false }), fresh }));
      talk.chat = { ...talk.chat, id: "" };
    });
    if (!item && matchMedia("(min-width: 52rem)").matches) composer.area.focus();
    if (item) { await opening.catch(() => {}); }
  }
  if (item) await show(item);
}

/** Lead to something that was said, on whichever branch. */
async function show(item) {
  follow.hold();
  if (!thread.of(item)) await talk.show(item).catch(complain);
  const turn = thread.of(item);
  if (!turn) return;
  turn.fill();
  turn.element.scrollIntoView({ block: "center" });
  requestAnimationFrame(() => turn.element.scrollIntoView({ block: "center" }));
  turn.element.classList.add("sought");
  turn.element.setAttribute("tabindex", "-1");
  turn.element.focus({ preventScroll: true });
  setTimeout(() => turn.element.classList.remove("sought"), 2500);
}

function closeDrawer() {
  if (find("#sidebar").classList.contains("open")) find("#sidebar-close").click();
}

/** What can be asked, below the greeting. */
function noteModels() {
  if (!models.all) return;
  const note = find("#start-note");
  if (!models.all.length) note.replaceChildren(t("chat.nothing_installed"), " ", link());
  else if (models.onlyGuide) note.replaceChildren(t("chat.only_guide"), " ", link());
  else note.textContent = t("chat.you_ask", { model: talk.chat.model, n: models.all.length });
}

function link() {
  const element = document.createElement("a");
  element.href = "/models";
  element.textContent = t("chat.more_models");
  return element;
}

/** Begin: what the address names. */
export async function begin() {
  const named = address();
  const query = new URLSearchParams(location.search);
  side.refresh().catch(complain);
  const loading = models.load().catch(error => { models.all = []; complain(error); });
  if (named) {
    await Promise.all([loading, go(named, { push: false, item: location.hash.slice(1) || null })]);
    return;
  }
  composer.open("");
  await loading;
  if (talk.chat.id || talk.busy) return;
  Object.assign(talk.chat, chosen());
  picker.say(talk.chat.model);
  noteModels();
  if (query.get("store")) { documents.add(query.get("store")); documents.named(); }
}

// What people do

for (const one of findAll("[data-start]")) one.addEventListener("click", () => talk.send({ text: one.textContent.trim() }));
find("#new-chat").addEventListener("click", event => { if (!event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); fresh(); } });
find("#attach").addEventListener("click", event => {
  const files = accept => { const input = document.createElement("input"); input.type = "file"; input.multiple = true; input.accept = accept; input.addEventListener("change", () => composer.attachments.add([...input.files])); input.click(); };
  menu(event.currentTarget, [
    { label: t(models.sees(talk.chat.model) ? "chat.add_picture" : "chat.add_picture_blind"), icon: "image", disabled: !models.sees(talk.chat.model), run: () => files("image/*") },
    mayWrite ? { label: t("chat.add_file"), icon: "documents", run: () => files("") } : null,
    { label: t("chat.ask_documents"), icon: "folder", run: () => documents.choose() },
  ]);
});
find("#chat-menu").addEventListener("click", event => {
  const { chat } = talk;
  menu(event.currentTarget, [
    ...(chat.id && chat.items.length ? [...side.doings(side.chats.get(chat.id) ?? chat), "line"] : []),
    { label: t("chat.import"), icon: "upload", run: async () => { if (await importChats()) side.refresh({ anew: true }).catch(complain); } },
    { label: t("chat.export_all_markdown"), icon: "download", run: safely(() => exportAll("markdown")) },
    { label: t("chat.export_all_json"), icon: "download", run: safely(() => exportAll("json")) },
    { label: t("chat.archived"), icon: "archive", run: safely(() => side.showArchived()) },
  ]);
});
addEventListener("popstate", () => {
  const named = address();
  named ? go(named, { push: false }) : fresh({ push: false });
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  side.refresh().catch(() => {});
  talk.refresh().catch(() => {});
});
document.addEventListener("keydown", event => {
  if (event.key !== "Escape" || event.defaultPrevented || !talk.busy || find("dialog[open], .menu, .picker")) return;
  event.preventDefault();
  safely(() => talk.stop())();
});
shortcut("mod+k", t("chat.search"), () => { if (!find("#sidebar").classList.contains("open") && matchMedia("(max-width: 52rem)").matches) find("#sidebar-open").click(); search.focus(); });
shortcut("mod+shift+o", t("chat.new"), () => fresh());
shortcut("mod+shift+m", t("chat.choose_model"), () => picker.open());
shortcut("/", t("chat.write"), () => composer.area.focus());
