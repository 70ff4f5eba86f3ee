/** How durations are spread over time: bands on a logarithmic axis, darker where more operations are. */

import { timeTick } from "./axes.js";
import { el, paint } from "./dom.js";
import { bucketLabel, count, ms, msTick } from "./format.js";

/**
 * @typedef {object} Heat
 * @property {number} bucket_us
 * @property {number[]} starts
 * @property {number[]} edges_ms
 * @property {number} most
 * @property {[number, number, number][]} cells bucket, band, operations
 */

const LEFT = 50;
const BOTTOM = 26;
const TOP = 8;
const RIGHT = 8;
const FONT = '11px -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, sans-serif';
const NAMED_MS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 60_000, 180_000, 600_000, 1_800_000, 3_600_000];
const STEPS_S = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 172_800, 604_800, 2_592_000, 7_776_000];

/** How dark a cell is, 0.1 to 1: on a logarithmic scale, so that a single slow operation can be seen. @param {number} operations @param {number} most */
export function shadeOf(operations, most) {
  if (most <= 1) return 1;
  return 0.1 + 0.9 * (Math.log(operations) / Math.log(most));
}

/** Where a duration lies between the lowest and the highest edge, 0 to 1. @param {number} value @param {number[]} edges ascending, at least two */
export function heightOf(value, edges) {
  const low = Math.log(edges[0] ?? 1);
  const high = Math.log(edges.at(-1) ?? 1);
  return high > low ? (Math.log(value) - low) / (high - low) : 0;
}

