/** A shelf of personas or prompts: found, made, edited, shared, removed. What differs between the two is told by a `kind`. */

import { all, patch, post, remove } from "../api.js";
import { confirm, form } from "../dialog.js";
import { button, h, icon, put } from "../dom.js";
import { menu } from "../menu.js";
import { t } from "../text.js";
import { me } from "../told.js";
import { safely, toast } from "../toast.js";

const FEW = 6;
let turn = 0;

/**
 * Show one. `kind`: {name, path, icon, fields(one, who), body(values), content(one), doing: {label, icon, run(one)}, words(one)}.
 */
export async function shelf(place, kind) {
  const mine = (turn += 1), key = suffix => t(`personas.${kind.name}_${suffix}`);
  let kept = [];
  const who = me;
  const list = h("ul", { class: "shelf", "aria-label": key("all") }), empty = h("div", {}), count = h("p", { class: "visually-hidden", role: "status" });
  const search = h("input", { type: "search", placeholder: t("common.search"), "aria-label": t("common.search"), on: { input: () => draw() } });
  const box = h("div", { class: "searchbox grow", hidden: true }, icon("search"), search);
  const add = button(key("new"), { icon: "plus", kind: "primary-action", on: safely(() => edit(null)) });

  const draw = () => {
    const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean), shown = kept.filter(one => words.every(word => kind.words(one).toLowerCase().includes(word)));
    put(list, shown.map(card));
    list.hidden = !shown.length;
    box.hidden = kept.length < FEW;
    count.textContent = words.length ? t("personas.found", { n: shown.length }) : "";
    put(empty, shown.length ? null : h("div", { class: "empty" }, icon(kind.icon), h("p", {}, kept.length ? t("personas.none_found") : key("none"))));
  };
  const load = async () => {
    const found = await all(kind.path);
    if (mine !== turn) return;
    kept = found;
    put(place, h("div", { class: "filters" }, box, add), count, list, empty);
    draw();
  };
  const reload = async id => {
    await load();
    list.querySelector(`[data-id="${CSS.escape(id ?? "")}"] .more`)?.focus();
  };

  /** Its author changes it, and an owner of the project. */
  const mayChange = one => one.mine || who.role === "owner" || who.house_role === "owner";
  function card(one) {
    const actions = h("div", { class: "row actions" }, button(kind.doing.label, { icon: kind.doing.icon, kind: "tiny", "aria-label": t("personas.do_with", { what: kind.doing.label, name: one.name }), on: safely(() => kind.doing.run(one)) }),
      mayChange(one) ? button(t("common.edit"), { icon: "edit", kind: "tiny", "aria-label": t("personas.do_with", { what: t("common.edit"), name: one.name }), on: safely(() => edit(one)) }) : null,
      h("span", { class: "grow" }), button(t("personas.more_about", { name: one.name }), { icon: "more", bare: true, kind: "quiet tiny", class: "more", "aria-haspopup": "menu", "aria-expanded": "false", on: event => doings(event.currentTarget, one) }));
    return h("li", { class: "card", dataset: { id: one.id } }, h("h2", {}, one.name),
      h("p", { class: "row marks" }, one.shared ? h("span", { class: "badge accent" }, icon("people", { small: true }), t(one.mine ? "personas.shared" : "personas.by_another")) : null, kind.marks(one)), kind.content(one), actions);
  }
  function doings(anchor, one) {
    const may = mayChange(one), sharing = who.role !== "reader";
    menu(anchor, [
      may && sharing ? { label: t(one.shared ? "personas.unshare" : "personas.share"), icon: "people", run: safely(async () => { await patch(`${kind.path}/${one.id}`, { shared: !one.shared }); toast(t(one.shared ? "personas.now_private" : "personas.now_shared", { name: one.name })); await reload(one.id); }) } : null,
      { label: t("personas.duplicate"), icon: "copy", run: safely(async () => { const made = await post(kind.path, { ...kind.copied(one), name: t("personas.copy_of", { name: one.name }).slice(0, 100) }); await reload(made.id); }) },
      may ? "line" : null,
      may ? { label: t("common.delete"), icon: "trash", danger: true, run: safely(() => drop(one)) } : null,
    ]);
  }
  async function edit(one) {
    const sharing = who.role !== "reader" ? h("label", { class: "check" }, h("input", { type: "checkbox", name: "shared", checked: one?.shared ?? false }), h("span", {}, t("personas.share_with"), h("span", { class: "hint soft small" }, ` ${t("personas.share_hint")}`))) : null;
    const saved = await form(one ? key("edit") : key("new"), [await kind.fields(one), sharing], values => {
      const body = { ...kind.body(values, one), ...(sharing ? { shared: values.shared === "on" } : {}) };
      return one ? patch(`${kind.path}/${one.id}`, body) : post(kind.path, body);
    }, { wide: true });
    if (saved) await reload(saved.id);
  }
  async function drop(one) {
    if (!await confirm(t("personas.delete_title", { name: one.name }), one.shared ? t("personas.delete_shared") : t("personas.delete_lead"))) return;
    await remove(`${kind.path}/${one.id}`);
    await load();
    add.focus();
  }

  try {
    await load();
  } catch (error) {
    if (mine === turn) put(place, h("div", { class: "notice bad", role: "alert" }, icon("warning"), h("div", {}, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", on: () => shelf(place, kind) }))));
  }
}
