/** Signing in: by name and password, by an API key, or by a link that was sent, which asks for the password to use from now on. */

import { post } from "../api.js";
import { find, findAll, put } from "../dom.js";
import { languageRow } from "../languages.js";
import { t } from "../text.js";
import { me } from "../told.js";

const form = find("#form"), said = find("#said"), other = find("#other");
const link = location.hash.slice(1);
const SHORTEST = 8;
let way = link ? "link" : "password";

/** Where to go on: an address of this server, whatever is asked for. All of it: the path of "/.//elsewhere" alone, "//elsewhere", would lead there. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  if (!wanted.startsWith("/") || !URL.canParse(wanted, location.origin)) return "/";
  const address = new URL(wanted, location.origin);
  return address.origin === location.origin ? address.href : "/";
}

function show(wanted) {
  way = wanted;
  for (const field of findAll("[data-way]", form)) {
    field.hidden = !field.dataset.way.split(" ").includes(way);
    const input = field.querySelector("input");
    input.required = !field.hidden && input.type !== "checkbox";
  }
  other.textContent = way === "password" ? other.dataset.key : other.dataset.password;
  other.hidden = way === "link";
  if (way === "link") {
    find("#heading").textContent = t("entrance.invited");
    find("#lead").textContent = t("entrance.invited_lead");
    find("#password-label").textContent = t("entrance.new_password");
    find("#password").autocomplete = "new-password";
    find("#password").minLength = SHORTEST;
    find("#password").setAttribute("aria-describedby", "password-hint");
    find("#password-hint").hidden = false;
    find("#submit").textContent = t("entrance.join");
  }
  form.querySelector(".field:not([hidden]) input").focus();
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(form));
  said.textContent = "";
  if (way === "link" && fields.password !== fields.again) {
    said.textContent = t("entrance.different");
    return;
  }
  const bodies = { password: { name: fields.name, password: fields.password }, key: { key: fields.key.trim() }, link: { link, password: fields.password } };
  const submit = find("#submit");
  submit.disabled = true;
  try {
    await post("/house/v1/session", bodies[way]);
    location.replace(next());
  } catch (error) {
    said.textContent = error.message;
    submit.disabled = false;
    // A link works once: whoever has used it signs in with the password.
    if (way === "link" && error.status === 401) other.hidden = false;
    find(way === "key" ? "#key" : "#password").select();
  }
});

other.addEventListener("click", () => {
  said.textContent = "";
  if (way !== "link") return show(way === "key" ? "password" : "key");
  // Without the link, the page is the usual one.
  history.replaceState(null, "", location.pathname + location.search);
  return location.reload();
});
find("#show").addEventListener("change", event => {
  for (const input of [find("#password"), find("#again")]) input.type = event.target.checked ? "text" : "password";
});
put(find("#languages"), languageRow());

// A link from another site comes without the session's cookie: whoever is signed in already goes on.
if (me && !link) location.replace(next());
else show(way);
