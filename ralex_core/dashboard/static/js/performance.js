/** The performance page: percentiles now and before, the heat map, the chosen one's trend. */

import { TimeChart, dataTable, legend } from "./charts.js";
import { el } from "./dom.js";
import { count, ms, msTick } from "./format.js";
import { HeatMap } from "./heat_map.js";
import { DURATIONS, LOG_DURATIONS } from "./overview_charts.js";
import { current, visit } from "./shell.js";
import { reset, zoom } from "./zoom.js";

/** @typedef {import("./charts.js").Series} Series */
/** @typedef {import("./charts.js").Data} Data */

/**
 * @typedef {object} Timeline
 * @property {number} bucket_us
 * @property {number[]} starts
 * @property {number[]} operations
 * @property {number[]} errors
 * @property {(number | null)[]} p50_ms
 * @property {(number | null)[]} p95_ms
 * @property {(number | null)[]} p99_ms
 * @property {string | null} before_label
 * @property {(number | null)[]} before_p50_ms
 * @property {(number | null)[]} before_p95_ms
 *
 * @typedef {object} Trend
 * @property {{day_us: number, before_ms: number, after_ms: number}[]} steps
 * @property {[number, number, number][]} points
 *
 * @typedef {{timeline: Timeline, heat: import("./heat_map.js").Heat, trend: Trend | null, whole: Record<string, number | null>}} Shown
 */

const DAY_US = 86_400e6;
const LEAST_REFRESH_S = 30;

/** @returns {Shown} */
function shown() {
  return /** @type {any} */ (current()).performance;
}

const context = { zone: current().timezone, onZoom: zoom, onReset: reset };

/** A chart panel with a table behind a toggle. */
class Panel {
  /** @param {string} name */
  constructor(name) {
    this.node = /** @type {HTMLElement} */ (document.querySelector(`[data-chart="${name}"]`));
    this.plot = this.part("plot");
    this.legend = this.part("legend");
    this.plot.replaceChildren();
    /** @type {HTMLElement | null} */
    this.frame = null;
    this.node.addEventListener("click", (event) => {
      if (event.target instanceof Element && event.target.closest("[data-table]")) this.toggleTable();
    });
  }

  /** @param {string} name @returns {HTMLElement} */
  part(name) {
    return /** @type {HTMLElement} */ (this.node.querySelector(`[data-${name}]`));
  }

  toggleTable() {
    const open = this.frame !== null;
    this.frame?.remove();
    this.frame = null;
    this.node.querySelector("[data-table]")?.setAttribute("aria-pressed", String(!open));
    this.plot.hidden = !open;
    this.legend.hidden = !open;
    if (!open) this.showTable();
  }

  showTable() {
    const frame = el("div", { class: "table-frame chart-table", tabindex: "0", role: "region", "aria-label": "The chart's data", "data-key": "chart-table" }, this.table());
    if (this.frame?.isConnected) this.frame.replaceWith(frame);
    else this.node.append(frame);
    this.frame = frame;
  }

  /** @returns {Node} */
  table() {
    return el("table");
  }
}

class Lines extends Panel {
  /** @param {string} name @param {string} label @param {boolean} log */
  constructor(name, label, log) {
    super(name);
    this.log = log;
    this.label = label;
    /** @type {TimeChart | null} */
    this.chart = null;
    /** @type {(index: number | null) => void} */
    this.read = () => {};
    /** @type {Data} */
    this.data = { bucketUs: 1, starts: [], fromUs: 0, toUs: 1, series: [] };
    /** @type {number[]} */
    this.operations = [];
    /** @type {Record<string, number | null>} */
    this.whole = {};
  }

  /** @param {Data} data @param {number[]} operations @param {Record<string, number | null>} [whole] of the whole range, by series */
  draw(data, operations, whole = {}) {
    this.whole = whole;
    this.data = data;
    this.operations = operations;
    if (this.chart) this.chart.update(data);
    else {
      this.chart = new TimeChart(this.plot, { kind: "lines", label: this.label, format: ms, tick: msTick, log: this.log, steps: DURATIONS, logSteps: LOG_DURATIONS,
        zone: context.zone, onZoom: zoom, onReset: reset, onCursor: (index) => this.read(index),
        tooltipExtra: () => [{ key: "operations", label: "operations", color: "var(--chart-volume)", values: this.operations }], formatExtra: (_, value) => count(value) }, data);
    }
    const chart = this.chart;
    this.read = legend(this.legend, data.series, (item, index) => this.readout(item, index), {
      hidden: chart.hidden, onToggle: (key, alone) => { chart.toggle(key, alone); this.draw(this.data, this.operations, this.whole); } });
    chart.setNone(data.series.some((item) => item.values.some((value) => value !== null)) ? null : "Nothing was timed in this range");
    if (this.frame) this.showTable();
  }

  /** The value under the cursor; without one, that of the whole range where it is known. @param {Series} item @param {number | null} index */
  readout(item, index) {
    if (index !== null) return ms(item.values[index]);
    return item.key in this.whole ? ms(this.whole[item.key]) : "";
  }

