/** The page of budgets: what was spent in the period, where it is heading, and its limits, as one chart. */

import { usd, usdTick } from "./format.js";
import { LinesPanel } from "./resource_charts.js";
import { current, visit } from "./shell.js";

/** @typedef {(number | null)[]} Values */
/** @typedef {{bucket_us: number, starts: number[], spent: Values, mean: Values, low: Values, high: Values}} Course */
/** @typedef {import("./types.js").Boot & {course: Course | null, limits: {soft?: string | null, hard?: string | null}, every_s: number}} BudgetsBoot */

/** A limit so far above everything else that drawing it would flatten the rest is told in the figures only. */
const FAR = 6;

/** @type {LinesPanel | null} */
let panel = null;

function boot() {
  return /** @type {BudgetsBoot} */ (current());
}

function nothing() {}

function draw() {
  const { course, limits, timezone } = boot();
  const node = document.querySelector('[data-chart="course"]');
  if (!course || !node) return;
  const highest = Math.max(0, ...[course.spent, course.high].flatMap((values) => values.map((value) => value ?? 0)));
  const flat = (/** @type {string | null | undefined} */ limit) => {
    const value = limit ? Number(limit) : null;
    return value !== null && (highest === 0 || value <= highest * FAR) ? course.starts.map(() => value) : null;
  };
  const soft = flat(limits.soft);
  const hard = flat(limits.hard);
  const foretold = course.mean.some((value) => value !== null);
  // the band is filled between the first line and the last
  const lines = [
    ...(foretold ? [{ key: "low", label: "low (95 %)", color: "var(--chart-p50)", width: 1, dash: [2, 3] }] : []),
    { key: "spent", label: "spent", color: "var(--chart-p95)", width: 2 },
    ...(foretold ? [{ key: "mean", label: "expected", color: "var(--chart-p95)", width: 1.5, dash: [5, 4] }] : []),
    ...(soft ? [{ key: "soft", label: "soft limit", color: "var(--warn)", width: 1.25, dash: [7, 4] }] : []),
    ...(hard ? [{ key: "hard", label: "hard limit", color: "var(--bad)", width: 1.25 }] : []),
    ...(foretold ? [{ key: "high", label: "high (95 %)", color: "var(--chart-p50)", width: 1, dash: [2, 3] }] : []),
  ];
  const kind = { label: "Spending of the period and where it is heading", lines, format: usd, tick: usdTick, every: true };
  if (!panel || panel.panel !== node) panel = new LinesPanel(node, { zone: timezone, onZoom: nothing, onReset: nothing }, kind);
  panel.kind = kind;
  const columns = { ...course, ...(soft ? { soft } : {}), ...(hard ? { hard } : {}) };
  // a point belongs to its moment, not to the middle of what follows it
  const starts = course.starts.map((start) => start - course.bucket_us / 2);
  const from = course.starts[0] ?? 0;
  panel.show({ bucket_us: course.bucket_us, starts }, /** @type {any} */ (columns), { fromUs: from, toUs: course.starts.at(-1) ?? from });
}

setInterval(() => {
  const typing = document.activeElement?.closest("form") || document.getSelection()?.toString();
  if (!document.hidden && !typing) void visit(location.href, { push: false, quiet: true });
}, (boot().every_s || 10) * 1000);

document.addEventListener("ralex:view", draw);
document.documentElement.addEventListener("ralex:theme", () => panel?.redraw());
draw();
