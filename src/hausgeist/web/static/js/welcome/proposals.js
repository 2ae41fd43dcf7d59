/** Which models to propose for a first install: one that runs well here, a small quick one, and the best that fits. */

import { get } from "../api.js";
import { fitOf, lookAt, plannedMachine } from "../models/fits.js";

const NEW_MONTHS = 24, MOST_BYTES = 6e9, PATIENT = 3;
/** Of a first download; and tokens per second that somebody who wants the best still waits for. */

const LEAST = 6e8;
/** Parameters. Smaller ones disappoint. */
const CAREFUL = ["hf.co/ggml-org/", "hf.co/unsloth/", "hf.co/lmstudio-community/"];
/** A registry, the engine's makers, and others who try out what they publish. */
const careful = source => !source.startsWith("hf.co/") || CAREFUL.some(one => source.startsWith(one));

const months = date => Number(date.slice(0, 4)) * 12 + Number(date.slice(5, 7) || 1);

/** [{kind, entry, fit}], the proposed one first; fewer where two would be the same, none where nothing fits. */
export async function propose(working) {
  const [{ data: entries }] = await Promise.all([get("/house/v1/models/catalogue"), lookAt([])]);
  const machine = plannedMachine();
  const room = machine.memory_bytes + machine.device_bytes.reduce((sum, one) => sum + one, 0);
  const latest = Math.max(...entries.map(entry => months(entry.released)));
  // For a first model nobody should have to read a licence.
  const candidates = entries.filter(entry => entry.use[0] === "chat" && entry.parameters >= LEAST && entry.install.some(careful) && entry.commercial === "yes" && entry.size < room * 0.9 && latest - months(entry.released) <= NEW_MONTHS);
  await lookAt(candidates.map(entry => entry.name), { told: working });
  const found = candidates.map(entry => ({ entry, fit: fitOf(entry.name) })).filter(one => one.fit?.fits && one.fit.quality !== null);
  return pick(found);
}

const better = (a, b) => b.fit.quality - a.fit.quality;
const pace = one => one.fit.generate_tokens_per_second ?? 0;

function pick(found) {
  const good = found.filter(one => one.fit.good).sort(better), some = [...found].sort((a, b) => pace(b) - pace(a));
  const proposed = good.find(one => one.entry.size <= MOST_BYTES) ?? good[0] ?? some[0];
  if (!proposed) return [];
  const quick = good.find(one => one.entry.size <= proposed.entry.size / 2.5 && pace(one) > pace(proposed) * 1.5);
  const best = found.filter(one => pace(one) >= PATIENT && one.fit.quality > proposed.fit.quality).sort(better)[0];
  return [{ kind: "proposed", ...proposed }, quick ? { kind: "quick", ...quick } : null, best && best !== quick ? { kind: "best", ...best } : null].filter(Boolean);
}
