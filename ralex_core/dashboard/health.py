"""Whether the monitor lives and takes data, with reasons: for supervisors, its own page, `doctor` and metrics.

Reasons come from what threads note as they work (`vitals`) and from a probe: the stores are asked and a little is
written to the disk, in a thread of its own that nobody has to wait for. So the answer comes while a decoder or the
writer never returns, and says which it is. Reasons are for everybody to read: no paths, no text of errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import threading
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from ralex_core.dashboard.contexts.monitor import HealthReason
from ralex_core.dashboard.host import Host
from ralex_core.errors import RalexError, StoreFull
from ralex_core.render import duration, to_iso
from ralex_core.vitals import Kind, Vitals, Work

logger = logging.getLogger(__name__)

PROBE_EVERY_S = 2.0
"""A probe serves everybody who asks within this."""
PROBE_WAIT_S = 1.0
"""How long an answer waits for a probe; after that the one before counts."""
PROBE_BYTES = 256 * 1024
"""About the least that a commit and its log need."""
FAILED_LATELY_S = 15.0
"""How long a commit that failed counts while probes succeed: then senders may try again."""
TASK_FACTOR = 10
"""A backup or retention of a large store runs between commits, and longer than any of them."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What one look found; None is fine. `since_s` are monotonic seconds of the first look that found the same."""

    store: str | None = None
    """Why the telemetry store does not answer, for the owner: may name paths."""
    state: bool = True
    disk: bool = True
    since_s: dict[str, float] = field(default_factory=dict[str, float])


