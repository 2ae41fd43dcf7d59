/** Whether the person may change the documents here. The page was told the role in their usual project; another one may have been chosen. */

import { get, project } from "../api.js";
import { mayWrite as usually } from "../told.js";

async function inProject() {
  if (!project()) return usually;
  const session = await get("/house/v1/session").catch(() => null);
  return session ? session.role !== "reader" : usually;
}

export const mayWrite = await inProject();
