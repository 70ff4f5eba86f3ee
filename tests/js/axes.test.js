import assert from "node:assert/strict";
import { test } from "node:test";

import { logRange, logSplits, timeTick } from "../../ralex_core/dashboard/static/js/axes.js";

test("a logarithmic axis reaches to whole steps of 1, 2, 5 around the values", () => {
  assert.deepEqual(logRange(640, 8200), [500, 10_000]);
  assert.deepEqual(logRange(100, 100), [100, 200]);
});

test("a logarithmic axis without values still has a range", () => {
  assert.deepEqual(logRange(0, 0), [1, 1000]);
});

test("a logarithmic axis names a handful of steps", () => {
  const steps = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000];
  assert.deepEqual(logSplits(steps, 5, 500), [10, 30, 100, 300]);
  assert.ok(logSplits(steps, 1, 30_000).length <= 6);
});

test("times are as short as the steps allow, and midnight names the day", () => {
  const noon = Date.UTC(2026, 10, 23, 12) / 1000;
  assert.equal(timeTick(noon, 3600, "UTC"), "12:00");
  assert.equal(timeTick(noon, 10, "UTC"), "12:00:00");
  assert.equal(timeTick(noon - 12 * 3600, 3600, "UTC"), "23 Nov");
  assert.equal(timeTick(noon, 86_400, "UTC"), "23 Nov");
  assert.equal(timeTick(noon, 30 * 86_400, "UTC"), "Nov");
  assert.equal(timeTick(Date.UTC(2026, 0, 1) / 1000, 30 * 86_400, "UTC"), "2026");
});
