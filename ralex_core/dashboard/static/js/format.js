/**
 * Numbers as text for people, the same way the server writes them (`ralex_core/render.py`); both are tested against
 * `tests/js/format_cases.json`. Unknown (null) is an em dash, never 0. Pure functions.
 */

export const UNKNOWN = "—";

/** @typedef {number | null | undefined} Known */

/** @param {number} value @param {number} decimals */
function fixed(value, decimals) {
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/**
 * Money with the precision that matters: $0.0042, $3.12, $1,204.
 * @param {number | string | null | undefined} amount dollars; a decimal string is read as one
 */
export function usd(amount) {
  if (amount === null || amount === undefined) return UNKNOWN;
  const value = Number(amount);
  const size = Math.abs(value);
  const sign = value < 0 ? "-" : "";
  if (size === 0) return "$0";
  if (size >= 1000) return `${sign}$${fixed(size, 0)}`;
  if (size >= 1) return `${sign}$${size.toFixed(2)}`;
  if (size >= 0.1) return `${sign}$${size.toFixed(3)}`;
  if (size >= 0.0001) return `${sign}$${size.toFixed(4)}`;
  return `${sign}<$0.0001`;
}

/** 340 ms, 2.1 s, 4 m 10 s, 1 h 05 m. @param {Known} milliseconds */
export function ms(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return UNKNOWN;
  if (milliseconds < 999.5) return `${milliseconds.toFixed(milliseconds > 0 && milliseconds < 9.95 ? 1 : 0)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} m ${pad(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
}

/** @param {number} value */
function pad(value) {
  return String(value).padStart(2, "0");
}

/** 12,345; from 100,000 on three digits and a unit: 103 K, 69.0 M. @param {Known} number */
export function count(number) {
  if (number === null || number === undefined) return UNKNOWN;
  if (Math.abs(number) < 100_000) return fixed(number, 0);
  return withUnit(number, [["B", 1e9], ["M", 1e6], ["K", 1e3]]);
}

/** Bytes in decimal units: 512 B, 1.40 GB. @param {Known} size */
export function bytes(size) {
  if (size === null || size === undefined) return UNKNOWN;
  if (Math.abs(size) < 1000) return `${size.toFixed(0)} B`;
  return withUnit(size, [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]);
}

/** @param {number} number @param {[string, number][]} units largest first */
function withUnit(number, units) {
  const last = units.length - 1;
  const place = units.findIndex(([, factor], index) => Math.abs(number) >= factor * 0.9995 || index === last);
  const [unit, factor] = units[place] ?? ["", 1];
  const value = number / factor;
  return `${fixed(value, decimalsOf(value))} ${unit}`;
}

/** @param {number} value */
function decimalsOf(value) {
  return Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0;
}

/** A ratio 0–1 as 12.3 %; what is not zero does not round to 0 %, what is not all does not round to 100 %. @param {Known} ratio0to1 */
export function percent(ratio0to1) {
  if (ratio0to1 === null || ratio0to1 === undefined) return UNKNOWN;
  const value = ratio0to1 * 100;
  if (value === 0 || value === 100) return `${value} %`;
  if (value > 0 && value < 0.1) return "<0.1 %";
  if (value > 99.9 && value < 100) return ">99.9 %";
  return `${value.toFixed(1)} %`;
}

/** A factor: 4.52×, 52.3×, 123×. @param {Known} times */
export function ratio(times) {
  if (times === null || times === undefined) return UNKNOWN;
  return `${fixed(times, decimalsOf(times))}×`;
}

/** Per minute without the unit: 0, <0.1, 0.4, 12, 1,234. @param {Known} perMinute */
export function rate(perMinute) {
  if (perMinute === null || perMinute === undefined) return UNKNOWN;
  if (perMinute > 0 && perMinute < 0.05) return "<0.1";
  return perMinute > 0 && perMinute < 9.95 ? perMinute.toFixed(1) : count(perMinute);
}

/** just now, 12 s ago, 3 min ago, 2 h ago, 5 days ago. @param {number} timeUs @param {number} nowUs */
export function ago(timeUs, nowUs) {
  const seconds = (nowUs - timeUs) / 1e6;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds.toFixed(0)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? "1 day ago" : `${fixed(days, 0)} days ago`;
}

/**
 * Wall-clock parts of a moment in a zone.
 * @param {number} timeMs @param {string} zone IANA name; one the browser does not know falls back to its own
 * @returns {{year: string, month: string, day: string, hour: string, minute: string, second: string, weekday: string, monthName: string}}
 */
export function clock(timeMs, zone) {
  const known = fixedZone(zone);
  const parts = Object.fromEntries(zoned(known.zone).formatToParts(new Date(timeMs + known.shiftMs)).map((part) => [part.type, part.value]));
  const at = (/** @type {string} */ name) => parts[name] ?? "";
  return { year: at("year"), month: at("month"), day: at("day"), hour: at("hour"), minute: at("minute"), second: at("second"), weekday: at("weekday"),
    monthName: MONTHS[Number(at("month")) - 1] ?? "" };
}

/**
 * A zone as every browser takes it: an offset such as "UTC+02:00", which not all know, becomes UTC and a shift.
 * @param {string} zone
 * @returns {{zone: string, shiftMs: number}}
 */
export function fixedZone(zone) {
  const [, sign, hours, minutes] = /^UTC([+-])(\d\d):(\d\d)$/.exec(zone) ?? [];
  if (!sign) return { zone, shiftMs: 0 };
  return { zone: "UTC", shiftMs: (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000 };
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** @type {Map<string, Intl.DateTimeFormat>} */
const zones = new Map();

/** @param {string} zone */
function zoned(zone) {
  let format = zones.get(zone);
  if (!format) {
    /** @type {Intl.DateTimeFormatOptions} */
    const options = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", weekday: "short", hourCycle: "h23" };
    try {
      format = new Intl.DateTimeFormat("en-US", { ...options, timeZone: zone });
    } catch {
      format = new Intl.DateTimeFormat("en-US", options);
    }
    zones.set(zone, format);
  }
  return format;
}

/** 2026-11-23 14:03:09. @param {number} timeUs @param {string} zone */
export function exact(timeUs, zone) {
  const at = clock(timeUs / 1000, zone);
  return `${at.year}-${at.month}-${at.day} ${at.hour}:${at.minute}:${at.second}`;
}

/**
 * What one bucket of a chart covers: "Mon 23 Nov, 14:00–14:10", or the day alone for buckets of days.
 * @param {number} startUs @param {number} bucketUs @param {string} zone
 */
export function bucketLabel(startUs, bucketUs, zone) {
  const from = clock(startUs / 1000, zone);
  const day = `${from.weekday} ${Number(from.day)} ${from.monthName}`;
  if (bucketUs % 86_400e6 === 0) {
    if (bucketUs === 86_400e6) return `${day} ${from.year}`;
    const last = clock((startUs + bucketUs) / 1000 - 1, zone);
    return `${Number(from.day)} ${from.monthName} – ${Number(last.day)} ${last.monthName} ${last.year}`;
  }
  const to = clock((startUs + bucketUs) / 1000, zone);
  const seconds = bucketUs < 60e6;
  const time = (/** @type {typeof from} */ at) => `${at.hour}:${at.minute}${seconds ? `:${at.second}` : ""}`;
  return `${day}, ${time(from)}–${time(to)}`;
}

/** Axis text of a money axis: as few digits as tell the ticks apart. @param {number} value @param {number} step between ticks */
export function usdTick(value, step) {
  if (value === 0) return "$0";
  let decimals = 0;
  while (decimals < 6 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6) decimals += 1;
  if (value >= 10_000 && step >= 100) return `$${fixed(value / 1000, step >= 1000 ? 0 : 1)}k`;
  return `$${fixed(value, decimals === 1 ? 2 : decimals)}`;
}

/** Axis text of a duration axis, in the unit of its steps: 0, 500 ms, 1.5 s, 80 s, 3 m. @param {number} milliseconds @param {number} step between ticks */
export function msTick(milliseconds, step) {
  if (milliseconds === 0) return "0";
  if (milliseconds < 1000) return `${trim(milliseconds)} ms`;
  if (step % 60_000) return `${trim(milliseconds / 1000)} s`;
  return step % 3_600_000 ? `${trim(milliseconds / 60_000)} m` : `${trim(milliseconds / 3_600_000)} h`;
}

/** Axis text of a count: 0, 250, 1.5k, 2M. @param {number} number */
export function countTick(number) {
  if (number >= 1e6) return `${trim(number / 1e6)}M`;
  if (number >= 1e3) return `${trim(number / 1e3)}k`;
  return trim(number);
}

/** @param {number} value */
function trim(value) {
  return String(Math.round(value * 100) / 100);
}
