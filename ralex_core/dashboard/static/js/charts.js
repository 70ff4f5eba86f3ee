/**
 * Time charts on uPlot: one cursor across all charts of a page, drag to zoom, double click to go back, a legend that
 * switches series and reads values, a keyboard cursor, and the same data as a table.
 */

import { logRange, logSplits, timeTick } from "./axes.js";
import { el, paint, setText } from "./dom.js";
import { bucketLabel, fixedZone } from "./format.js";
import { isolated, stack } from "./series.js";

/** @typedef {import("uplot")} Plot */
/** @typedef {import("uplot").Options} Options */

/**
 * @typedef {object} Series
 * @property {string} key
 * @property {string} label
 * @property {string} color a CSS colour that may use the tokens: `var(--tier-cheap)`
 * @property {(number | null)[]} values
 * @property {string} [swatch] class of the legend's mark
 * @property {number} [width] of a line
 * @property {number[]} [dash]
 * @property {boolean} [hatched] unknown is drawn with a pattern, not with a colour alone
 *
 * @typedef {object} Data
 * @property {number} bucketUs
 * @property {number[]} starts
 * @property {number} fromUs
 * @property {number} toUs
 * @property {Series[]} series for a stack: bottom first
 *
 * @typedef {object} Spec
 * @property {"stack" | "lines"} kind
 * @property {string} label what a screen reader is told
 * @property {(value: number | null | undefined) => string} format exact values
 * @property {(value: number, step: number) => string} tick
 * @property {boolean} [log]
 * @property {number} [top] where the axis ends, for shares of a whole; without it, above the highest value
 * @property {number[]} [steps] between ticks, where round numbers are not the round ones
 * @property {number[]} [logSteps] the values a logarithmic axis names
 * @property {boolean} [dense] little height: ticks may stand close
 * @property {boolean} [hideTime] no time axis: the chart below has it
 * @property {(fromUs: number, toUs: number) => void} onZoom
 * @property {() => void} onReset
 * @property {(index: number | null) => void} [onCursor]
 * @property {() => Series[]} [tooltipExtra] series of a chart below that belong to the same moment
 * @property {(key: string, value: number | null | undefined) => string} [formatExtra]
 * @property {string} zone
 */

const uPlot = /** @type {typeof import("uplot")} */ (/** @type {any} */ (globalThis).uPlot);
const AXIS_WIDTH = 50;
const GROUP = "page";
const FONT = '11px -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, Cantarell, Ubuntu, "Noto Sans", "Helvetica Neue", Arial, sans-serif';

export class TimeChart {
  /** @param {HTMLElement} host @param {Spec} spec @param {Data} data */
  constructor(host, spec, data) {
    this.host = host;
    this.spec = spec;
    this.data = data;
    /** @type {Set<string>} */
    this.hidden = new Set();
    this.tip = el("div", { class: "tip", hidden: true });
    this.none = el("p", { class: "chart-none", hidden: true });
    host.tabIndex = 0;
    host.setAttribute("role", "img");
    host.addEventListener("keydown", (event) => this.onKey(event));
    host.addEventListener("blur", () => this.leave());
    this.plot = this.draw();
    new ResizeObserver(() => this.resize()).observe(host);
  }

  /** Bottom first for a stack; what uPlot draws is the other way round, so that lower parts cover higher sums. */
  get drawn() {
    return this.spec.kind === "stack" ? [...this.data.series].reverse() : this.data.series;
  }

  /** @returns {import("uplot").AlignedData} */
  aligned() {
    const { starts, bucketUs, series } = this.data;
    const x = starts.map((start) => (start + bucketUs / 2) / 1e6);
    if (this.spec.kind !== "stack") return /** @type {any} */ ([x, ...series.map((item) => item.values)]);
    const sums = stack(series.map((item) => item.values.map((value) => value ?? 0)), series.map((item) => !this.hidden.has(item.key)));
    return /** @type {any} */ ([x, ...sums.reverse()]);
  }

  draw() {
    this.plot?.destroy();
    const plot = new uPlot(this.options(), this.aligned(), this.host);
    plot.over.append(this.tip, this.none);
    plot.over.addEventListener("touchmove", (event) => this.touch(/** @type {TouchEvent} */ (event)), { passive: true });
    plot.over.addEventListener("touchstart", (event) => this.touch(/** @type {TouchEvent} */ (event)), { passive: true });
    this.describe();
    return plot;
  }

