/** The connection to `/ws/monitoring`: reconnects by itself, knows how old its data is, rests while nobody looks. */

/** @typedef {"connecting" | "live" | "paused" | "reconnecting"} State */

export const SILENCE_MS = 12_000; // the server sends at least every 5 s
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;

/**
 * How long to wait before a new attempt: doubling, capped, and spread so that many pages do not come back at once.
 * @param {number} attempt 0 for the first retry @param {number} random 0–1
 */
export function retryDelay(attempt, random) {
  const base = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt, 10));
  return Math.round(base * (0.5 + random / 2));
}

export class Live {
  /**
   * @param {string} url path of the socket with filters
   * @param {(message: import("./types.js").LiveMessage) => void} onMessage
   * @param {(state: State, ageMs: number | null) => void} onState called on every change and each second while not live
   */
  constructor(url, onMessage, onState) {
    this.url = url;
    this.onMessage = onMessage;
    this.onState = onState;
    /** @type {State} */
    this.state = "connecting";
    /** @type {WebSocket | null} */
    this.socket = null;
    this.attempt = 0;
    /** @type {number | null} */
    this.lastAt = null;
    this.pausedByUser = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.retry = undefined;
    document.addEventListener("visibilitychange", () => this.look());
    addEventListener("online", () => this.soon());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.look());
    setInterval(() => this.watch(), 1000);
    this.look();
  }

  /** Connects or rests, as the tab is seen or hidden. */
  look() {
    if (document.hidden || this.pausedByUser) {
      this.close();
      if (this.pausedByUser) this.set("paused");
    } else if (!this.socket) this.open();
  }

  /** @returns {boolean} whether it is paused now */
  togglePause() {
    this.pausedByUser = !this.pausedByUser;
    this.look();
    return this.pausedByUser;
  }

  /** Other filters: a new connection. @param {string} url */
  retarget(url) {
    if (url === this.url) return;
    this.url = url;
    this.close();
    this.look();
  }

  open() {
    clearTimeout(this.retry);
    const socket = new WebSocket(new URL(this.url, location.href.replace(/^http/, "ws")));
    this.socket = socket;
    this.openedAt = Date.now();
    socket.onmessage = (event) => {
      if (this.socket !== socket || event.data === "pong") return;
      this.lastAt = Date.now();
      this.attempt = 0;
      this.onMessage(JSON.parse(event.data));
      this.set("live");
    };
    socket.onclose = (event) => this.socket === socket && this.lost(event.code);
  }

  close() {
    clearTimeout(this.retry);
    const socket = this.socket;
    this.socket = null;
    if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close(); // to close it now would be reported as a failure
    else socket?.close();
  }

  /** @param {number} code */
  lost(code) {
    this.socket = null;
    if (code === 4401) {
      location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
      return;
    }
    this.set("reconnecting");
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.look(), retryDelay(this.attempt, Math.random()));
    this.attempt += 1;
  }

  soon() {
    this.attempt = 0;
    if (!this.socket) this.look();
  }

  /** A connection that says nothing is no connection. */
  watch() {
    if (this.state !== "live" && this.state !== "connecting") this.onState(this.state, this.age());
    const since = Math.max(this.lastAt ?? 0, this.openedAt ?? 0);
    if (this.socket && Date.now() - since > SILENCE_MS) {
      const socket = this.socket;
      this.lost(1006);
      socket.close();
    }
  }

  /** @returns {number | null} milliseconds since the last message */
  age() {
    return this.lastAt === null ? null : Date.now() - this.lastAt;
  }

  /** @param {State} state */
  set(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state, this.age());
  }
}