  /** @override */
  table() {
    return dataTable(this.data, [...this.data.series.map((item) => ({ label: item.label, values: item.values, format: ms })), { label: "Operations", values: this.operations, format: count }], context.zone);
  }
}

/** @param {Timeline} line @returns {Data} */
function timelineData(line) {
  const range = current().range;
  const last = (line.starts.at(-1) ?? 0) + line.bucket_us;
  /** @type {Series[]} */
  const before = line.before_label ? [
    { key: "before_p50", label: `p50 ${line.before_label}`, color: "var(--chart-p50)", width: 1, dash: [2, 4], values: line.before_p50_ms },
    { key: "before_p95", label: `p95 ${line.before_label}`, color: "var(--chart-p95)", width: 1, dash: [2, 4], values: line.before_p95_ms },
  ] : [];
  return { bucketUs: line.bucket_us, starts: line.starts, fromUs: line.starts[0] ?? 0, toUs: Math.min(last, range?.end_us ?? last), series: [
    { key: "p50", label: "p50", color: "var(--chart-p50)", width: 1.5, values: line.p50_ms },
    ...before,
    { key: "p95", label: "p95", color: "var(--chart-p95)", width: 1.75, values: line.p95_ms },
    { key: "p99", label: "p99", color: "var(--chart-p99)", width: 1.25, dash: [3, 3], values: line.p99_ms },
  ] };
}

/** Days as a line, levels between steps as another; a day without enough operations is a gap. @param {Trend} trend @returns {{data: Data, operations: number[]}} */
function trendData(trend) {
  const first = trend.points[0]?.[0] ?? 0;
  const days = trend.points.length ? Math.round(((trend.points.at(-1)?.[0] ?? first) - first) / DAY_US) + 1 : 0;
  const starts = Array.from({ length: days }, (_, place) => first + place * DAY_US);
  const known = new Map(trend.points.map((point) => [point[0], point]));
  const levels = starts.map((start) => {
    const next = trend.steps.find((step) => start < step.day_us);
    return next ? next.before_ms : (trend.steps.at(-1)?.after_ms ?? null);
  });
  /** @type {Series[]} */
  const series = [{ key: "p95", label: "p95 of the day", color: "var(--chart-p95)", width: 1.5, values: starts.map((start) => known.get(start)?.[2] ?? null) }];
  if (trend.steps.length) series.unshift({ key: "level", label: "level", color: "var(--chart-p99)", width: 1.25, dash: [4, 3], values: levels });
  return { data: { bucketUs: DAY_US, starts, fromUs: first, toUs: first + days * DAY_US, series }, operations: starts.map((start) => known.get(start)?.[1] ?? 0) };
}

class Heat extends Panel {
  constructor() {
    super("heat");
    this.map = new HeatMap(this.plot, context);
  }

  /** @param {import("./heat_map.js").Heat} heat */
  draw(heat) {
    this.legend.replaceChildren(el("span", {}, "1"), el("i"), el("span", {}, `${count(heat.most)} ${heat.most === 1 ? "operation" : "operations"} in a cell`));
    this.map.show(heat);
    if (this.frame) this.showTable();
  }

  /** @override */
  table() {
    return this.map.table();
  }
}

const timeline = new Lines("timeline", "Response time, now and before", true);
const heat = new Heat();
/** @type {Lines | null} */
let trend = null;

function draw() {
  const now = shown();
  timeline.draw(timelineData(now.timeline), now.timeline.operations, now.whole);
  heat.draw(now.heat);
  const panel = document.querySelector('[data-chart="trend"]');
  if (!panel) trend = null;
  else if (trend && trend.node !== panel) trend = null;
  if (!now.trend || !panel) return;
  trend ??= new Lines("trend", "p95 from day to day", false);
  const { data, operations } = trendData(now.trend);
  trend.plot.hidden = trend.legend.hidden = trend.frame !== null;
  trend.draw(data, operations);
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let refreshing;

function schedule() {
  clearInterval(refreshing);
  const boot = current();
  if (boot.range?.key === "custom") return;
  const seconds = Math.max(LEAST_REFRESH_S, boot.refresh_s ?? 0);
  refreshing = setInterval(() => !document.hidden && void visit(location.href, { push: false, quiet: true }), seconds * 1000);
}

document.addEventListener("ralex:view", () => {
  const menu = document.getElementById("more-by");
  if (menu?.matches(":popover-open")) menu.hidePopover();
  draw();
  schedule();
});

document.addEventListener("toggle", (event) => {
  const menu = event.target;
  if (!(menu instanceof HTMLElement) || menu.id !== "more-by" || !menu.matches(":popover-open")) return;
  const box = document.querySelector('[popovertarget="more-by"]')?.getBoundingClientRect();
  if (!box) return;
  menu.style.margin = "0";
  menu.style.top = `${box.bottom + 6}px`;
  menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - menu.offsetWidth - 8))}px`;
}, true);

document.documentElement.addEventListener("ralex:theme", () => {
  timeline.chart?.redraw();
  trend?.chart?.redraw();
  heat.map.draw();
});

draw();
schedule();
