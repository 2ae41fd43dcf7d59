/** Signing in: by name and password, by an API key, or by a link that was sent, which asks for the password to use from now on. */

import { post } from "../api.js";
import { find, findAll } from "../dom.js";
import { t } from "../text.js";
import { me } from "../told.js";

const form = find("#form"), said = find("#said"), other = find("#other");
const link = location.hash.slice(1);
let way = link ? "link" : "password";

/** Where to go on: a path of this server, whatever the address says. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  const address = new URL(wanted, location.origin);
  return address.origin === location.origin && wanted.startsWith("/") ? address.pathname + address.search : "/";
}

function show(wanted) {
  way = wanted;
  for (const field of findAll("[data-way]", form)) {
    field.hidden = !field.dataset.way.split(" ").includes(way);
    field.querySelector("input").required = !field.hidden;
  }
  other.textContent = way === "key" ? other.dataset.password : other.dataset.key;
  other.hidden = way === "link";
  if (way === "link") {
    find("#heading").textContent = t("entrance.invited");
    find("#lead").textContent = t("entrance.invited_lead");
    find("#password-label").textContent = t("entrance.new_password");
    find("#password").autocomplete = "new-password";
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
  }
});

other.addEventListener("click", () => show(way === "key" ? "password" : "key"));

// A link from another site comes without the session's cookie: whoever is signed in already goes on.
if (me && !link) location.replace(next());
else show(way);