  /** @param {Data} data draws anew only when the series themselves changed */
  update(data) {
    const same = data.series.length === this.data.series.length && data.series.every((item, place) => item.key === this.data.series[place]?.key);
    this.data = data;
    if (!same) {
      this.plot = this.draw();
      return;
    }
    this.plot.setData(this.aligned(), false);
    this.applySpan();
    this.describe();
    if (this.plot.cursor.idx != null && (this.plot.cursor.left ?? -1) >= 0) this.showTip();
  }

  /** Moves the window without new data. @param {number} fromUs @param {number} toUs */
  slide(fromUs, toUs) {
    this.data = { ...this.data, fromUs, toUs };
    this.applySpan();
  }

  /** The window in seconds, widened to whole buckets at its ends: half a bar would not count in the scale. @returns {[number, number]} */
  span() {
    const { fromUs, toUs, bucketUs, starts } = this.data;
    const first = starts.find((start) => start > fromUs - bucketUs) ?? fromUs;
    const last = (starts.at(-1) ?? toUs) + bucketUs;
    return [Math.min(fromUs, first) / 1e6, (last < toUs + bucketUs ? Math.max(toUs, last) : toUs) / 1e6];
  }

  applySpan() {
    const [min, max] = this.span();
    this.plot.setScale("x", { min, max });
  }

  /** @param {boolean} log */
  setLog(log) {
    this.spec = { ...this.spec, log };
    this.plot = this.draw();
  }

  redraw() {
    this.plot.redraw(false, true);
  }

  /** @param {string} key @param {boolean} alone show only this one, or all again */
  toggle(key, alone) {
    const keys = this.data.series.map((item) => item.key);
    if (alone) {
      const others = keys.filter((item) => item !== key);
      const isAlone = others.every((item) => this.hidden.has(item));
      this.hidden = new Set(isAlone ? [] : others);
    } else if (!this.hidden.delete(key)) this.hidden.add(key);
    this.drawn.forEach((item, place) => this.plot.setSeries(place + 1, { show: !this.hidden.has(item.key) }));
    this.plot.setData(this.aligned(), false);
    this.plot.redraw(true, true);
  }

