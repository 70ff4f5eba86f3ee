/** Where the axes of charts are named, and how far they reach. Pure functions. */

import { clock } from "./format.js";

/** Axis text of a moment, as short as the steps allow. @param {number} seconds @param {number} step in seconds @param {string} zone */
export function timeTick(seconds, step, zone) {
  const at = clock(seconds * 1000, zone);
  if (step >= 28 * 86_400) return at.month === "01" ? at.year : at.monthName;
  const day = `${Number(at.day)} ${at.monthName}`;
  if (step >= 86_400) return day;
  if (at.hour === "00" && at.minute === "00" && at.second === "00") return day;
  return step < 60 ? `${at.hour}:${at.minute}:${at.second}` : `${at.hour}:${at.minute}`;
}

/**
 * At most a handful of the steps between low and high: every second or third where there are more.
 * @param {number[]} steps ascending @param {number} low @param {number} high
 */
export function logSplits(steps, low, high) {
  const inside = steps.filter((step) => step >= low && step <= high);
  const every = Math.ceil(inside.length / 6);
  return inside.filter((_, place) => place % every === 0);
}

/** Whole steps of 1, 2, 5 around the values. @param {number} low @param {number} high @returns {[number, number]} */
export function logRange(low, high) {
  if (!(low > 0) || !(high > 0)) return [1, 1000];
  const floor = 10 ** Math.floor(Math.log10(low));
  const ceil = 10 ** Math.floor(Math.log10(high));
  const from = ([5, 2, 1].find((step) => step * floor <= low) ?? 1) * floor;
  const to = ([1, 2, 5, 10].find((step) => step * ceil >= high * 1.02) ?? 10) * ceil;
  return [from, to > from ? to : from * 10];
}
