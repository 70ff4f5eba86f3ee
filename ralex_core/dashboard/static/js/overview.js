/** The overview: draws what the page was made with, then keeps it true by the live connection and by refreshes. */

import { setText } from "./dom.js";
import { Live } from "./live.js";
import { Feed, Host, KEEP_US, LiveSeries, showTiles, showToday } from "./overview_live.js";
import { LatencyPanel, SpendPanel } from "./overview_charts.js";
import { current, nowUs, syncClock, visit } from "./shell.js";
import { reset, zoom } from "./zoom.js";

const SLIDE_MS = 1000; // a 15-minute window moves about half a pixel a second
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let boot = current();
const context = { zone: boot.timezone, onZoom: zoom, onReset: reset };
const spend = new SpendPanel(/** @type {Element} */ (document.querySelector('[data-chart="spend"]')), context);
const latency = new LatencyPanel(/** @type {Element} */ (document.querySelector('[data-chart="latency"]')), context);
const feed = new Feed(/** @type {HTMLElement} */ (document.getElementById("feed")), nowUs, boot.timezone);
let host = makeHost();
const series = new LiveSeries();
/** Whether something happened since the last refresh. */
let changed = false;
let drawnAt = 0;

function isLive() {
  return boot.range?.live === true;
}

function makeHost() {
  return new Host(boot.overview?.resources.series ?? {}, isLive());
}

/** Whether an operation belongs in the feed: the live view shows the latest there are, the others what is theirs. @param {number} startedUs */
function inRange(startedUs) {
  const range = boot.range;
  return !range || range.live || (startedUs >= range.start_us && (range.key !== "custom" || startedUs < range.end_us));
}

/** @returns {{fromUs: number, toUs: number}} */
function liveWindow() {
  const to = nowUs();
  return { fromUs: to - KEEP_US, toUs: to };
}

/** @returns {Map<string, string | null>} */
function tiers() {
  return new Map((boot.overview?.models ?? []).map((row) => [row.key, row.tier]));
}

/** Draws what the server said. */
function drawStored() {
  const overview = boot.overview;
  if (!overview) return;
  const { charts, range } = overview;
  const window = isLive() ? liveWindow() : { fromUs: range.start_us, toUs: range.end_us };
  spend.show(charts.cost_by_tier, charts.cost_by_model, tiers(), window);
  latency.show(charts.latency, wholeRange(), window);
}

/** Percentiles of the whole range, as the tile tells them. */
function wholeRange() {
  const { p50_ms = null, p95_ms = null, p99_ms = null } = boot.overview?.totals ?? {};
  return { p50_ms, p95_ms, p99_ms };
}

/** Draws what the live messages said. @param {import("./types.js").LiveMessage} message */
function drawLive(message) {
  const overview = boot.overview;
  if (!overview || (!series.performance.starts.length && !series.tiers.starts.length)) return;
  const { p50_ms, p95_ms, p99_ms } = message.metrics.performance;
  const byTier = series.spend(Object.keys(overview.charts.cost_by_tier.series));
  const byModel = spend.split === "model" ? overview.charts.cost_by_model : byTier;
  spend.show(byTier, byModel, tiers(), liveWindow());
  latency.show(series.latency(), { p50_ms, p95_ms, p99_ms }, liveWindow());
  drawnAt = Date.now();
}

/** @param {import("./types.js").LiveMessage} message */
function onMessage(message) {
  syncClock(message.at);
  series.take(message);
  feed.take(message, inRange);
  host.take(message.health.resources);
  showToday(message);
  if (message.kind !== "heartbeat") changed = true;
  if (message.health.demo !== boot.demo) location.reload();
  if (!isLive()) return;
  showTiles(message, series);
  drawLive(message);
  if (boot.overview?.empty && message.metrics.performance.operations > 0) void visit(location.href, { push: false, quiet: true });
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

/** Asks for the page again, if something happened and somebody looks. */
function refresh() {
  if (document.hidden || live?.pausedByUser || !changed) return;
  changed = false;
  void visit(location.href, { push: false, quiet: true, skip: host.slide ? ["feed", "hosts"] : ["feed"] });
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let refreshing;

function schedule() {
  clearInterval(refreshing);
  const seconds = boot.refresh_s ?? (isLive() ? 30 : null); // live: tables and changes against the period before
  if (seconds) refreshing = setInterval(refresh, seconds * 1000);
}

document.addEventListener("ralex:view", () => {
  const wasLive = isLive();
  boot = current();
  if (boot.ws) live?.retarget(boot.ws);
  if (!isLive() || !wasLive || !series.performance.starts.length) drawStored();
  if (!wasLive || !isLive()) host = makeHost();
  schedule();
});

document.documentElement.addEventListener("ralex:theme", () => {
  spend.redraw();
  latency.redraw();
});

setInterval(() => {
  if (!isLive() || document.hidden || live?.state !== "live" || calm.matches || Date.now() - drawnAt < SLIDE_MS / 2) return;
  const window = liveWindow();
  spend.slide(window);
  latency.slide(window);
}, SLIDE_MS);

drawStored();
schedule();
