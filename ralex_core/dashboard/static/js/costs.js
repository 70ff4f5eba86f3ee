/** The costs page: spend by tier, and unit economics over time. */

import { TimeChart, dataTable, legend } from "./charts.js";
import { count, percent, ratio, usd, usdTick } from "./format.js";
import { Panel, tierSeries } from "./overview_charts.js";
import { total } from "./series.js";
import { current, visit } from "./shell.js";
import { reset, zoom } from "./zoom.js";

/** @typedef {import("./charts.js").Series} Series */
/** @typedef {import("./charts.js").Data} Data */
/** @typedef {import("./charts.js").Spec} Spec */
/** @typedef {import("./types.js").CostSeries} CostSeries */

/**
 * @typedef {object} Units
 * @property {number} bucket_us
 * @property {number[]} starts
 * @property {number[]} calls
 * @property {(number | null)[]} cost_per_call_usd
 * @property {(number | null)[]} cost_per_success_usd
 * @property {(number | null)[]} efficiency_ratio
 * @property {(number | null)[]} coverage_ratio
 *
 * @typedef {"cost" | "efficiency" | "coverage"} Split
 */

const LEAST_REFRESH_S = 30;

/** @returns {{spend: CostSeries, units: Units, whole: Record<string, number | string | null>}} */
function shown() {
  return /** @type {any} */ (current()).costs;
}

/** A figure of the whole range; money comes as a decimal string. @param {string} key @returns {number | null} */
function whole(key) {
  const value = shown().whole[key] ?? null;
  return value === null ? null : Number(value);
}

const context = { zone: current().timezone, onZoom: zoom, onReset: reset };

/** @param {{bucket_us: number, starts: number[]}} line @param {Series[]} series @returns {Data} */
function dataOf(line, series) {
  const last = (line.starts.at(-1) ?? 0) + line.bucket_us;
  return { bucketUs: line.bucket_us, starts: line.starts, fromUs: line.starts[0] ?? 0, toUs: Math.min(last, current().range?.end_us ?? last), series };
}

class Spend extends Panel {
  /** @param {Element} panel */
  constructor(panel) {
    super(panel, context);
    /** @type {TimeChart | null} */
    this.chart = null;
    /** @type {(index: number | null) => void} */
    this.read = () => {};
  }

  /** @returns {Data} */
  data() {
    return dataOf(shown().spend, tierSeries(shown().spend));
  }

  draw() {
    const data = this.data();
    if (this.chart) this.chart.update(data);
    else this.chart = new TimeChart(this.parts.plot, this.spec("Spend by tier", { kind: "stack", format: usd, tick: usdTick, onCursor: (index) => this.onCursor(index) }), data);
    const chart = this.chart;
    this.read = legend(this.parts.legend, data.series, (item, index) => usd(index === null ? total(item.values) : item.values[index]), {
      hidden: chart.hidden, onToggle: (key, alone) => { chart.toggle(key, alone); this.draw(); } });
    chart.setNone(data.series.some((item) => total(item.values) > 0) ? null : "Nothing was spent in this range");
    if (this.frame) this.showTable();
  }

  /** @param {number | null} index */
  onCursor(index) {
    this.read(index);
    if (this.chart) this.note(this.chart.data, index);
  }

  /** @override */
  table() {
    const data = this.data();
    return dataTable(data, [...data.series].reverse().map((item) => ({ label: item.label, values: item.values, format: usd })), context.zone);
  }
}

/** @type {Record<Split, {label: string, format: Spec["format"], tick: Spec["tick"], top?: number, series: (units: Units) => Series[]}>} */
const SPLITS = {
  cost: { label: "Cost per call and per success", format: usd, tick: usdTick, series: (units) => [
    { key: "success", label: "per success", color: "var(--chart-p95)", width: 1.75, values: units.cost_per_success_usd },
    { key: "call", label: "per call", color: "var(--chart-p50)", width: 1.5, values: units.cost_per_call_usd },
  ] },
  efficiency: { label: "Baseline cost of successful work per dollar spent", format: ratio, tick: (value) => `${Number(value.toPrecision(6))}×`, series: (units) => [
    { key: "efficiency", label: "efficiency ratio", color: "var(--chart-p95)", width: 1.75, values: units.efficiency_ratio },
  ] },
  coverage: { label: "Calls of known cost", format: percent, tick: (value) => `${Math.round(value * 100)} %`, top: 1, series: (units) => [
    { key: "coverage", label: "coverage", color: "var(--chart-p95)", width: 1.75, values: units.coverage_ratio },
  ] },
};

