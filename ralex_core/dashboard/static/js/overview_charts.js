/** The two charts of the overview: spend, stacked by tier or model, and response times with throughput below. */

import { TimeChart, dataTable, legend } from "./charts.js";
import { el } from "./dom.js";
import { bucketLabel, count, countTick, ms, msTick, usd, usdTick } from "./format.js";
import { shade, total } from "./series.js";

/** @typedef {import("./types.js").CostSeries} CostSeries */
/** @typedef {import("./types.js").LatencySeries} LatencySeries */
/** @typedef {import("./charts.js").Series} Series */
/** @typedef {import("./charts.js").Data} Data */
/** @typedef {{zone: string, onZoom: (fromUs: number, toUs: number) => void, onReset: () => void}} Context */
/** @typedef {{fromUs: number, toUs: number}} Window */

const NAMED_TIERS = ["cheap", "standard", "premium"];
const FURTHER_TIERS = ["var(--tier-4)", "var(--tier-5)", "var(--tier-6)"];

/** @param {string} tier @param {string[]} all every tier in the chart, so that further ones keep their hue */
function tierColor(tier, all) {
  if (NAMED_TIERS.includes(tier)) return `var(--tier-${tier})`;
  if (tier === "unknown" || tier === "other") return "var(--tier-unknown)";
  const further = all.filter((name) => !NAMED_TIERS.includes(name) && name !== "unknown");
  return FURTHER_TIERS[further.indexOf(tier) % FURTHER_TIERS.length] ?? "var(--tier-unknown)";
}

/** @param {CostSeries} cost @returns {Series[]} bottom first */
export function tierSeries(cost) {
  const tiers = Object.keys(cost.series);
  return tiers.filter((tier) => tier !== "unknown" || total(cost.series[tier] ?? []) > 0)
    .map((tier) => ({ key: tier, label: tier, color: tierColor(tier, tiers), values: cost.series[tier] ?? [], hatched: tier === "unknown", swatch: tier === "unknown" ? "mark-hatched" : "" }));
}

/**
 * Models wear their tier's hue in steps, so that the colour keeps its meaning.
 * @param {CostSeries} cost @param {Map<string, string | null>} tierOf
 * @returns {Series[]}
 */
