/** The chat page. */

import "../shell.js";
import { begin } from "../chat/page.js";

begin();
