/** The models page: what is installed, what there is, what lies on this disk; and what is on its way, above all of them. */

import "../shell.js";
import { find, findAll } from "../dom.js";
import { menu } from "../menu.js";
import { shortcut } from "../shell.js";
import { t } from "../text.js";
import { toast } from "../toast.js";
import { mayAdminister } from "../told.js";
import { catalogueKnows, growCatalogue, openCatalogue } from "../models/catalogue.js";
import { byFile, byName, openDisk, openElsewhere, tidy } from "../models/elsewhere.js";
import { forgetFit } from "../models/fits.js";
import { openLibrary, refresh } from "../models/library.js";
import { pullList, watchPulls } from "../models/pulls.js";
import { chatWith } from "../models/words.js";

const VIEWS = { installed: () => {}, catalogue: openCatalogue, disk: () => { openElsewhere(); openDisk(installed); } };
let installed = [];

function show() {
  const wanted = location.hash.slice(1), view = wanted in VIEWS && find(`[data-view="${wanted}"]`) ? wanted : "installed";
  for (const panel of findAll("[data-view]")) panel.hidden = panel.dataset.view !== view;
  for (const tab of findAll(".tabs a")) tab.hash === `#${view}` ? tab.setAttribute("aria-current", "true") : tab.removeAttribute("aria-current");
  VIEWS[view]();
}

/** To a view, at once: what is focused next must be there. */
function go(view) {
  location.hash = view;
  show();
}

function search() {
  go("catalogue");
  find("#q").focus();
}

addEventListener("hashchange", show);
find("#add")?.addEventListener("click", event => menu(event.currentTarget, [
  { label: t("models.from_catalogue"), icon: "search", run: search },
  { label: t("models.by_name"), icon: "download", run: byName },
  { label: t("models.from_file"), icon: "upload", run: byFile },
  { label: t("models.from_tools"), icon: "folder", run: () => go("disk") },
]));
find("#tidy")?.addEventListener("click", event => tidy(event.currentTarget));
if (mayAdminister) shortcut("i", t("models.by_name"), byName);
shortcut("/", t("models.search_models"), search);

growCatalogue();
show();
openLibrary(models => {
  installed = models;
  catalogueKnows({ models });
  if (location.hash === "#disk") openDisk(models);
});
const list = pullList(find("#pulls"), find("#pull-list"));
watchPulls({
  changed: jobs => { list(jobs); catalogueKnows({ jobs }); },
  ended: job => {
    forgetFit(job.model.replace(/:latest$/, ""));
    refresh();
    toast(t("models.ready", { model: job.model }), { seconds: 12, action: { label: t("models.chat"), run: () => location.assign(chatWith(job.model)) } });
  },
});
