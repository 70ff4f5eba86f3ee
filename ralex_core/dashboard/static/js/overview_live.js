/** Lays live messages over the overview: figures, feed and host change in place. */

import { el, setText, swatch } from "./dom.js";
import { UNKNOWN, ago, bytes, count, exact, ms, percent, rate, ratio, usd } from "./format.js";
import { sparkPath, thin, total, upsert } from "./series.js";

/** @typedef {import("./types.js").LiveMessage} LiveMessage */
/** @typedef {import("./types.js").FeedItem} FeedItem */
/** @typedef {import("./series.js").Buckets} Buckets */

export const KEEP_US = 15 * 60 * 1e6;
const WINDOW_MIN = KEEP_US / 60e6;
const FEED_ROWS = 60;
const SPARK_POINTS = 36;
const HOST_POINTS = 90;

/** Counts are 0 in a bucket where nothing happened; percentiles are not known there. @param {string} column */
function empty(column) {
  return column.endsWith("_ms") ? null : 0;
}

/** The last 15 minutes as they stand, kept up to date by messages. */
export class LiveSeries {
  constructor() {
    /** @type {Buckets} */
    this.performance = { bucketUs: 5e6, starts: [], columns: {} };
    /** @type {Buckets} */
    this.tiers = { bucketUs: 5e6, starts: [], columns: {} };
    /** @type {Buckets} */
    this.tokens = { bucketUs: 5e6, starts: [], columns: {} };
  }

  /** @param {LiveMessage} message */
  take(message) {
    const { performance, costs, usage } = message.metrics;
    const old = message.kind === "snapshot" ? new LiveSeries() : this;
    this.performance = upsert(old.performance, buckets(performance.series), KEEP_US, empty);
    this.tiers = upsert(old.tiers, { bucketUs: costs.series.bucket_us, starts: costs.series.starts, columns: costs.series.tiers }, KEEP_US, empty);
    this.tokens = upsert(old.tokens, buckets(usage.series), KEEP_US, empty);
  }

  /** @returns {import("./types.js").LatencySeries} */
  latency() {
    return /** @type {any} */ ({ bucket_us: this.performance.bucketUs, starts: this.performance.starts, operations: [], errors: [], p50_ms: [], p95_ms: [], p99_ms: [], ...this.performance.columns });
  }

  /** @param {string[]} known tiers the page was made with, in their order @returns {import("./types.js").CostSeries} */
  spend(known) {
    const names = orderTiers([...new Set([...known, ...Object.keys(this.tiers.columns)])]);
    const series = Object.fromEntries(names.map((name) => [name, this.tiers.columns[name] ?? this.tiers.starts.map(() => 0)]));
    return { bucket_us: this.tiers.bucketUs, starts: this.tiers.starts, series: /** @type {Record<string, number[]>} */ (series) };
  }
}

/** The usual tiers from cheap to premium, others as they come, what is not known last. @param {string[]} names */
export function orderTiers(names) {
  const place = (/** @type {string} */ name) => (name === "unknown" ? 99 : ["cheap", "standard", "premium"].indexOf(name) + 1 || 50);
  return names.sort((a, b) => place(a) - place(b));
}

/** @param {{bucket_us: number, starts: number[]}} series @returns {Buckets} */
function buckets({ bucket_us, starts, ...columns }) {
  return { bucketUs: bucket_us, starts, columns: /** @type {Record<string, number[]>} */ (columns) };
}

/** @param {string} key */
function tile(key) {
  return document.querySelector(`[data-tile="${key}"]`);
}

/** @param {string} key @param {{value?: string, detail?: string, spark?: (number | null)[]}} figures */
function setTile(key, { value, detail, spark }) {
  const node = tile(key);
  if (!node) return;
  if (value !== undefined) setText(node.querySelector(".tile-number"), value);
  if (detail !== undefined) setText(node.querySelector(".tile-detail"), detail);
  if (spark) node.querySelector(".tile-spark path")?.setAttribute("d", sparkPath(spark));
}

