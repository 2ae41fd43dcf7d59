/** The question, as it stands in the address: a link to share, and what the back button goes back to. */

const MANY = ["model"];
const NAMES = ["model", "precision", "context", "users", "slots", "kv", "engine", "draft", "prompt_cache", "gpu", "gpus", "nodes", "for", "budget", "country", "volume", "cloud", "upkeep_hours", "upkeep_rate"];
/** What is asked of a machine alone, and of a purchase. The rest goes with a model. */
const OF_A_MACHINE = ["context", "users", "gpu", "gpus", "nodes", "country", "volume", "cloud", "upkeep_hours", "upkeep_rate"];
const OF_A_PURCHASE = ["for", "users", "budget", "context", "country", "volume", "cloud", "upkeep_hours", "upkeep_rate"];
const TOGETHER = 2000;
export const MOST_MODELS = 4;

/** @returns {Record<string, string> & {model: string[]}} what is not asked is "" */
export function read() {
  const given = new URLSearchParams(location.search), question = {};
  for (const name of NAMES) question[name] = MANY.includes(name) ? given.getAll(name).flatMap(text => text.split(",")).map(text => text.trim()).filter(Boolean).slice(0, MOST_MODELS) : (given.get(name) ?? "").trim();
  return question;
}

/** Whether the address asks anything. */
export const asked = () => NAMES.some(name => new URLSearchParams(location.search).has(name));

export function address(question) {
  const found = new URLSearchParams();
  for (const name of NAMES) for (const value of [question[name]].flat()) if (value) found.append(name, value);
  const text = found.toString().replaceAll("%3A", ":").replaceAll("%2F", "/");
  return location.pathname + (text ? `?${text}` : "");
}

let last = { name: "", at: 0 };

/** Put the question into the address. Changes of one field within a moment are one step of the history. */
export function write(question, changed) {
  const next = address(question);
  if (next === location.pathname + location.search) return;
  const goesOn = changed === last.name && performance.now() - last.at < TOGETHER;
  last = { name: changed, at: performance.now() };
  history[goesOn || !changed ? "replaceState" : "pushState"](null, "", next);
}

/** What the API is asked: only what goes together. */
export function query(question) {
  const names = question.for ? OF_A_PURCHASE : question.model.length ? NAMES.filter(name => !["for", "budget"].includes(name)) : OF_A_MACHINE;
  const found = Object.fromEntries(names.filter(name => question[name]?.length).map(name => [name, question[name]]));
  if (!found.gpu) { delete found.gpus; delete found.nodes; }
  if (!found.upkeep_hours || !found.upkeep_rate) { delete found.upkeep_hours; delete found.upkeep_rate; }
  return question.model.length && !question.for ? { ...found, detail: "yes" } : found;
}

/** The same question for the command line. */
export function command(question) {
  const { model = [], detail, ...rest } = query(question);
  const quoted = text => (/^[\w.:/@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  const options = Object.entries(rest).map(([name, value]) => `--${name.replaceAll("_", "-")} ${quoted(value)}`);
  return ["hausgeist plan", ...model.map(quoted), ...options].join(" ");
}
