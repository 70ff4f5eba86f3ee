/** The page of resources: charts, and figures that change in place while live messages come. */

import { setText } from "./dom.js";
import { UNKNOWN, ago, bytes, count, percent } from "./format.js";
import { Live } from "./live.js";
import { KINDS, LinesPanel, gpuColor } from "./resource_charts.js";
import { current, nowUs, syncClock, visit } from "./shell.js";
import { reset, zoom } from "./zoom.js";

const REFRESH_LIVE_S = 5;

let boot = current();
const context = { zone: boot.timezone, onZoom: zoom, onReset: reset };
/** @type {Map<string, LinesPanel>} */
const panels = new Map();

/** @param {string} key @param {import("./resource_charts.js").Kind} kind @returns {LinesPanel | null} */
function panel(key, kind) {
  const node = document.querySelector(`[data-chart="${key}"]`);
  if (!node) return null;
  const known = panels.get(key);
  if (known && known.panel === node) return known;
  const made = new LinesPanel(node, context, kind);
  panels.set(key, made);
  return made;
}

/** Draws what the server said. */
function draw() {
  const resources = boot.resources;
  const range = boot.range;
  if (!resources || !range) return;
  const window = { fromUs: range.start_us, toUs: range.end_us };
  const { series } = resources;
  for (const [key, kind] of Object.entries(KINDS)) panel(key, kind)?.show(series, series, window, key === "cpu" ? (series.load_1m ?? null) : null);
  drawGpus(resources, window);
}

/** @param {import("./types.js").Resources} resources @param {{fromUs: number, toUs: number}} window */
function drawGpus(resources, window) {
  const axis = { bucket_us: resources.gpu_bucket_us, starts: resources.gpu_starts };
  const lines = resources.gpus.map((gpu, place) => ({ key: gpu.gpu, label: `${gpu.name} (${gpu.gpu})`, color: gpuColor(place, resources.gpus.length) }));
  const kind = { .../** @type {import("./resource_charts.js").Kind} */ (KINDS.memory), lines, every: true };
  panel("gpu_busy", { ...kind, label: "GPU load" })?.show(axis, Object.fromEntries(resources.gpus.map((gpu) => [gpu.gpu, gpu.busy])), window);
  panel("gpu_memory", { ...kind, label: "GPU memory in use" })?.show(axis, Object.fromEntries(resources.gpus.map((gpu) => [gpu.gpu, gpu.memory])), window);
}

/** @param {number | null} part @param {number | null} whole */
function share(part, whole) {
  return part !== null && whole ? part / whole : null;
}

/** @param {number | null} rate */
function perS(rate) {
  return rate === null ? UNKNOWN : `${bytes(rate)}/s`;
}

/** @param {number | null} value */
function cores(value) {
  return value === null ? UNKNOWN : String(Number(value.toPrecision(3)));
}

/**
 * The tiles in the server's words (`dashboard/resource_rows.py`).
 * @param {import("./types.js").ResourcePoint} now
 */
function showTiles(now) {
  const memory = share(now.memory_used_bytes, now.memory_total_bytes);
  const swap = share(now.swap_used_bytes, now.swap_total_bytes);
  const disk = share(now.disk_used_bytes, now.disk_total_bytes);
  tile("cpu", percent(now.cpu_ratio), now.busiest_core_ratio === null ? (now.cores === null ? "" : `of ${cores(now.cores)} cores`) : `busiest core ${percent(now.busiest_core_ratio)}`, now.cpu_ratio);
  tile("load", now.load_1m === null ? UNKNOWN : now.load_1m.toFixed(2), `over ${cores(now.cores)} cores`);
  tile("throttling", percent(now.throttled_ratio), "of periods held back", now.throttled_ratio);
  tile("memory", percent(memory), `${bytes(now.memory_used_bytes)} of ${bytes(now.memory_total_bytes)}`, memory);
  tile("swap", percent(swap), `${bytes(now.swap_used_bytes)} of ${bytes(now.swap_total_bytes)}`, swap);
  tile("disk", percent(disk), `${bytes(now.disk_used_bytes)} of ${bytes(now.disk_total_bytes)}`, disk);
  tile("disk_io", perS(now.disk_write_bytes_s), `written · ${perS(now.disk_read_bytes_s)} read`);
  tile("network", perS(now.net_received_bytes_s), `received · ${perS(now.net_sent_bytes_s)} sent`);
  tile("open_files", count(now.open_files), `${now.open_files_limit === null ? "of this machine" : `of ${count(now.open_files_limit)}`}${now.process_open_files === null ? "" : ` · own ${count(now.process_open_files)}`}`, share(now.open_files, now.open_files_limit));
}

