/** Arithmetic on series for charts and sparklines. Pure functions: nothing here knows the page. */

/** @typedef {(number | null)[]} Values */

/**
 * The `d` of an SVG path through the values in a 100 × 24 box, oldest left; a gap where a value is null.
 * The scale starts at zero, so that a flat line is flat and not noise.
 * @param {Values} values
 */
export function sparkPath(values, width = 100, height = 24) {
  const known = values.filter((value) => value !== null);
  if (!known.length) return "";
  const top = Math.max(...known, 0) || 1;
  const step = width / Math.max(1, values.length - 1);
  let path = "";
  let down = false;
  values.forEach((value, place) => {
    if (value === null) {
      down = false;
      return;
    }
    const y = height - 1 - (Math.max(0, value) / top) * (height - 2);
    path += `${down ? "L" : "M"}${(place * step).toFixed(1)} ${y.toFixed(1)}`;
    down = true;
  });
  return path;
}

/**
 * Running sums from the bottom series up, so that series can be drawn as a stack. Hidden series add nothing.
 * @param {number[][]} series bottom first, all of one length
 * @param {boolean[]} shown
 * @returns {number[][]}
 */
export function stack(series, shown) {
  /** @type {number[] | null} */
  let below = null;
  return series.map((values, place) => {
    const base = below;
    below = values.map((value, index) => (base?.[index] ?? 0) + (shown[place] ? value : 0));
    return below;
  });
}

/** @param {Values} values @returns {number} the sum of what is known */
export function total(values) {
  return values.reduce((/** @type {number} */ sum, value) => sum + (value ?? 0), 0);
}

/**
 * Places whose neighbours are both unknown: a line cannot show them, a dot can.
 * @param {Values} values
 */
export function isolated(values) {
  return values.flatMap((value, place) =>
    value !== null && (values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null ? [place] : []);
}

/**
 * At most `most` values: the mean of what is known in each stretch, null where nothing was. The server thins likewise.
 * @param {Values} values @param {number} most
 * @returns {Values}
 */
export function thin(values, most) {
  const size = Math.ceil(values.length / most);
  if (size <= 1) return values;
  /** @type {Values} */
  const result = [];
  for (let start = 0; start < values.length; start += size) {
    const known = values.slice(start, start + size).filter((value) => value !== null);
    result.push(known.length ? total(known) / known.length : null);
  }
  return result;
}

/**
 * @typedef {object} Buckets
 * @property {number} bucketUs
 * @property {number[]} starts evenly spaced, ascending
 * @property {Record<string, Values>} columns each as long as `starts`
 */

/**
 * The buckets with an update laid over them: known starts are replaced, later ones appended, holes between filled with
 * empty buckets, and what is older than `keepUs` before the last start is dropped.
 * @param {Buckets} old
 * @param {Buckets} update
 * @param {number} keepUs
 * @param {(column: string) => number | null} empty what an empty bucket holds
 * @returns {Buckets}
 */
export function upsert(old, update, keepUs, empty) {
  if (!update.starts.length) return old;
  const bucketUs = update.bucketUs;
  const last = Math.max(old.starts.at(-1) ?? 0, update.starts.at(-1) ?? 0);
  const first = Math.max(Math.min(old.starts[0] ?? last, update.starts[0] ?? last), last - keepUs + bucketUs);
  const starts = Array.from({ length: Math.round((last - first) / bucketUs) + 1 }, (_, place) => first + place * bucketUs);
  const oldPlace = new Map(old.starts.map((start, place) => [start, place]));
  const newPlace = new Map(update.starts.map((start, place) => [start, place]));
  /** @type {Record<string, Values>} */
  const columns = {};
  for (const name of new Set([...Object.keys(old.columns), ...Object.keys(update.columns)])) {
    columns[name] = starts.map((start) => {
      const fresh = newPlace.get(start);
      if (fresh !== undefined) {
        const values = update.columns[name];
        return values ? (values[fresh] ?? null) : empty(name);
      }
      const known = oldPlace.get(start);
      const values = old.columns[name];
      return known === undefined || !values ? empty(name) : (values[known] ?? null);
    });
  }
  return { bucketUs, starts, columns };
}

/**
 * Lightness steps for the members of one hue, spread so that neighbours differ.
 * @param {number} place @param {number} members
 * @returns {number} percent of the hue to keep, 100 first, the rest is mixed with the paper
 */
export function shade(place, members) {
  if (members <= 1) return 100;
  return Math.round(100 - (place * 62) / (members - 1));
}
