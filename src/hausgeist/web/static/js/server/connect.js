/** How other programs connect: an address and three lines for each of the three APIs, with a key that is made in one click. */

import { post } from "../api.js";
import { copyButton } from "../copying.js";
import { button, h, icon, put } from "../dom.js";
import { day, t } from "../text.js";
import { me } from "../told.js";
import { complain } from "../toast.js";
import { choice, snippet } from "./pieces.js";

const APIS = {
  openai: { name: "OpenAI", base: address => `${address}/v1`, code: (base, key, model) => `from openai import OpenAI
client = OpenAI(base_url="${base}", api_key="${key}")
print(client.responses.create(model="${model}", input="Hello").output_text)` },
  anthropic: { name: "Anthropic", base: address => address, code: (base, key, model) => `from anthropic import Anthropic
client = Anthropic(base_url="${base}", api_key="${key}")
print(client.messages.create(model="${model}", max_tokens=200, messages=[{"role": "user", "content": "Hello"}]).content[0].text)` },
  ollama: { name: "Ollama", base: address => address, code: (base, key, model) => `from ollama import Client
client = Client(host="${base}"${key === "none" ? "" : `, headers={"Authorization": "Bearer ${key}"}`})
print(client.chat(model="${model}", messages=[{"role": "user", "content": "Hello"}]).message.content)` },
};

/** A model to show: one that talks, rather one of the person's own than the guide. */
function example(models) {
  const talking = models.filter(one => !one.capabilities || one.capabilities.includes("completion"));
  return (talking.find(one => one.id !== "guide") ?? talking[0])?.id ?? "MODEL";
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** What keeps people from connecting most often. */
function hints(address, who) {
  const { hostname, protocol } = new URL(address);
  return [
    LOOPBACK.test(hostname) && who.house_role === "owner" ? h("p", { class: "small soft" }, t("server.only_here"), " ", h("a", { href: "/server/settings?q=host" }, t("server.change_setting"))) : null,
    protocol === "https:" ? h("p", { class: "small soft" }, t("server.certificate"), " ", h("code", {}, "hausgeist cert export")) : null,
  ];
}

/** The card. `address`: the one that other machines may use. */
export function connect(address, models, who) {
  const model = example(models), place = h("div", {}), made = h("div", { role: "status" });
  let chosen = "openai", key = me.kind === "local" ? "none" : t("server.your_key");
  const draw = () => {
    const { name, base, code } = APIS[chosen], at = base(address);
    put(place,
      h("div", { class: "base" }, h("span", { class: "soft" }, t("server.base_address")), h("code", {}, at), copyButton(() => at, { label: t("server.copy_that", { what: t("server.base_address") }), bare: true, kind: "quiet tiny" })),
      snippet(code(at, key, model), t("server.example_for", { name })));
  };
  draw();
  const make = who.role === "owner" ? button(t("server.make_key"), { icon: "key", kind: "primary-action", on: async () => {
    make.disabled = true;
    try {
      const told = await post("/house/v1/keys", { name: t("server.key_of", { name: APIS[chosen].name, day: day(Date.now() / 1000) }) });
      key = told.key;
      draw();
      put(made, h("div", { class: "notice good" }, icon("key"), h("div", {}, h("p", {}, t("server.key_is_in", { name: told.name })), h("div", { class: "row" }, h("code", { class: "secret" }, told.key), copyButton(() => told.key, { kind: "tiny" })))));
    } catch (error) {
      complain(error);
    } finally {
      make.disabled = false;
    }
  } }) : null;
  return h("section", { class: "card" },
    h("div", { class: "part-head" }, h("h2", {}, t("server.connect")), choice(t("server.which_api"), Object.fromEntries(Object.entries(APIS).map(([id, { name }]) => [id, name])), chosen, id => { chosen = id; draw(); })),
    h("p", { class: "soft" }, t(me.kind === "local" ? "server.connect_lead_local" : make ? "server.connect_lead" : "server.connect_lead_ask")),
    ...hints(address, who), place, made, make ? h("p", { class: "row" }, make, h("a", { href: "/server/keys" }, t("server.all_keys"))) : null);
}