/** Spend today: it is the same whatever the range. @param {LiveMessage} message */
export function showToday(message) {
  const { cost_usd, budget_usd, projected_usd } = message.metrics.costs.today;
  const course = projected_usd === null ? "" : `on course for ${usd(projected_usd)}`;
  const of = budget_usd === null ? "" : `of ${usd(budget_usd)}`;
  const detail = [of, course].filter(Boolean).join(", ");
  setTile("spend_today", { value: usd(cost_usd), ...(detail ? { detail } : {}) });
  const meter = tile("spend_today")?.querySelector(".meter");
  if (!meter || budget_usd === null) return;
  meter.querySelector(".meter-fill")?.setAttribute("width", `${Math.min(100, (Number(cost_usd) / Number(budget_usd)) * 100).toFixed(2)}%`);
  if (projected_usd !== null) meter.querySelector(".meter-mark")?.setAttribute("x", `${Math.min(99.5, (Number(projected_usd) / Number(budget_usd)) * 100).toFixed(2)}%`);
}

/** All tiles of the live range, in the server's words. @param {LiveMessage} message @param {LiveSeries} series */
export function showTiles(message, series) {
  const { performance, costs, usage } = message.metrics;
  const { operations = [], errors = [], p95_ms = [] } = series.performance.columns;
  setTile("rate", { value: rate(performance.operations / WINDOW_MIN), detail: `${count(performance.operations)} in all`, spark: thin(operations, SPARK_POINTS) });
  setTile("efficiency", { value: ratio(costs.window.efficiency_ratio), detail: worthText(costs.window) });
  setTile("latency", { value: ms(performance.p95_ms), detail: `p50 ${ms(performance.p50_ms)} · p99 ${ms(performance.p99_ms)}`, spark: thin(p95_ms, SPARK_POINTS) });
  setTile("errors", { value: percent(performance.error_ratio), detail: `${count(performance.errors)} of ${count(performance.operations)}`, spark: thin(shares(errors, operations), SPARK_POINTS) });
  setTile("tokens", { value: count(usage.input_tokens + usage.output_tokens), detail: `${count(usage.input_tokens)} in · ${count(usage.output_tokens)} out`, spark: thin(both(series.tokens.columns), SPARK_POINTS) });
  setTile("coverage", { value: percent(costs.window.coverage_ratio), detail: basisText(costs.window.basis) });
}

/** @param {(number | null)[]} parts @param {(number | null)[]} wholes @returns {(number | null)[]} null where the whole is 0 */
function shares(parts, wholes) {
  return wholes.map((whole, place) => (whole ? (parts[place] ?? 0) / whole : null));
}

/** @param {Record<string, (number | null)[]>} columns */
function both(columns) {
  return (columns.input_tokens ?? []).map((value, place) => total([value, columns.output_tokens?.[place] ?? 0]));
}

/** The two commonest cost bases: a tile has room for no more. @param {import("./types.js").Basis} basis */
export function basisText(basis) {
  const names = /** @type {const} */ (["billed", "computed", "reported", "unknown"]);
  const split = names.filter((name) => basis[name]).sort((a, b) => basis[b] - basis[a]).map((name) => `${name} ${count(basis[name])}`);
  return split.slice(0, 2).join(" · ") || UNKNOWN;
}

/** The two sums whose quotient is the efficiency ratio. @param {{cost_usd: string, efficiency_ratio: number | null}} cost */
export function worthText({ cost_usd, efficiency_ratio }) {
  return efficiency_ratio === null ? UNKNOWN : `${usd(Number(cost_usd) * efficiency_ratio)} for ${usd(cost_usd)}`;
}

/** The feed: rows come in where their time belongs, newest on top, and the rest stays where it is. */
export class Feed {
  /** @param {HTMLElement} list @param {() => number} nowUs @param {string} zone */
  constructor(list, nowUs, zone) {
    this.list = list;
    this.nowUs = nowUs;
    this.zone = zone;
  }

