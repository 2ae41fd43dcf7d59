/** The server: its parts as tabs, each with an address of its own. */

import "../shell.js";
import { begin } from "../server/frame.js";

begin();