export class HeatMap {
  /** @param {HTMLElement} host @param {{zone: string, onZoom: (fromUs: number, toUs: number) => void}} context */
  constructor(host, context) {
    this.host = host;
    this.context = context;
    /** @type {Heat} */
    this.heat = { bucket_us: 1, starts: [], edges_ms: [], most: 0, cells: [] };
    /** @type {Map<number, number>} operations by bucket × 1000 + band */
    this.counts = new Map();
    this.canvas = el("canvas", { class: "heat" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.none = el("p", { class: "chart-none", hidden: true }, "Nothing was timed in this range");
    host.replaceChildren(this.canvas, this.tip, this.none);
    host.tabIndex = 0;
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", "Durations over time, logarithmic. Arrow keys read cells; the table button shows all.");
    host.addEventListener("pointermove", (event) => this.point(event.offsetX, event.offsetY));
    host.addEventListener("pointerleave", () => this.leave());
    host.addEventListener("blur", () => this.leave());
    host.addEventListener("keydown", (event) => this.onKey(event));
    host.addEventListener("dblclick", () => this.zoom());
    /** @type {[number, number] | null} bucket and band under the cursor */
    this.at = null;
    new ResizeObserver(() => this.draw()).observe(host);
  }

  /** @param {Heat} heat */
  show(heat) {
    this.heat = heat;
    this.counts = new Map(heat.cells.map(([bucket, band, operations]) => [bucket * 1000 + band, operations]));
    this.none.hidden = heat.cells.length > 0;
    this.leave();
    this.draw();
  }

  get bands() {
    return Math.max(1, this.heat.edges_ms.length - 1);
  }

  /** @returns {{width: number, height: number}} of the cells */
  room() {
    return { width: Math.max(1, this.host.clientWidth - LEFT - RIGHT), height: Math.max(1, this.host.clientHeight - TOP - BOTTOM) };
  }

  draw() {
    const { clientWidth: wide, clientHeight: high } = this.host;
    const pen = this.canvas.getContext("2d");
    if (!pen || !wide || !high) return;
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(wide * scale);
    this.canvas.height = Math.round(high * scale);
    pen.scale(scale, scale);
    pen.clearRect(0, 0, wide, high);
    if (!this.heat.cells.length) return;
    this.drawAxes(pen);
    const { width, height } = this.room();
    const cellWidth = width / this.heat.starts.length;
    const cellHeight = height / this.bands;
    pen.fillStyle = paint("var(--chart-p95)");
    for (const [bucket, band, operations] of this.heat.cells) {
      pen.globalAlpha = shadeOf(operations, this.heat.most);
      pen.fillRect(LEFT + bucket * cellWidth, TOP + height - (band + 1) * cellHeight, Math.max(1, cellWidth - (cellWidth > 4 ? 0.5 : 0)), Math.max(1, cellHeight - 0.5));
    }
    pen.globalAlpha = 1;
    if (this.at) {
      pen.strokeStyle = paint("var(--bad)");
      pen.lineWidth = 1.5;
      pen.strokeRect(LEFT + this.at[0] * cellWidth, TOP + height - (this.at[1] + 1) * cellHeight, Math.max(2, cellWidth), cellHeight);
    }
  }

  /** @param {CanvasRenderingContext2D} pen */
  drawAxes(pen) {
    const { width, height } = this.room();
    const { starts, bucket_us: bucketUs, edges_ms: edges } = this.heat;
    pen.font = FONT;
    pen.fillStyle = paint("var(--text-3)");
    pen.strokeStyle = paint("var(--chart-grid)");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    let lowest = Infinity;
    for (const value of NAMED_MS) {
      const place = heightOf(value, edges);
      const y = TOP + height * (1 - place);
      if (place < 0 || place > 1 || lowest - y < 22) continue;
      lowest = y;
      pen.beginPath();
      pen.moveTo(LEFT, Math.round(y) + 0.5);
      pen.lineTo(LEFT + width, Math.round(y) + 0.5);
      pen.stroke();
      pen.fillText(msTick(value, value), LEFT - 6, y);
    }
    const from = (starts[0] ?? 0) / 1e6;
    const span = (starts.length * bucketUs) / 1e6;
    const step = STEPS_S.find((seconds) => (seconds / span) * width >= 64) ?? span;
    pen.textAlign = "center";
    for (let at = Math.ceil(from / step) * step; at < from + span; at += step) {
      const x = LEFT + ((at - from) / span) * width;
      if (x > LEFT + 14 && x < LEFT + width - 14) pen.fillText(timeTick(at, step, this.context.zone), x, TOP + height + 14);
    }
  }

  /** @param {number} x @param {number} y */
  point(x, y) {
    const { width, height } = this.room();
    const bucket = Math.floor(((x - LEFT) / width) * this.heat.starts.length);
    const band = Math.floor((1 - (y - TOP) / height) * this.bands);
    if (bucket < 0 || bucket >= this.heat.starts.length || band < 0 || band >= this.bands) this.leave();
    else this.read(bucket, band);
  }

  /** @param {number} bucket @param {number} band */
  read(bucket, band) {
    const { starts, edges_ms: edges, bucket_us: bucketUs } = this.heat;
    const start = starts[bucket];
    if (start === undefined || !this.heat.cells.length) return;
    this.at = [bucket, band];
    const operations = this.counts.get(bucket * 1000 + band) ?? 0;
    this.tip.replaceChildren(el("p", { class: "tip-time" }, bucketLabel(start, bucketUs, this.context.zone)),
      el("p", { class: "tip-row" }, el("span", {}, `${ms(edges[band])} – ${ms(edges[band + 1])}`), el("b", {}, count(operations))));
    this.tip.hidden = false;
    const x = LEFT + ((bucket + 0.5) / starts.length) * this.room().width;
    const wide = this.tip.offsetWidth;
    this.tip.style.left = `${x + 14 + wide > this.host.clientWidth ? Math.max(0, x - wide - 14) : x + 14}px`;
    this.host.setAttribute("aria-description", this.tip.textContent ?? "");
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const [bucket, band] = this.at ?? [this.heat.starts.length - 1, 0];
    const moved = { ArrowLeft: [bucket - 1, band], ArrowRight: [bucket + 1, band], ArrowUp: [bucket, band + 1], ArrowDown: [bucket, band - 1] }[event.key];
    if (event.key === "Escape") this.leave();
    if (event.key === "Enter") this.zoom();
    if (!moved) return;
    event.preventDefault();
    this.read(Math.min(this.heat.starts.length - 1, Math.max(0, moved[0] ?? 0)), Math.min(this.bands - 1, Math.max(0, moved[1] ?? 0)));
  }

  /** Shows the bucket under the cursor alone. */
  zoom() {
    const start = this.at && this.heat.starts[this.at[0]];
    if (start) this.context.onZoom(start, start + this.heat.bucket_us);
  }

  leave() {
    this.tip.hidden = true;
    if (!this.at) return;
    this.at = null;
    this.draw();
  }

  /** Operations per band and bucket, newest first; a band per column would be too wide, so a row per cell. */
  table() {
    const { starts, edges_ms: edges, bucket_us: bucketUs, cells } = this.heat;
    const rows = [...cells].reverse().slice(0, 2000).map(([bucket, band, operations]) => el("tr", {},
      el("th", { scope: "row" }, bucketLabel(starts[bucket] ?? 0, bucketUs, this.context.zone)),
      el("td", { class: "number" }, `${ms(edges[band])} – ${ms(edges[band + 1])}`), el("td", { class: "number" }, count(operations))));
    const head = el("tr", {}, el("th", { scope: "col" }, "Time"), el("th", { scope: "col", class: "number" }, "Duration"), el("th", { scope: "col", class: "number" }, "Operations"));
    return el("table", { class: "table" }, el("thead", {}, head), el("tbody", {}, ...rows));
  }
}
