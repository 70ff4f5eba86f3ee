import assert from "node:assert/strict";
import { test } from "node:test";

import { retryDelay } from "../../ralex_core/dashboard/static/js/live.js";
import { LiveSeries, basisText, orderTiers, worthText } from "../../ralex_core/dashboard/static/js/overview_live.js";
import { modelSeries, tierSeries } from "../../ralex_core/dashboard/static/js/overview_charts.js";

test("retries wait longer each time, are spread, and never wait more than 15 s", () => {
  assert.equal(retryDelay(0, 1), 500);
  assert.equal(retryDelay(0, 0), 250);
  assert.equal(retryDelay(3, 1), 4000);
  assert.equal(retryDelay(50, 1), 15_000);
});

/** A message with one bucket; only what LiveSeries reads. */
function message(kind, start, operations, cheap) {
  return {
    kind,
    metrics: {
      performance: { series: { bucket_us: 5e6, starts: [start], operations: [operations], errors: [0], p50_ms: [1], p95_ms: [2], p99_ms: [3] } },
      costs: { series: { bucket_us: 5e6, starts: [start], tiers: { cheap: [cheap] } } },
      usage: { series: { bucket_us: 5e6, starts: [start], input_tokens: [7], output_tokens: [1] } },
    },
  };
}

test("a snapshot replaces, an update adds", () => {
  const series = new LiveSeries();
  series.take(message("snapshot", 0, 1, 0.1));
  series.take(message("update", 5e6, 2, 0.2));
  assert.deepEqual(series.latency().operations, [1, 2]);
  series.take(message("snapshot", 100e6, 9, 0.9));
  assert.deepEqual(series.latency().starts, [100e6]);
});

test("tiers keep the server's order, and one without spend is still there", () => {
  const series = new LiveSeries();
  series.take(message("snapshot", 0, 1, 0.1));
  assert.deepEqual(series.spend(["cheap", "premium"]).series, { cheap: [0.1], premium: [0] });
});

test("tiers come from cheap to premium, others after them, unknown last", () => {
  assert.deepEqual(orderTiers(["unknown", "premium", "huge", "standard", "cheap"]), ["cheap", "standard", "premium", "huge", "unknown"]);
});

test("value per dollar names its two sums", () => {
  assert.equal(worthText({ cost_usd: "39.67", efficiency_ratio: 2 }), "$79.34 for $39.67");
  assert.equal(worthText({ cost_usd: "0", efficiency_ratio: null }), "—");
});

test("the two commonest ways a cost is known are named", () => {
  assert.equal(basisText({ billed: 0, computed: 9, reported: 340, unknown: 3 }), "reported 340 · computed 9");
  assert.equal(basisText({ billed: 0, computed: 0, reported: 0, unknown: 0 }), "—");
});

test("tiers have fixed hues; unknown shows only when there is some, with a pattern", () => {
  const cost = { bucket_us: 1, starts: [0], series: { cheap: [1], standard: [1], premium: [1], huge: [1], unknown: [0] } };
  assert.deepEqual(tierSeries(cost).map((item) => item.color), ["var(--tier-cheap)", "var(--tier-standard)", "var(--tier-premium)", "var(--tier-4)"]);
  const unknown = tierSeries({ ...cost, series: { ...cost.series, unknown: [1] } }).at(-1);
  assert.equal(unknown?.hatched, true);
});

test("models wear the hue of their tier", () => {
  const cost = { bucket_us: 1, starts: [0], series: { a: [1], b: [1], c: [1], other: [1] } };
  const colors = modelSeries(cost, new Map([["a", "cheap"], ["b", "cheap"], ["c", "premium"]])).map((item) => item.color);
  assert.match(colors[0] ?? "", /tier-cheap\) 100%/);
  assert.match(colors[1] ?? "", /tier-cheap\) 38%/);
  assert.match(colors[2] ?? "", /tier-premium\) 100%/);
  assert.match(colors[3] ?? "", /tier-unknown/);
});