class HealthDesk:
    """One per application. Every method answers within `PROBE_WAIT_S`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._vitals: Vitals = host.metrics.vitals
        self._lock = threading.Lock()
        self._probe = Probe()
        self._probed_s: float | None = None
        self._running: Future[None] | None = None

    # --- answers -----------------------------------------------------------------------------------------------

    async def ask(self) -> list[HealthReason]:
        """`reasons`, for the event loop. It leaves no thread of a pool waiting, since those may all be stuck."""
        running = self._look()
        if running is not None:
            await asyncio.wait([asyncio.wrap_future(running)], timeout=PROBE_WAIT_S)
        return self._reasons()

    def reasons(self) -> list[HealthReason]:
        """Why the monitor cannot take data now, the gravest first; empty when it can."""
        running = self._look()
        if running is not None:
            wait([running], PROBE_WAIT_S)
        return self._reasons()

    def store_problem(self) -> str | None:
        """Why the telemetry store does not answer, as of the last probe. For the owner: it may name paths."""
        return self._probe.store

    def wedged(self) -> list[HealthReason]:
        """Those reasons that only a restart helps against. Reads memory only."""
        return [reason for reason in self._reasons() if reason.restart]

    # --- probing -----------------------------------------------------------------------------------------------

    def _look(self) -> Future[None] | None:
        """The probe that runs, a new one when it is time; None when the last one is fresh."""
        with self._lock:
            if self._running is not None and not self._running.done():
                return self._running
            now = self._vitals.now_s()
            if self._probed_s is not None and now - self._probed_s < PROBE_EVERY_S:
                return None
            self._running = Future()
            threading.Thread(target=self._run, args=(self._running,), name="health-probe", daemon=True).start()
            return self._running

    def _run(self, done: Future[None]) -> None:
        try:
            with self._vitals.working("probe", "a question to the stores"):
                before, now = self._probe, self._vitals.now_s()
                found = Probe(self._host.ready(), self._state_writable(), _disk_writable(self._host.settings.home))
                wrong = {"store": found.store is not None, "state": not found.state, "disk": not found.disk}
                since = {name: before.since_s.get(name, now) for name, is_wrong in wrong.items() if is_wrong}
                self._probe = Probe(found.store, found.state, found.disk, since)
                self._probed_s = self._vitals.now_s()
        except Exception:
            # Boundary: a probe that fails in a way nobody thought of must not end probing.
            logger.exception("The health of the monitor could not be probed")
            self._host.metrics.add("health_failures_total")
        finally:
            done.set_result(None)

    def _state_writable(self) -> bool:
        try:
            self._host.state.check_writable()
        except RalexError as error:
            return isinstance(error, StoreFull)  # the reason of the disk tells of that
        return True

    # --- judging -----------------------------------------------------------------------------------------------

    def _reasons(self) -> list[HealthReason]:
        return [*self._stuck(), *self._refusing(), *self._unanswered(), *self._queue()]

    def _stuck(self) -> list[HealthReason]:
        limit = self._host.settings.stuck_after_s
        limits: dict[Kind, float] = {"decode": limit, "commit": limit, "task": limit * TASK_FACTOR, "probe": limit}
        now = self._vitals.now_s()
        found: dict[str, HealthReason] = {}
        for work in self._vitals.works():
            if now - work.since_s > limits[work.kind] and _CODES[work.kind] not in found:
                found[_CODES[work.kind]] = self._stuck_at(work, now)
        if self._host.writer.is_dead:
            found["writer_dead"] = self._reason(
                "writer_dead", "The thread that stores has ended; nothing is stored any more.", _RESTART, now, True
            )
        return list(found.values())

    def _stuck_at(self, work: Work, now: float) -> HealthReason:
        who = {"decode": "A decoder", "commit": "The writer", "task": "The writer", "probe": "The store"}[work.kind]
        sentence = f"{who} is stuck: {work.what} has taken {duration((now - work.since_s) * 1000)} so far."
        return self._reason(_CODES[work.kind], sentence, _RESTART, work.since_s, True)

    def _refusing(self) -> list[HealthReason]:
        failure, probe = self._vitals.commit_failure, self._probe
        lately = failure is not None and self._vitals.now_s() - failure.last_s < FAILED_LATELY_S
        full = not probe.disk or (lately and failure is not None and failure.full)
        if full:
            since = probe.since_s.get("disk", self._vitals.now_s())
            if failure is not None and failure.full:
                since = min(since, failure.first_s)
            return [self._reason("disk_full", "The disk is full: nothing new is stored.", _MAKE_ROOM, since)]
        if lately and failure is not None:
            sentence = "The telemetry store refused the last commit; its sender was told."
            return [self._reason("store_refuses", sentence, _SEE_LOG, failure.first_s)]
        return []

    def _unanswered(self) -> list[HealthReason]:
        probe, found = self._probe, list[HealthReason]()
        if probe.store is not None:
            sentence = "The telemetry store does not answer."
            found.append(self._reason("store_unavailable", sentence, _SEE_LOG, probe.since_s["store"]))
        if not probe.state:
            sentence = "The state file cannot be written: settings, budgets and imports cannot be changed."
            found.append(self._reason("state_unwritable", sentence, _PERMISSIONS, probe.since_s["state"]))
        return found

    def _queue(self) -> list[HealthReason]:
        refused = self._vitals.refused_lately()
        if refused is None:
            return []
        limit = self._host.settings.queue_operations
        sentence = (
            f"{refused.operations:,} operations were refused in the last minute, because the queue of {limit:,} was "
            "full; their senders were told to send again."
        )
        return [self._reason("queue_full", sentence, _SLOW_DISK, refused.since_s)]

    def _reason(self, code: str, sentence: str, advice: str, since_s: float, restart: bool = False) -> HealthReason:
        since_us = self._host.clock.now_us() - round((self._vitals.now_s() - since_s) * 1e6)
        return HealthReason(code, sentence, advice, to_iso(since_us) or "", since_us, restart)


_CODES: dict[Kind, str] = {
    "decode": "decoder_stuck",
    "commit": "writer_stuck",
    "task": "writer_stuck",
    "probe": "store_stuck",
}
CODES = (
    *dict.fromkeys(_CODES.values()),
    "writer_dead",
    "disk_full",
    "store_refuses",
    "store_unavailable",
    "state_unwritable",
    "queue_full",
)
"""Every code there is; /metrics shows each as 0 or 1."""

_RESTART = "Restart the monitor; nothing acknowledged is lost. Its last words say what was stuck."
_MAKE_ROOM = "Free some room on the disk of the data directory, or set retention_days; it goes on by itself."
_SEE_LOG = "See the monitor's log and `ralex-monitor doctor`; it goes on by itself when the cause is gone."
_PERMISSIONS = "Make the data directory and state.sqlite writable for the monitor; it goes on by itself."
_SLOW_DISK = "Nothing, if it was a burst. If it lasts, the disk is too slow: see Commits on the page This monitor."


def _disk_writable(home: Path) -> bool:
    """Whether a commit would find room: a little is written and taken away again."""
    probe = home / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return True
