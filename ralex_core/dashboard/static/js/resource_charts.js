/** The charts of the page of resources: lines of one kind per panel, all on the same cursor. */

import { TimeChart, dataTable, legend } from "./charts.js";
import { bytes, count, countTick, percent, UNKNOWN } from "./format.js";
import { Panel } from "./overview_charts.js";

/** @typedef {import("./charts.js").Series} Series */
/** @typedef {import("./charts.js").Data} Data */
/** @typedef {(number | null)[]} Values */
/** @typedef {{key: string, label: string, color: string, width?: number, dash?: number[]}} Line */
/** @typedef {(value: number | null | undefined) => string} Format */
/** @typedef {{label: string, lines: Line[], format: Format, tick: (value: number, step: number) => string, steps?: number[], top?: number, every?: boolean}} Kind lines that show nothing are left out, unless `every` is wanted */

const INK = "var(--chart-p95)";
const SOFT = "var(--chart-p50)";
const FAINT = "var(--chart-p99)";
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** A share of a whole is drawn against the whole: a little above, so that 100 % is seen. */
const WHOLE_SHARE = 1.04;
const SEEN = 0.02;

/** @param {number} value */
function percentTick(value) {
  return `${Math.round(value * 1000) / 10} %`;
}

/** @param {number} value */
function byteTick(value) {
  return value === 0 ? "0" : bytes(value).replace(/\.0+ /, " ").replace(/(\.\d*?)0+ /, "$1 ");
}

/** @type {Format} */
function perSecond(value) {
  return value === null || value === undefined ? UNKNOWN : `${bytes(value)}/s`;
}

/** @type {Format} */
function decimal(value) {
  return value === null || value === undefined ? UNKNOWN : value.toFixed(2);
}

/** @type {Record<string, Kind>} */
export const KINDS = {
  cpu: { label: "CPU in use, and load", format: percent, tick: percentTick, top: WHOLE_SHARE, lines: [
    { key: "cpu_ratio", label: "all cores", color: INK, width: 1.75 },
    { key: "busiest_core_ratio", label: "busiest core", color: SOFT },
    { key: "iowait_ratio", label: "waiting for disk", color: FAINT, dash: [3, 3] },
    { key: "throttled_ratio", label: "held back by quota", color: "var(--warn)" },
    { key: "steal_ratio", label: "stolen", color: "var(--bad)", dash: [2, 2] },
  ] },
  memory: { label: "Memory and swap in use", format: percent, tick: percentTick, top: WHOLE_SHARE, lines: [
    { key: "memory_used_ratio", label: "memory", color: INK, width: 1.75 },
    { key: "swap_used_ratio", label: "swap", color: FAINT, dash: [3, 3] },
  ] },
  disk: { label: "Use of the disk that holds the data", format: percent, tick: percentTick, top: WHOLE_SHARE, lines: [{ key: "disk_used_ratio", label: "in use", color: INK, width: 1.75 }] },
  disk_io: { label: "Bytes read from and written to disks", format: perSecond, tick: byteTick, lines: [
    { key: "disk_write_bytes_s", label: "written", color: INK },
    { key: "disk_read_bytes_s", label: "read", color: SOFT },
  ] },
  network: { label: "Bytes received from and sent to the network", format: perSecond, tick: byteTick, lines: [
    { key: "net_received_bytes_s", label: "received", color: INK },
    { key: "net_sent_bytes_s", label: "sent", color: SOFT },
  ] },
  open_files: { label: "Open files", format: count, tick: countTick, steps: WHOLE, lines: [
    { key: "open_files", label: "machine", color: INK },
    { key: "process_open_files", label: "monitor", color: SOFT },
  ] },
};

/** The load average has a scale of its own: it is read in the legend and drawn below the CPU. @type {Line} */
const LOAD = { key: "load_1m", label: "load", color: "var(--chart-volume)" };

export class LinesPanel extends Panel {
  /** @param {Element} panel @param {import("./overview_charts.js").Context} context @param {Kind} kind */
  constructor(panel, context, kind) {
    super(panel, context);
    this.kind = kind;
    /** @type {TimeChart | null} */
    this.chart = null;
    /** @type {TimeChart | null} */
    this.below = null;
    /** @type {Data | null} */
    this.data = null;
    /** @type {Values | null} */
    this.load = null;
    /** @type {(index: number | null) => void} */
    this.read = () => {};
  }