class UnitEconomics extends Panel {
  /** @param {Element} panel */
  constructor(panel) {
    super(panel, context);
    /** @type {Split} */
    this.split = "cost";
    /** @type {TimeChart | null} */
    this.chart = null;
    /** @type {(index: number | null) => void} */
    this.read = () => {};
    panel.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("[data-split]") : null;
      if (button) this.choose(/** @type {Split} */ (button.getAttribute("data-split")));
    });
  }

  /** @param {Split} split */
  choose(split) {
    if (split === this.split) return;
    this.split = split;
    this.chart?.plot.destroy();
    this.chart = null;
    this.parts.plot.replaceChildren();
    this.draw();
  }

  draw() {
    for (const button of this.panel.querySelectorAll("[data-split]")) button.setAttribute("aria-pressed", String(button.getAttribute("data-split") === this.split));
    const units = shown().units;
    const { label, format, tick, top, series } = SPLITS[this.split];
    const data = dataOf(units, series(units));
    const calls = () => [{ key: "calls", label: "calls", color: "var(--chart-volume)", values: shown().units.calls }];
    if (this.chart) this.chart.update(data);
    else this.chart = new TimeChart(this.parts.plot, this.spec(label, { format, tick, ...(top ? { top } : {}), onCursor: (index) => this.onCursor(index), tooltipExtra: calls, formatExtra: (_, value) => count(value) }), data);
    const chart = this.chart;
    this.read = legend(this.parts.legend, data.series, (item, index) => format(index === null ? whole(item.key) : item.values[index]), {
      hidden: chart.hidden, onToggle: (key, alone) => { chart.toggle(key, alone); this.draw(); } });
    chart.setNone(data.series.some((item) => item.values.some((value) => value !== null)) ? null : "Nothing of this is known in this range");
    if (this.frame) this.showTable();
  }

  /** @param {number | null} index */
  onCursor(index) {
    this.read(index);
    if (this.chart) this.note(this.chart.data, index);
  }

  /** @override */
  table() {
    const units = shown().units;
    return dataTable(dataOf(units, []), [
      { label: "Per success", values: units.cost_per_success_usd, format: usd },
      { label: "Per call", values: units.cost_per_call_usd, format: usd },
      { label: "Efficiency", values: units.efficiency_ratio, format: ratio },
      { label: "Coverage", values: units.coverage_ratio, format: percent },
      { label: "Calls", values: units.calls, format: count },
    ], context.zone);
  }
}

/** @type {Spend | null} */
let spend = null;
/** @type {UnitEconomics | null} */
let units = null;

function draw() {
  const above = document.querySelector('[data-chart="spend"]');
  const beside = document.querySelector('[data-chart="units"]');
  if (!above || !beside) {
    spend = units = null;
    return;
  }
  if (spend?.panel !== above) spend = new Spend(above);
  if (units?.panel !== beside) units = new UnitEconomics(beside);
  spend.draw();
  units.draw();
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let refreshing;

function schedule() {
  clearInterval(refreshing);
  const boot = current();
  if (boot.range?.key === "custom") return;
  const seconds = Math.max(LEAST_REFRESH_S, boot.refresh_s ?? 0);
  // a form that is being filled in must not be replaced
  refreshing = setInterval(() => !document.hidden && document.activeElement?.id !== "baseline" && void visit(location.href, { push: false, quiet: true }), seconds * 1000);
}

document.addEventListener("ralex:view", () => {
  draw();
  schedule();
});

document.documentElement.addEventListener("ralex:theme", () => {
  spend?.chart?.redraw();
  units?.chart?.redraw();
});

draw();
schedule();
