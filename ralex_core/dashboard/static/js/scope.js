/** Range and filters in the address: the state of a view is its URL and nothing else. Pure functions on query strings. */

/** Filters every page knows, in the order they are offered. */
export const FILTERS = [
  { param: "project", label: "Project" },
  { param: "model", label: "Model" },
  { param: "tier", label: "Tier" },
  { param: "user", label: "User" },
  { param: "session", label: "Session" },
];

/** @param {string} query @returns {URLSearchParams} without the page number, which means nothing in another view */
function view(query) {
  const params = new URLSearchParams(query);
  params.delete("page");
  return params;
}

/** @param {URLSearchParams} params */
function text(params) {
  const query = params.toString();
  return query ? `?${query}` : "";
}

/** @param {string} query @param {string} key */
export function withRange(query, key) {
  const params = view(query);
  params.delete("from");
  params.delete("to");
  params.set("range", key);
  return text(params);
}

/**
 * A custom range, to the second: no view needs more, and addresses stay readable.
 * @param {string} query @param {number} fromUs @param {number} toUs
 */
export function withCustom(query, fromUs, toUs) {
  const params = view(query);
  const from = Math.floor(fromUs / 1e6);
  const to = Math.max(from + 1, Math.ceil(toUs / 1e6));
  params.set("range", "custom");
  params.set("from", iso(from));
  params.set("to", iso(to));
  return text(params);
}

/** @param {number} seconds */
function iso(seconds) {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}

/** Adds a filter; alternatives of one field live side by side. @param {string} query @param {string} param @param {string} value */
export function withFilter(query, param, value) {
  const params = view(query);
  if (!params.getAll(param).includes(value)) params.append(param, value);
  return text(params);
}

/** @param {string} query @param {string} param @param {string} value */
export function withoutFilter(query, param, value) {
  const params = view(query);
  const rest = params.getAll(param).filter((item) => item !== value);
  params.delete(param);
  rest.forEach((item) => params.append(param, item));
  return text(params);
}

/** @param {string} query @param {string} param @param {string} value */
export function hasFilter(query, param, value) {
  return new URLSearchParams(query).getAll(param).includes(value);
}

/** Only range and filters, for a page that does not know the rest. @param {string} query */
export function scopeOnly(query) {
  const params = new URLSearchParams(query);
  const kept = new URLSearchParams();
  for (const name of ["range", "from", "to", ...FILTERS.map((field) => field.param)])
    params.getAll(name).forEach((value) => kept.append(name, value));
  return text(kept);
}

/** The query a GET form would send, without the fields left empty; an empty filter is kept: it means "not known". @param {Iterable<[string, string]>} fields */
export function formQuery(fields) {
  const params = new URLSearchParams();
  const filters = FILTERS.map((field) => field.param);
  for (const [name, value] of fields) if (value !== "" || filters.includes(name)) params.append(name, value);
  return text(params);
}

/**
 * Values that match what was typed, best first: as it starts, as a word starts, anywhere.
 * @template T
 * @param {T[]} items @param {string} typed @param {(item: T) => string} textOf
 * @returns {T[]}
 */
export function match(items, typed, textOf) {
  const wanted = typed.trim().toLowerCase();
  if (!wanted) return items;
  const rank = (/** @type {T} */ item) => {
    const words = textOf(item).toLowerCase();
    const place = words.indexOf(wanted);
    if (place < 0) return wanted.split(/\s+/).every((word) => words.includes(word)) ? 3 : -1;
    return place === 0 ? 0 : /\W/.test(words[place - 1] ?? "") ? 1 : 2;
  };
  return items.map((item) => ({ item, rank: rank(item) })).filter((entry) => entry.rank >= 0)
    .sort((a, b) => a.rank - b.rank).map((entry) => entry.item);
}
