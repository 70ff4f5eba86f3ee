/** First minutes: imports with progress, guides in tabs, copying, and a word when the first operation arrives. */

import { api, setText } from "./dom.js";
import { count } from "./format.js";
import { Live } from "./live.js";
import { current, say } from "./shell.js";

const POLL_MS = 500;

/**
 * @typedef {object} Job
 * @property {string} source
 * @property {"queued" | "running" | "done" | "failed"} state
 * @property {number | null} progress_ratio
 * @property {number} read
 * @property {number} imported
 * @property {number} duplicates
 * @property {number} rejected
 * @property {string | null} message
 */

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const source = target?.closest("[data-import]")?.getAttribute("data-import");
  if (source) {
    event.preventDefault(); // the form around it is for pages without scripts
    void startImport(source);
  }
  const copy = target?.closest("[data-copy]");
  if (copy) void copyCode(copy);
  const tab = target?.closest('[role="tab"]');
  if (tab instanceof HTMLElement) choose(tab);
});

/** @param {string} source */
async function startImport(source) {
  try {
    const answer = await api("/api/v1/imports", { method: "POST", body: { source } });
    /** @type {Job[]} */
    const jobs = answer.jobs ?? [answer];
    jobs.forEach(showJob);
    setTimeout(poll, POLL_MS);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

let polling = false;

async function poll() {
  if (polling) return;
  polling = true;
  try {
    /** @type {{jobs: Job[]}} */
    const { jobs } = await api("/api/v1/imports");
    latest(jobs).forEach(showJob);
    const busy = jobs.some((job) => job.state === "queued" || job.state === "running");
    if (busy) setTimeout(poll, POLL_MS);
    else if (jobs.some((job) => job.state === "done" && job.imported > 0)) showDone();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  } finally {
    polling = false;
  }
}

/** The last job of every source. @param {Job[]} jobs oldest first or newest first: a running one wins */
function latest(jobs) {
  /** @type {Map<string, Job>} */
  const bySource = new Map();
  for (const job of jobs) {
    const known = bySource.get(job.source);
    if (!known || (known.state !== "running" && known.state !== "queued")) bySource.set(job.source, job);
  }
  return [...bySource.values()];
}

/** @param {Job} job */
function showJob(job) {
  const row = document.querySelector(`[data-source="${CSS.escape(job.source)}"]`);
  const box = row?.querySelector(".job");
  if (!row || !(box instanceof HTMLElement)) return;
  const busy = job.state === "queued" || job.state === "running";
  box.hidden = false;
  box.dataset.state = job.state;
  const bar = box.querySelector("progress");
  if (bar && job.state === "done") bar.value = 1;
  else if (bar && job.progress_ratio !== null) bar.value = job.progress_ratio;
  const counts = `${count(job.imported)} imported, ${count(job.duplicates)} already known, ${count(job.rejected)} rejected`;
  setText(box.querySelector('[role="status"]'), job.state === "queued" ? "Waiting" : [counts, job.message].filter(Boolean).join(". "));
  const button = row.querySelector("[data-import]");
  if (button instanceof HTMLButtonElement) {
    button.disabled = busy;
    setText(button, busy ? "Importing" : job.state === "failed" ? "Try again" : "Import again");
  }
}

function showDone() {
  const note = document.getElementById("arrived");
  if (!note) return;
  note.hidden = false;
  setText(note.querySelector("[data-arrived]"), "Imported.");
  const link = note.querySelector("a");
  link?.setAttribute("href", "/");
  setText(link, "Open the overview");
}

/** @param {Element} button */
async function copyCode(button) {
  const code = button.parentElement?.querySelector("code")?.textContent ?? "";
  const label = button.querySelector("span");
  try {
    await navigator.clipboard.writeText(code);
    setText(label, "Copied");
  } catch {
    const range = document.createRange();
    const node = button.parentElement?.querySelector("code");
    if (node) range.selectNodeContents(node);
    getSelection()?.removeAllRanges();
    getSelection()?.addRange(range);
    setText(label, "Selected");
  }
  setTimeout(() => setText(label, "Copy"), 2000);
}

/** @param {HTMLElement} tab */
function choose(tab) {
  for (const other of document.querySelectorAll('[role="tab"]')) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.setAttribute("tabindex", chosen ? "0" : "-1");
    const panel = document.getElementById(other.getAttribute("aria-controls") ?? "");
    if (panel) panel.hidden = !chosen;
  }
  history.replaceState(null, "", `#${tab.id.replace("tab-", "")}`);
}

document.querySelector('[role="tablist"]')?.addEventListener("keydown", (event) => {
  const key = /** @type {KeyboardEvent} */ (event).key;
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[key];
  if (!step) return;
  const tabs = [...document.querySelectorAll('[role="tab"]')].filter((node) => node instanceof HTMLElement);
  const next = tabs[(tabs.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + step + tabs.length) % tabs.length];
  event.preventDefault();
  if (next) choose(next);
  next?.focus();
});

const wanted = location.hash && document.getElementById(`tab-${location.hash.slice(1)}`);
if (wanted) choose(wanted);
if (document.querySelector('.job[data-state="running"], .job[data-state="queued"]')) void poll();

/** With an empty store the first operation may be there before the connection is. */
const wasEmpty = document.getElementById("welcome")?.hasAttribute("data-empty") ?? false;

/** @param {import("./types.js").LiveMessage} message */
function announce(message) {
  const importing = document.querySelector('.job[data-state="running"], .job[data-state="queued"]');
  const note = document.getElementById("arrived");
  if (note && message.feed.length && !importing && !message.health.demo && (wasEmpty || message.kind === "update")) note.hidden = false;
}

const socket = current().ws;
if (socket) void new Live(socket, announce, () => {});
