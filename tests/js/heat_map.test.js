import assert from "node:assert/strict";
import { test } from "node:test";

import { heightOf, shadeOf } from "../../ralex_core/dashboard/static/js/heat_map.js";

test("a single operation can be seen, the most are black", () => {
  assert.equal(shadeOf(1, 1000), 0.1);
  assert.equal(shadeOf(1000, 1000), 1);
  assert.ok(shadeOf(30, 1000) > 0.5);
  assert.equal(shadeOf(1, 1), 1);
});

test("durations lie on a logarithmic axis", () => {
  assert.equal(heightOf(1, [1, 10, 100]), 0);
  assert.equal(heightOf(10, [1, 10, 100]), 0.5);
  assert.equal(heightOf(100, [1, 10, 100]), 1);
  assert.equal(heightOf(5, [7, 7]), 0);
});
