import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as format from "../../ralex_core/dashboard/static/js/format.js";
import { sparkPath } from "../../ralex_core/dashboard/static/js/series.js";

const cases = JSON.parse(readFileSync(new URL("./format_cases.json", import.meta.url), "utf8"));
const formatters = {
  usd: format.usd,
  ms: format.ms,
  count: format.count,
  bytes: format.bytes,
  percent: format.percent,
  ratio: format.ratio,
  rate: format.rate,
  ago: (seconds) => format.ago(1e15 - seconds * 1e6, 1e15),
  sparkline: (values) => sparkPath(values),
};

for (const [name, rows] of Object.entries(cases)) {
  test(`${name} reads as the server writes it`, () => {
    for (const [value, text] of rows) assert.equal(formatters[name](value), text, JSON.stringify(value));
  });
}

test("times are told in the monitor's zone, not in the browser's", () => {
  const us = Date.UTC(2026, 10, 23, 13, 3, 9) * 1000;
  assert.equal(format.exact(us, "Europe/Berlin"), "2026-11-23 14:03:09");
  assert.equal(format.exact(us, "America/New_York"), "2026-11-23 08:03:09");
  assert.equal(format.exact(us, "UTC+02:00"), "2026-11-23 15:03:09");
});

test("a zone the browser does not know does not break the page", () => {
  assert.match(format.exact(0, "Mars/Olympus"), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
});

test("a bucket says what it covers", () => {
  const us = Date.UTC(2026, 10, 23, 13, 0, 0) * 1000;
  assert.equal(format.bucketLabel(us, 600e6, "UTC"), "Mon 23 Nov, 13:00–13:10");
  assert.equal(format.bucketLabel(us, 5e6, "UTC"), "Mon 23 Nov, 13:00:00–13:00:05");
  assert.equal(format.bucketLabel(Date.UTC(2026, 10, 23) * 1000, 86_400e6, "UTC"), "Mon 23 Nov 2026");
  assert.equal(format.bucketLabel(Date.UTC(2026, 10, 23) * 1000, 7 * 86_400e6, "UTC"), "23 Nov – 29 Nov 2026");
});

test("axis texts have as few digits as tell the ticks apart", () => {
  assert.equal(format.usdTick(0, 0.5), "$0");
  assert.equal(format.usdTick(1.5, 0.5), "$1.50");
  assert.equal(format.usdTick(2, 1), "$2");
  assert.equal(format.usdTick(0.002, 0.001), "$0.002");
  assert.equal(format.usdTick(0.0025, 0.0025), "$0.0025");
  assert.equal(format.usdTick(20_000, 5000), "$20k");
  assert.equal(format.msTick(500, 500), "500 ms");
  assert.equal(format.msTick(1500, 500), "1.5 s");
  assert.equal(format.msTick(80_000, 20_000), "80 s");
  assert.equal(format.msTick(180_000, 60_000), "3 m");
  assert.equal(format.msTick(7_200_000, 3_600_000), "2 h");
  assert.equal(format.countTick(1500), "1.5k");
  assert.equal(format.countTick(2_000_000), "2M");
});