  /** @param {LiveMessage} message @param {(startedUs: number) => boolean} inRange */
  take(message, inRange) {
    const shown = new Set([...this.list.children].map((row) => row.getAttribute("data-key")));
    const fresh = message.feed.filter((item) => !shown.has(item.operation_id) && inRange(item.started_us));
    if (!fresh.length) return;
    const scrolled = this.list.scrollTop;
    const before = this.list.scrollHeight;
    fresh.forEach((item) => this.insert(item, message.kind !== "snapshot"));
    if (scrolled > 0) this.list.scrollTop = scrolled + this.list.scrollHeight - before;
    while (this.list.children.length > FEED_ROWS) this.list.lastElementChild?.remove();
  }

  /** An import brings operations of long ago: they are new here, but not the latest. @param {FeedItem} item @param {boolean} isNew */
  insert(item, isNew) {
    const older = [...this.list.children].find((row) => Number(row.querySelector("time")?.dataset.us) < item.started_us);
    this.list.insertBefore(this.row(item, isNew), older ?? null);
  }

  /** @param {FeedItem} item @param {boolean} isNew */
  row(item, isNew) {
    const model = item.model ? [swatch(item.tier), el("span", { class: "clip" }, item.model)] : [el("span", { class: "muted" }, item.kind)];
    return el("li", { "data-key": item.operation_id, class: isNew ? "is-new" : null }, el("a", { class: "feed-row", href: item.href },
      el("span", { class: `dot ${item.status}`, title: item.status }),
      el("time", { class: "feed-time", datetime: item.started_at, title: exact(item.started_us, this.zone), "data-us": String(item.started_us) }, ago(item.started_us, this.nowUs())),
      el("span", { class: "feed-name clip" }, item.name),
      el("span", { class: "feed-model clip" }, ...model),
      el("span", { class: "feed-user clip" }, item.user ?? item.project ?? ""),
      el("span", { class: "feed-ms number" }, ms(item.duration_ms)),
      el("span", { class: "feed-cost number" }, usd(item.cost_usd))));
  }
}

/** Resources of the host: the last reading in words, its course as a line. */
export class Host {
  /** @param {Record<string, (number | null)[]>} series what the page was made with @param {boolean} slide whether the lines go on with each reading */
  constructor(series, slide) {
    const known = (series.cpu_ratio ?? []).filter((value) => value !== null).length;
    this.slide = slide || known < 3; // a monitor that was just started has no course to show yet: it is drawn as it comes
    this.series = slide ? { ...series } : {};
    this.lastAt = "";
  }

  /** @param {import("./types.js").ResourcePoint | null} now */
  take(now) {
    if (!now || now.sampled_at === this.lastAt) return;
    this.lastAt = now.sampled_at;
    const memory = now.memory_used_bytes / now.memory_total_bytes;
    this.show("cpu", percent(now.cpu_ratio), now.load_1m === null ? "" : `load ${now.load_1m.toFixed(2)}`, "cpu_ratio", now.cpu_ratio);
    this.show("memory", percent(memory), `${bytes(now.memory_used_bytes)} of ${bytes(now.memory_total_bytes)}`, "memory_used_ratio", memory);
    this.show("disk", percent(now.disk_used_bytes / now.disk_total_bytes), `${bytes(now.disk_write_bytes_s)}/s written`, "disk_write_bytes_s", now.disk_write_bytes_s);
    this.show("network", `${bytes(now.net_received_bytes_s)}/s`, `${bytes(now.net_sent_bytes_s)}/s sent`, "net_received_bytes_s", now.net_received_bytes_s);
    setText(document.querySelector('[data-host="note"]'), `monitor ${percent(now.process_cpu_ratio)} CPU, ${bytes(now.process_rss_bytes)}`);
  }

  /** @param {string} key @param {string} value @param {string} detail @param {string} column @param {number | null} point */
  show(key, value, detail, column, point) {
    const node = document.querySelector(`.host[data-host="${key}"]`);
    if (!node) return;
    setText(node.querySelector(".host-value"), value);
    setText(node.querySelector(".host-detail"), detail);
    if (!this.slide) return;
    const values = [...(this.series[column] ?? []), point].slice(-HOST_POINTS);
    this.series[column] = values;
    node.querySelector("path")?.setAttribute("d", sparkPath(values));
  }
}
