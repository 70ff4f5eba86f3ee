import assert from "node:assert/strict";
import { test } from "node:test";

import { formQuery, hasFilter, match, scopeOnly, withCustom, withFilter, withRange, withoutFilter } from "../../ralex_core/dashboard/static/js/scope.js";

test("a range replaces the range before and keeps the filters", () => {
  assert.equal(withRange("?range=custom&from=a&to=b&project=x", "24h"), "?range=24h&project=x");
  assert.equal(withRange("", "live"), "?range=live");
});

test("a zoom becomes a custom range to the second, never empty", () => {
  const us = Date.UTC(2026, 10, 23, 13, 0, 0) * 1000;
  assert.equal(decodeURIComponent(withCustom("?range=24h&model=m", us, us + 60e6)), "?range=custom&model=m&from=2026-11-23T13:00:00Z&to=2026-11-23T13:01:00Z");
  assert.match(decodeURIComponent(withCustom("", us, us)), /to=2026-11-23T13:00:01Z/);
});

test("alternatives of one field live side by side, once each", () => {
  const both = withFilter(withFilter("?project=a", "project", "b"), "project", "b");
  assert.equal(both, "?project=a&project=b");
  assert.ok(hasFilter(both, "project", "b"));
  assert.equal(withoutFilter(both, "project", "a"), "?project=b");
});

test("another view starts on its first page", () => {
  assert.equal(withFilter("?page=7&range=7d", "tier", "cheap"), "?range=7d&tier=cheap");
});

test("values survive the address whatever is in them", () => {
  const odd = "a&b=c d/é+?#";
  assert.ok(hasFilter(withFilter("", "model", odd), "model", odd));
});

test("only range and filters travel to other pages", () => {
  assert.equal(scopeOnly("?sort=name&range=7d&q=x&user=ana"), "?range=7d&user=ana");
});

test("a form leaves out what was left empty", () => {
  assert.equal(formQuery([["q", ""], ["kind", "llm"], ["q", "x y"]]), "?kind=llm&q=x+y");
});

test("matches come best first: as it starts, as a word starts, anywhere, all words", () => {
  const items = ["gpt-5-mini", "mini", "openai/gpt", "xgpt"];
  assert.deepEqual(match(items, "gpt", (item) => item), ["gpt-5-mini", "openai/gpt", "xgpt"]);
  assert.deepEqual(match(items, "mini gpt", (item) => item), ["gpt-5-mini"]);
  assert.deepEqual(match(items, " ", (item) => item), items);
});
