import assert from "node:assert/strict";
import { test } from "node:test";

import { isolated, shade, stack, thin, total, upsert } from "../../ralex_core/dashboard/static/js/series.js";

const empty = (column) => (column.endsWith("_ms") ? null : 0);
const buckets = (starts, columns) => ({ bucketUs: 5, starts, columns });

test("a stack is a running sum, and a hidden series adds nothing", () => {
  assert.deepEqual(stack([[1, 2], [10, 20], [100, 200]], [true, true, true]), [[1, 2], [11, 22], [111, 222]]);
  assert.deepEqual(stack([[1, 2], [10, 20], [100, 200]], [true, false, true]), [[1, 2], [1, 2], [101, 202]]);
  assert.deepEqual(stack([], []), []);
});

test("totals leave out what is not known", () => {
  assert.equal(total([1, null, 2]), 3);
  assert.equal(total([]), 0);
});

test("only points without neighbours are isolated", () => {
  assert.deepEqual(isolated([1, null, 2, 3, null, null, 4]), [0, 6]);
  assert.deepEqual(isolated([null, null]), []);
});

test("thinning takes the mean of what is known and keeps gaps", () => {
  assert.deepEqual(thin([1, 3, null, null, 5, null], 3), [2, null, 5]);
  assert.deepEqual(thin([1, 2], 36), [1, 2]);
});

test("an update replaces known buckets and appends later ones", () => {
  const merged = upsert(buckets([0, 5], { operations: [1, 2], p95_ms: [10, 20] }), buckets([5, 10], { operations: [3, 4], p95_ms: [30, 40] }), 100, empty);
  assert.deepEqual(merged.starts, [0, 5, 10]);
  assert.deepEqual(merged.columns, { operations: [1, 3, 4], p95_ms: [10, 30, 40] });
});

test("a hole between buckets is empty: counts are 0, percentiles are not known", () => {
  const merged = upsert(buckets([0], { operations: [1], p95_ms: [10] }), buckets([15], { operations: [2], p95_ms: [20] }), 100, empty);
  assert.deepEqual(merged.columns, { operations: [1, 0, 0, 2], p95_ms: [10, null, null, 20] });
});

test("what is older than the window is dropped", () => {
  const merged = upsert(buckets([0, 5, 10], { operations: [1, 2, 3] }), buckets([15], { operations: [4] }), 15, empty);
  assert.deepEqual(merged.starts, [5, 10, 15]);
  assert.deepEqual(merged.columns.operations, [2, 3, 4]);
});

test("a tier that appears later was 0 before", () => {
  const merged = upsert(buckets([0, 5], { cheap: [1, 1] }), buckets([10], { cheap: [1], premium: [9] }), 100, empty);
  assert.deepEqual(merged.columns, { cheap: [1, 1, 1], premium: [0, 0, 9] });
});

test("a tier that is missing from an update has nothing there", () => {
  const merged = upsert(buckets([0], { cheap: [1], premium: [2] }), buckets([5], { cheap: [1] }), 100, empty);
  assert.deepEqual(merged.columns.premium, [2, 0]);
});

test("an update without buckets changes nothing", () => {
  const old = buckets([0], { operations: [1] });
  assert.equal(upsert(old, buckets([], {}), 100, empty), old);
});

test("members of one hue are told apart", () => {
  assert.equal(shade(0, 1), 100);
  const shades = Array.from({ length: 8 }, (_, place) => shade(place, 8));
  assert.equal(new Set(shades).size, 8);
  assert.ok(Math.min(...shades) >= 30);
});
