import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("../../ralex_core/dashboard/static/", import.meta.url);
const css = readFileSync(new URL("css/tokens.css", root), "utf8");

/** @param {string} selector @returns {Record<string, string>} */
function tokens(selector) {
  const block = css.slice(css.indexOf(`${selector} {`), css.indexOf("}", css.indexOf(`${selector} {`)));
  return Object.fromEntries([...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]));
}

/** Relative luminance, WCAG 2.2. @param {string} hex */
function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** @param {string} a @param {string} b */
function contrast(a, b) {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

const light = tokens(":root");
const themes = { light, dark: { ...light, ...tokens(':root[data-theme="dark"]') } };

for (const [name, theme] of Object.entries(themes)) {
  test(`text of the ${name} theme has at least 4.5 : 1 on every ground it stands on`, () => {
    for (const text of ["text", "text-2", "text-3", "ok", "warn", "bad", "unknown"])
      for (const ground of ["bg", "surface", "hover"])
        assert.ok(contrast(theme[text], theme[ground]) >= 4.5, `${text} on ${ground}: ${contrast(theme[text], theme[ground]).toFixed(2)}`);
    for (const tone of ["ok", "warn", "bad"]) assert.ok(contrast(theme[tone], theme[`${tone}-soft`]) >= 4.5, `${tone} on its soft ground: ${contrast(theme[tone], theme[`${tone}-soft`]).toFixed(2)}`);
    assert.ok(contrast(theme["text-2"], theme.sunken) >= 4.5);
    assert.ok(contrast(theme["on-accent"], theme.accent) >= 4.5);
  });

  test(`marks of the ${name} theme have at least 3 : 1 where they carry meaning`, () => {
    for (const mark of ["tier-cheap", "tier-standard", "tier-premium", "focus", "ok", "bad"]) assert.ok(contrast(theme[mark], theme.surface) >= 3, `${mark}: ${contrast(theme[mark], theme.surface).toFixed(2)}`);
  });
}

test("vendored files are what their checksums say", () => {
  const lines = readFileSync(new URL("vendor/CHECKSUMS", root), "utf8").split("\n").filter((line) => line && !line.startsWith("#"));
  assert.ok(lines.length >= 3);
  for (const line of lines) {
    const [sum, path] = line.split(/\s+/);
    assert.equal(createHash("sha256").update(readFileSync(new URL(`vendor/${path}`, root))).digest("hex"), sum, path);
  }
});