export function modelSeries(cost, tierOf) {
  const models = Object.keys(cost.series);
  const hue = (/** @type {string} */ model) => (model === "other" ? "unknown" : (tierOf.get(model) ?? "unknown"));
  const tiers = [...new Set(models.map(hue))];
  return models.map((model) => {
    const tier = hue(model);
    const kin = models.filter((other) => hue(other) === tier);
    return { key: model, label: model, color: `color-mix(in oklab, ${tierColor(tier, tiers)} ${shade(kin.indexOf(model), kin.length)}%, var(--surface))`, values: cost.series[model] ?? [], hatched: model === "other", swatch: model === "other" ? "mark-hatched" : "" };
  });
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
export const DURATIONS = [1, 2, 5, 10, 20, 50, 100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 20 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE,
  10 * MINUTE, 20 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 5 * HOUR, 10 * HOUR, 24 * HOUR, 48 * HOUR, 120 * HOUR];
export const LOG_DURATIONS = [1, 3, 10, 30, 100, 300, SECOND, 3 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 3 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 10 * HOUR];
const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** Parts of a chart panel. @param {Element} panel */
function parts(panel) {
  const find = (/** @type {string} */ name) => /** @type {HTMLElement} */ (panel.querySelector(`[data-${name}]`));
  return { plot: find("plot"), legend: find("legend"), note: find("note"), tableButton: find("table") };
}

/** What chart panels share: cursor note, table toggle. */
export class Panel {
  /** @param {Element} panel @param {Context} context */
  constructor(panel, context) {
    this.panel = panel;
    this.context = context;
    this.parts = parts(panel);
    this.parts.plot.replaceChildren();
    /** @type {HTMLElement | null} */
    this.frame = null;
    this.parts.tableButton.addEventListener("click", () => this.toggleTable());
  }

  /** @param {Data} data @param {number | null} index */
  note(data, index) {
    const start = index === null ? undefined : data.starts[index];
    this.parts.note.textContent = start === undefined ? "" : bucketLabel(start, data.bucketUs, this.context.zone);
  }

  toggleTable() {
    const shown = this.frame !== null;
    this.frame?.remove();
    this.frame = null;
    this.parts.tableButton.setAttribute("aria-pressed", String(!shown));
    this.parts.plot.hidden = !shown;
    this.parts.legend.hidden = !shown;
    if (!shown) this.showTable();
  }

  showTable() {
    const frame = el("div", { class: "table-frame chart-table", tabindex: "0", role: "region", "aria-label": "The chart's data", "data-key": "chart-table" }, this.table());
    if (this.frame) this.frame.replaceWith(frame);
    else this.panel.append(frame);
    this.frame = frame;
  }

  /** @returns {Node} */
  table() {
    return el("table");
  }

  /** @param {string} label @param {Partial<import("./charts.js").Spec>} more @returns {import("./charts.js").Spec} */
  spec(label, more) {
    return { kind: "lines", label, format: ms, tick: msTick, zone: this.context.zone, onZoom: this.context.onZoom, onReset: this.context.onReset, ...more };
  }
}

export class SpendPanel extends Panel {
  /** @param {Element} panel @param {Context} context */
  constructor(panel, context) {
    super(panel, context);
    this.split = "tier";
    /** @type {TimeChart | null} */
    this.chart = null;
    /** @type {(index: number | null) => void} */
    this.read = () => {};
    for (const button of panel.querySelectorAll("[data-split]")) button.addEventListener("click", () => this.choose(button.getAttribute("data-split") ?? "tier"));
  }

  /** @param {string} split */
  choose(split) {
    this.split = split;
    for (const button of this.panel.querySelectorAll("[data-split]")) button.setAttribute("aria-pressed", String(button.getAttribute("data-split") === split));
    this.chart?.hidden.clear();
    this.render();
  }

  /** @param {CostSeries} byTier @param {CostSeries} byModel @param {Map<string, string | null>} tierOf @param {Window} window */
  show(byTier, byModel, tierOf, window) {
    this.source = { byTier, byModel, tierOf, window };
    this.render();
  }

  /** @returns {Data} */
  data() {
    const { byTier, byModel, tierOf, window } = /** @type {NonNullable<typeof this.source>} */ (this.source);
    const cost = this.split === "model" ? byModel : byTier;
    return { bucketUs: cost.bucket_us, starts: cost.starts, ...window, series: this.split === "model" ? modelSeries(cost, tierOf) : tierSeries(cost) };
  }

  render() {
    if (!this.source) return;
    const data = this.data();
    if (this.chart) this.chart.update(data);
    else this.chart = new TimeChart(this.parts.plot, this.spec("Spend over time", { kind: "stack", format: usd, tick: usdTick, onCursor: (index) => this.onCursor(index) }), data);
    const chart = this.chart;
    this.read = legend(this.parts.legend, data.series, (item, index) => usd(index === null ? total(item.values) : item.values[index]), {
      hidden: chart.hidden, onToggle: (key, alone) => { chart.toggle(key, alone); this.render(); } });
    chart.setNone(data.series.some((item) => total(item.values) > 0) ? null : "Nothing was spent in this range");
    if (this.frame) this.showTable();
  }

  /** @param {number | null} index */
  onCursor(index) {
    this.read(index);
    if (this.chart) this.note(this.chart.data, index);
  }

  /** @param {Window} window */
  slide(window) {
    this.chart?.slide(window.fromUs, window.toUs);
  }

  redraw() {
    this.chart?.redraw();
  }

  /** @override */
  table() {
    const data = this.data();
    return dataTable(data, [...data.series].reverse().map((item) => ({ label: item.label, values: item.values, format: usd })), this.context.zone);
  }
}

const LATENCY = /** @type {const} */ ([
  { key: "p50_ms", label: "p50", color: "var(--chart-p50)", width: 1.5 },
  { key: "p95_ms", label: "p95", color: "var(--chart-p95)", width: 1.75 },
  { key: "p99_ms", label: "p99", color: "var(--chart-p99)", width: 1.25, dash: [3, 3] },
]);

export class LatencyPanel extends Panel {
  /** @param {Element} panel @param {Context} context @param {{label: string, none: string}} [words] what is timed, and what an empty range says */
  constructor(panel, context, words = { label: "Response time of model calls", none: "No call to a model in this range" }) {
    super(panel, context);
    this.words = words;
    this.log = stored("ralex.latency") === "log";
    /** @type {TimeChart | null} */
    this.times = null;
    /** @type {TimeChart | null} */
    this.volume = null;
    /** @type {(index: number | null) => void} */
    this.read = () => {};
    /** @type {LatencySeries | null} */
    this.source = null;
    /** @type {Window} */
    this.window = { fromUs: 0, toUs: 1 };
    /** @type {Record<string, number | null>} */
    this.whole = {};
    for (const button of panel.querySelectorAll("[data-axis]")) button.addEventListener("click", () => this.setLog(button.getAttribute("data-axis") === "log"));
    this.showAxis();
  }

  /** @param {boolean} log */
  setLog(log) {
    this.log = log;
    try {
      localStorage.setItem("ralex.latency", log ? "log" : "linear");
    } catch {
      // storage may be forbidden; the choice then lasts for this page
    }
    this.showAxis();
    this.times?.setLog(log);
  }

  showAxis() {
    for (const button of this.panel.querySelectorAll("[data-axis]")) button.setAttribute("aria-pressed", String((button.getAttribute("data-axis") === "log") === this.log));
  }

  /** @param {LatencySeries} source @param {Record<string, number | null>} whole percentiles of the whole range @param {Window} window */
  show(source, whole, window) {
    this.source = source;
    this.whole = whole;
    this.window = window;
    if (!this.times || !this.volume) this.build();
    else {
      this.times.update(this.timesData());
      this.volume.update(this.volumeData());
    }
    const times = /** @type {TimeChart} */ (this.times);
    const counts = this.counts();
    this.read = legend(this.parts.legend, [...this.timesData().series, ...counts], (item, index) => this.readout(item, index), {
      hidden: times.hidden, onToggle: (key, alone) => this.toggle(key, alone) });
    times.setNone(source.p95_ms.some((value) => value !== null) ? null : this.words.none);
    if (this.frame) this.showTable();
  }

  build() {
    const upper = el("div", { class: "chart-upper" });
    const lower = el("div", { class: "chart-lower" });
    this.parts.plot.append(upper, lower);
    this.times = new TimeChart(upper, this.spec(this.words.label, { log: this.log, steps: DURATIONS, logSteps: LOG_DURATIONS, hideTime: true, onCursor: (index) => this.onCursor(index),
      tooltipExtra: () => this.counts(), formatExtra: (_, value) => count(value) }), this.timesData());
    this.volume = new TimeChart(lower, this.spec("Operations per interval", { kind: "stack", format: count, tick: countTick, steps: WHOLE, dense: true }), this.volumeData());
  }

  /** @param {string} key @param {boolean} alone */
  toggle(key, alone) {
    if (!this.times || !this.source) return;
    if (!LATENCY.some((item) => item.key === key)) return;
    this.times.toggle(key, alone);
    this.show(this.source, this.whole, this.window);
  }

  /** @param {Series} item @param {number | null} index */
  readout(item, index) {
    const latency = LATENCY.some((known) => known.key === item.key);
    if (latency) return ms(index === null ? this.whole[item.key] : item.values[index]);
    return count(index === null ? total(item.values) : item.values[index]);
  }

  /** Totals as the legend and the box tell them. @returns {Series[]} */
  counts() {
    const source = this.source;
    if (!source) return [];
    return [
      { key: "operations", label: "operations", color: "var(--chart-volume)", values: source.operations },
      { key: "errors", label: "errors", color: "var(--bad)", values: source.errors },
    ];
  }

  /** @returns {Data} */
  timesData() {
    const source = /** @type {LatencySeries} */ (this.source);
    return { bucketUs: source.bucket_us, starts: source.starts, ...this.window, series: LATENCY.map((item) => ({ ...item, dash: "dash" in item ? [...item.dash] : undefined, values: source[item.key] })).map(clean) };
  }

  /** @returns {Data} errors at the bottom, what went well on top */
  volumeData() {
    const source = /** @type {LatencySeries} */ (this.source);
    return { bucketUs: source.bucket_us, starts: source.starts, ...this.window, series: [
      { key: "errors", label: "errors", color: "var(--bad)", values: source.errors },
      { key: "fine", label: "without error", color: "var(--chart-volume)", values: source.operations.map((all, place) => all - (source.errors[place] ?? 0)) },
    ] };
  }

  /** @param {number | null} index */
  onCursor(index) {
    this.read(index);
    if (this.times) this.note(this.times.data, index);
  }

  /** @param {Window} window */
  slide(window) {
    this.window = window;
    this.times?.slide(window.fromUs, window.toUs);
    this.volume?.slide(window.fromUs, window.toUs);
  }

  redraw() {
    this.times?.redraw();
    this.volume?.redraw();
  }

  /** @override */
  table() {
    const source = /** @type {LatencySeries} */ (this.source);
    const percentiles = LATENCY.map((item) => ({ label: item.label, values: source[item.key], format: ms }));
    return dataTable(this.timesData(), [...percentiles, { label: "Operations", values: source.operations, format: count }, { label: "Errors", values: source.errors, format: count }], this.context.zone);
  }
}

/** @param {Omit<Series, "dash"> & {dash: number[] | undefined}} item @returns {Series} */
function clean({ dash, ...rest }) {
  return dash ? { ...rest, dash } : rest;
}

/** @param {string} name */
function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