  /** @returns {Options} */
  options() {
    const { spec } = this;
    const line = () => paint("var(--chart-grid)");
    const ink = () => paint("var(--text-3)");
    return {
      width: Math.max(120, this.host.clientWidth),
      height: Math.max(60, this.host.clientHeight),
      padding: [8, 16, spec.hideTime ? 6 : 0, 0],
      legend: { show: false },
      tzDate: (seconds) => zoneDate(seconds, spec.zone),
      scales: {
        x: { time: true, range: () => this.span() },
        y: spec.log ? { distr: 3, log: 10, range: (_, low, high) => logRange(low, high) } : { range: (_, _low, high) => [0, spec.top ?? (high > 0 ? high * 1.06 : 1)] },
      },
      axes: [
        { show: !spec.hideTime, stroke: ink, font: FONT, size: 26, gap: 6, space: 64, grid: { show: false }, ticks: { show: false },
          values: (_, splits, _axis, _space, step) => splits.map((value) => timeTick(value, step, spec.zone)) },
        { stroke: ink, font: FONT, size: AXIS_WIDTH, gap: 6, space: spec.dense ? 18 : 34, ...this.splitting(), grid: { stroke: line, width: 1 }, ticks: { show: false },
          values: (_, splits, _axis, _space, step) => splits.map((value) => (this.isEmpty() && value !== 0 ? "" : spec.tick(value, spec.log ? value : step))) },
      ],
      series: [{}, ...this.drawn.map((item) => this.seriesOptions(item))],
      ...(spec.kind === "lines" && this.data.series.length > 1 ? { bands: [{ series: /** @type {[number, number]} */ ([this.data.series.length, 1]), fill: () => paint("var(--chart-band)") }] } : {}),
      cursor: {
        y: false,
        points: { show: spec.kind === "lines", size: 7, width: 1.5, fill: () => paint("var(--surface)"),
          stroke: (_, place) => paint(this.drawn[place - 1]?.color ?? "") },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        sync: { key: GROUP, setSeries: false, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" || type === "mouseenter", sub: () => true } },
        bind: { dblclick: () => () => { spec.onReset(); return null; } },
      },
      hooks: {
        setCursor: [() => this.onCursor()],
        setSelect: [(plot) => this.onSelect(plot)],
      },
    };
  }

  /** Where the vertical axis is named. @returns {Partial<import("uplot").Axis>} */
  splitting() {
    const { log, logSteps, steps } = this.spec;
    if (log && logSteps) return { splits: (_, _axis, low, high) => logSplits(logSteps, low, high), filter: (_, splits) => splits };
    return steps ? { incrs: steps } : {};
  }

  /** @param {Series} item @returns {import("uplot").Series} */
  seriesOptions(item) {
    const shared = { label: item.label, show: !this.hidden.has(item.key) };
    if (this.spec.kind === "lines") {
      return { ...shared, stroke: () => paint(item.color), width: item.width ?? 1.5, spanGaps: false, ...(item.dash ? { dash: item.dash } : {}),
        points: { show: true, size: 4, width: 0, fill: () => paint(item.color), filter: (_plot, _place, show) => (show ? isolated(this.data.series.find((other) => other.key === item.key)?.values ?? []) : isolated(item.values)) } };
    }
    return { ...shared, width: 0, fill: () => (item.hatched ? hatch(paint(item.color)) : paint(item.color)), points: { show: false },
      paths: /** @type {any} */ (uPlot.paths.bars)({ size: [0.82, 28, 1], align: 0 }) };
  }

  onCursor() {
    const { idx, left } = this.plot?.cursor ?? {};
    const inside = idx != null && (left ?? -1) >= 0 && idx < this.data.starts.length;
    this.spec.onCursor?.(inside ? /** @type {number} */ (idx) : null);
    if (inside && this.isOwnCursor()) this.showTip();
    else this.tip.hidden = true;
  }

  /** Only the chart under the pointer (or with the keyboard's cursor) shows the box; the others read in their legends. */
  isOwnCursor() {
    return this.host.matches(":hover") || (document.activeElement === this.host && !document.querySelector(".chart :hover"));
  }

  showTip() {
    const { idx, left } = this.plot.cursor;
    const start = this.data.starts[idx ?? -1];
    if (idx == null || start === undefined) return;
    const shown = this.data.series.filter((item) => !this.hidden.has(item.key));
    const listed = this.spec.kind === "stack" ? [...shown].reverse() : shown;
    const rows = listed.filter((item) => this.spec.kind !== "stack" || (item.values[idx] ?? 0) > 0 || shown.length <= 4)
      .map((item) => tipRow(item, this.spec.format(item.values[idx])));
    if (this.spec.kind === "stack" && shown.length > 1)
      rows.push(el("p", { class: "tip-row tip-total" }, el("span", {}, "Total"), el("b", {}, this.spec.format(shown.reduce((sum, item) => sum + (item.values[idx] ?? 0), 0)))));
    for (const item of this.spec.tooltipExtra?.() ?? []) rows.push(tipRow(item, this.spec.formatExtra?.(item.key, item.values[idx]) ?? ""));
    this.tip.replaceChildren(el("p", { class: "tip-time" }, bucketLabel(start, this.data.bucketUs, this.spec.zone)), ...rows);
    this.tip.hidden = false;
    const room = this.plot.over.clientWidth;
    const wide = this.tip.offsetWidth;
    const x = left ?? 0;
    this.tip.style.left = `${x + 14 + wide > room ? Math.max(-AXIS_WIDTH, x - wide - 14) : x + 14}px`;
  }

  /** @param {Plot} plot */
  onSelect(plot) {
    const { left, width } = plot.select;
    if (width < 6) return;
    const from = plot.posToVal(left, "x") * 1e6;
    const to = plot.posToVal(left + width, "x") * 1e6;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.spec.onZoom(from, to);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const last = this.data.starts.length - 1;
    const at = this.plot.cursor.idx ?? last;
    const step = event.shiftKey ? 10 : 1;
    const wanted = { ArrowLeft: at - step, ArrowRight: at + step, Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.leave();
    if (wanted === undefined || last < 0) return;
    event.preventDefault();
    const place = Math.min(last, Math.max(0, wanted));
    const left = this.plot.valToPos((this.plot.data[0][place] ?? 0), "x");
    this.moveCursor(left, 10);
    this.host.setAttribute("aria-description", this.tip.textContent ?? "");
  }

  /** @param {TouchEvent} event */
  touch(event) {
    const finger = event.touches[0];
    if (!finger) return;
    const box = this.plot.over.getBoundingClientRect();
    this.moveCursor(finger.clientX - box.left, finger.clientY - box.top);
    this.showTip();
  }

  leave() {
    this.moveCursor(-10, -10);
  }

  /** Moves the cursor here and, by the last argument (which uPlot's types leave out), in the other charts. @param {number} left @param {number} top */
  moveCursor(left, top) {
    /** @type {(at: {left: number, top: number}, fire: boolean, publish: boolean) => void} */ (this.plot.setCursor)({ left, top }, true, true);
  }

  resize() {
    const width = this.host.clientWidth;
    const height = this.host.clientHeight;
    if (width > 0 && height > 0 && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  describe() {
    this.host.setAttribute("aria-label", `${this.spec.label}. Arrow keys read values; the table button shows all.`);
  }

  /** Without a value above 0, the scale means nothing. */
  isEmpty() {
    return !this.data.series.some((item) => item.values.some((value) => value));
  }

  /** Says why a chart is empty. @param {string | null} text */
  setNone(text) {
    this.none.hidden = text === null;
    setText(this.none, text ?? "");
  }
}

/** @param {Series} item @param {string} text */
function tipRow(item, text) {
  return el("p", { class: "tip-row" }, mark(item), el("span", {}, item.label), el("b", {}, text));
}

/** The mark of a series in legend and box; its colour is set through the style object, which the page's policy allows. @param {Series} item */
export function mark(item) {
  const node = el("i", { class: `mark ${item.swatch ?? ""}` });
  node.style.setProperty("--mark", item.color);
  return node;
}

/**
 * A legend of buttons that read values under the cursor, or the whole range without one.
 * @param {HTMLElement} host @param {Series[]} series
 * @param {(item: Series, index: number | null) => string} read
 * @param {{hidden: Set<string>, onToggle: (key: string, alone: boolean) => void}} control
 * @returns {(index: number | null) => void} call it when the cursor moves
 */
export function legend(host, series, read, control) {
  const entries = series.map((item) => {
    const value = el("b", { class: "legend-value" }, read(item, null));
    const button = el("button", {
      type: "button", class: "legend-item", "aria-pressed": String(!control.hidden.has(item.key)), title: `${item.label}: click to hide or show, Shift and click for this one alone`,
      onclick: (event) => control.onToggle(item.key, /** @type {MouseEvent} */ (event).shiftKey),
    }, mark(item), el("span", { class: "legend-label" }, item.label), value);
    return { item, value, button };
  });
  host.replaceChildren(...entries.map((entry) => entry.button));
  return (index) => entries.forEach(({ item, value }) => setText(value, read(item, index)));
}

/**
 * The chart's data as a table, newest first.
 * @param {Data} data @param {{label: string, values: (number | null)[], format: (value: number | null | undefined) => string}[]} columns @param {string} zone
 */
export function dataTable(data, columns, zone) {
  const head = el("tr", {}, el("th", { scope: "col" }, "Time"), ...columns.map((column) => el("th", { scope: "col", class: "number" }, column.label)));
  const rows = data.starts.map((start, place) => ({ start, place })).reverse()
    .filter(({ place }) => columns.some((column) => column.values[place]))
    .map(({ start, place }) => el("tr", {}, el("th", { scope: "row" }, bucketLabel(start, data.bucketUs, zone)),
      ...columns.map((column) => el("td", { class: "number" }, column.format(column.values[place])))));
  return el("table", { class: "table" }, el("thead", {}, head), el("tbody", {}, ...rows));
}

/** @param {number} seconds @param {string} zone */
function zoneDate(seconds, zone) {
  const known = fixedZone(zone);
  const date = new Date(seconds * 1000 + known.shiftMs);
  try {
    return uPlot.tzDate(date, known.zone);
  } catch {
    return date; // a zone the browser does not know: its own is the next best
  }
}

/** @param {string} color */
function hatch(color) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  if (!pen) return color;
  pen.strokeStyle = color;
  pen.lineWidth = 2;
  pen.beginPath();
  for (const shift of [-6, 0, 6]) {
    pen.moveTo(shift, 6);
    pen.lineTo(shift + 6, 0);
  }
  pen.stroke();
  return pen.createPattern(tile, "repeat") ?? color;
}
