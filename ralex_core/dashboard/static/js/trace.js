/** One trace: its waterfall is walked with the arrow keys. */

import { walkable } from "./waterfall.js";

walkable(document.getElementById("waterfall"));