/** @param {string} key @param {string} value @param {string} detail @param {number | null} [meter] */
function tile(key, value, detail, meter = null) {
  const node = document.querySelector(`[data-tile="${key}"]`);
  if (!node) return;
  setText(node.querySelector(".tile-number"), value);
  setText(node.querySelector(".tile-detail"), detail);
  if (meter !== null) node.querySelector(".meter-fill")?.setAttribute("width", `${(Math.min(1, meter) * 100).toFixed(2)}%`);
}

/** @param {import("./types.js").ResourceState[]} states @returns {boolean} whether one is at another level than the page says */
function showStates(states) {
  let changed = false;
  for (const state of states) {
    const node = document.querySelector(`[data-tile="${state.resource}"]`);
    if (!node) continue;
    changed ||= node.getAttribute("data-level") !== state.level;
    node.setAttribute("title", state.reason);
  }
  return changed;
}

/** @param {import("./types.js").ProcessPoint[]} processes @returns {boolean} whether one began or ended since the page was made */
function showProcesses(processes) {
  const shown = new Set([...document.querySelectorAll("tr[data-process]:not(.is-over)")].map((row) => row.getAttribute("data-process")));
  let fresh = false;
  for (const now of processes) {
    const key = `${now.pid}-${now.started_us}`;
    const row = document.querySelector(`tr[data-process="${key}"]`);
    fresh ||= !shown.delete(key);
    const cell = (/** @type {string} */ name, /** @type {string} */ text) => setText(row?.querySelector(`[data-cell="${name}"]`), text);
    cell("cpu", percent(now.cpu_ratio));
    cell("memory", bytes(now.rss_bytes));
    cell("processes", count(now.processes));
    cell("threads", count(now.threads));
    cell("files", count(now.open_files));
    cell("read", perS(now.read_bytes_s));
    cell("written", perS(now.write_bytes_s));
  }
  return fresh || shown.size > 0;
}

let lastAt = "";

/** @param {import("./types.js").LiveMessage} message */
function onMessage(message) {
  syncClock(message.at);
  if (message.health.demo !== boot.demo) location.reload();
  const now = message.health.resources;
  if (!now || now.sampled_at === lastAt) return;
  lastAt = now.sampled_at;
  showTiles(now);
  const otherStates = showStates(message.health.resource_states);
  const otherProcesses = showProcesses(message.health.processes);
  if (otherStates || otherProcesses || !document.getElementById("tiles")) refresh();
  for (const time of document.querySelectorAll("#processes time")) setText(time, ago(Number(/** @type {HTMLElement} */ (time).dataset.us), nowUs()));
}

const indicator = document.getElementById("live");

/** @param {import("./live.js").State} state @param {number | null} ageMs */
function onState(state, ageMs) {
  if (!indicator) return;
  const age = ageMs === null || ageMs < 2000 ? "" : ` · ${Math.round(ageMs / 1000)} s old`;
  const words = { live: "Live", connecting: "Connecting", paused: "Paused", reconnecting: "Reconnecting" };
  indicator.dataset.state = state;
  setText(indicator.querySelector(".live-word"), words[state] + (state === "live" ? "" : age));
  document.documentElement.classList.toggle("stale", state === "reconnecting" && (ageMs ?? 0) > 5000);
}

const live = boot.ws ? new Live(boot.ws, onMessage, onState) : null;
indicator?.addEventListener("click", () => live?.togglePause());

/** Asks for the page again, if somebody looks and is not reading. */
function refresh() {
  if (document.hidden || live?.pausedByUser || document.getSelection()?.toString()) return;
  void visit(location.href, { push: false, quiet: true });
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let refreshing;

function schedule() {
  clearInterval(refreshing);
  const seconds = boot.refresh_s ?? (boot.range?.live ? REFRESH_LIVE_S : null);
  if (seconds) refreshing = setInterval(refresh, seconds * 1000);
}

document.addEventListener("ralex:view", () => {
  boot = current();
  if (boot.ws) live?.retarget(boot.ws);
  draw();
  schedule();
});

document.documentElement.addEventListener("ralex:theme", () => panels.forEach((each) => each.redraw()));

draw();
schedule();
