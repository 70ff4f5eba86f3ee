/** One statement: its response times as a chart. */

import "./database.js";
import { LatencyPanel } from "./overview_charts.js";
import { withCustom, withRange } from "./scope.js";
import { current, visit } from "./shell.js";

/** @typedef {import("./types.js").Boot & {latency: import("./types.js").LatencySeries, whole: Record<string, number | null>}} StatementBoot */

const panel = new LatencyPanel(
  /** @type {Element} */ (document.querySelector('[data-chart="latency"]')),
  { zone: current().timezone, onZoom: zoom, onReset: reset },
  { label: "Response time of this statement", none: "Not called in this range" },
);

/** @param {number} fromUs @param {number} toUs */
function zoom(fromUs, toUs) {
  void visit(new URL(withCustom(location.search, fromUs, toUs), location.href).href);
}

function reset() {
  if (current().range?.key === "custom") void visit(new URL(withRange(location.search, "24h"), location.href).href);
}

function draw() {
  const boot = /** @type {StatementBoot} */ (current());
  if (boot.range && boot.latency) panel.show(boot.latency, boot.whole, { fromUs: boot.range.start_us, toUs: boot.range.end_us });
}

document.addEventListener("ralex:view", draw);
document.documentElement.addEventListener("ralex:theme", () => panel.redraw());
draw();
