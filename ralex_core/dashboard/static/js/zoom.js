/** Dragging over a chart of a page narrows the page's range to it; a double click goes back to where that began. */

import { withCustom, withRange } from "./scope.js";
import { current, visit } from "./shell.js";

const BEGAN = "ralex.zoomed-from";

/** @param {number} fromUs @param {number} toUs */
export function zoom(fromUs, toUs) {
  if (current().range?.key !== "custom") sessionStorage.setItem(BEGAN, location.search);
  void visit(new URL(withCustom(location.search, fromUs, toUs), location.href).href);
}

/** Back to where the zoom began. */
export function reset() {
  if (current().range?.key !== "custom") return;
  const from = sessionStorage.getItem(BEGAN) ?? withRange(location.search, "24h");
  void visit(new URL(from || location.pathname, location.href).href);
}