  /**
   * @param {{bucket_us: number, starts: number[]}} axis @param {Record<string, Values>} columns @param {{fromUs: number, toUs: number}} window
   * @param {Values | null} [load] drawn below on an axis of its own
   */
  show(axis, columns, window, load = null) {
    const series = this.kind.lines.filter((line, place) => place === 0 || this.kind.every || (columns[line.key] ?? []).some((value) => value !== null && value >= SEEN))
      .map((line) => ({ ...line, values: columns[line.key] ?? [] }));
    this.data = { bucketUs: axis.bucket_us, starts: axis.starts, ...window, series };
    this.load = load;
    if (this.chart) this.chart.update(this.data);
    else this.build(this.data);
    this.below?.update(this.loadData());
    const chart = /** @type {TimeChart} */ (this.chart);
    this.read = legend(this.parts.legend, [...series, ...this.loads()], (item, index) => this.readout(item, index), {
      hidden: chart.hidden, onToggle: (key, alone) => this.toggle(key, alone) });
    chart.setNone(series.some((item) => item.values.some((value) => value !== null)) ? null : "Nothing was read in this range");
    if (this.frame) this.showTable();
  }

  /** @param {Data} data */
  build(data) {
    const more = { format: this.kind.format, tick: this.kind.tick, onCursor: (/** @type {number | null} */ index) => this.onCursor(index), ...(this.kind.steps ? { steps: this.kind.steps } : {}), ...(this.kind.top ? { top: this.kind.top } : {}) };
    if (!this.load) {
      this.chart = new TimeChart(this.parts.plot, this.spec(this.kind.label, more), data);
      return;
    }
    const upper = document.createElement("div");
    const lower = document.createElement("div");
    upper.className = "chart-upper";
    lower.className = "chart-lower";
    this.parts.plot.classList.add("chart-split");
    this.parts.plot.append(upper, lower);
    this.chart = new TimeChart(upper, this.spec(this.kind.label, { ...more, hideTime: true, tooltipExtra: () => this.loads(), formatExtra: (_, value) => decimal(value) }), data);
    this.below = new TimeChart(lower, this.spec("Load average of a minute", { kind: "stack", format: decimal, tick: (value) => String(Math.round(value * 100) / 100), dense: true }), this.loadData());
  }

  /** @returns {Series[]} */
  loads() {
    return this.load ? [{ ...LOAD, values: this.load }] : [];
  }

  /** @returns {Data} */
  loadData() {
    return { .../** @type {Data} */ (this.data), series: this.loads() };
  }

  /** The last known value, or that under the cursor. @param {Series} item @param {number | null} index */
  readout(item, index) {
    const value = index === null ? item.values.findLast((known) => known !== null) : item.values[index];
    return item.key === LOAD.key ? decimal(value) : this.kind.format(value);
  }

  /** @param {string} key @param {boolean} alone */
  toggle(key, alone) {
    if (!this.chart || !this.data || key === LOAD.key) return;
    this.chart.toggle(key, alone);
    this.parts.legend.querySelectorAll("button").forEach((button, place) => button.setAttribute("aria-pressed", String(!this.chart?.hidden.has(this.data?.series[place]?.key ?? ""))));
  }

  /** @param {number | null} index */
  onCursor(index) {
    this.read(index);
    if (this.data) this.note(this.data, index);
  }

  redraw() {
    this.chart?.redraw();
    this.below?.redraw();
  }

  /** @override */
  table() {
    const data = /** @type {Data} */ (this.data);
    const columns = [...data.series, ...this.loads()].map((item) => ({ label: item.label, values: item.values, format: item.key === LOAD.key ? decimal : this.kind.format }));
    return dataTable(data, columns, this.context.zone);
  }
}

/** Colours of GPUs: told apart by lightness, as everything that is no tier and no state. @param {number} place @param {number} all */
export function gpuColor(place, all) {
  return `color-mix(in oklab, ${INK} ${Math.round(100 - (place * 65) / Math.max(1, all))}%, var(--surface))`;
}
