"""The one thread that writes telemetry: batches are committed together, acknowledged after, and announced last."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import cast

from ralex_core.errors import IntakeFull, RalexError, StoreError, StoreFull
from ralex_core.model.operation import Operation
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.inbox import Amend, Expected, Inbox, Submission
from ralex_core.storage.telemetry import Amendment, ResourceRecord, Revalued, Store, WriteResult

logger = logging.getLogger(__name__)

CommitListener = Callable[[Sequence[Operation]], None]

MAX_BATCH = 8192
"""Operations per commit: more gains nothing and delays the first acknowledgement."""
GATHER_OPERATIONS = 1536
GATHER_S = 0.1
"""A commit of fewer operations waits this long at most for those that are announced (see `BatchWriter.expecting`)."""
MINUTES_INTERVAL_S = 1.0
COARSE_INTERVAL_S = 30.0
"""How far minute rollups, and hour and day ones, may be behind while operations keep coming."""
ROLLUP_SHARE = 0.05
"""The most of the thread's time that rollups may take: dearer ones come less often."""
RETRY_AFTER_S = 2
RESOURCE_BATCH_S = 10.0
"""Resource samples are not acknowledged to anybody, so they wait for company."""


@dataclass(slots=True)
class _Cadence:
    """When something that falls behind is next brought up to date."""

    interval_s: float
    behind: bool = True
    not_before: float = 0.0
    behind_since: float | None = None

    def fall_behind(self, now: float) -> None:
        self.behind = True
        if self.behind_since is None:
            self.behind_since = now

    def caught_up(self) -> None:
        self.behind = False
        self.behind_since = None

    def lag_s(self, now: float) -> float:
        since = self.behind_since
        return 0.0 if since is None else now - since

    def due_in(self, now: float) -> float:
        return self.not_before - now if self.behind else float("inf")

    def wait(self, now: float, took_s: float) -> None:
        """It was just tried, which took `took_s`: not again before its interval, or longer if it is dear."""
        self.not_before = now + max(self.interval_s, took_s / ROLLUP_SHARE)


class BatchWriter:
    """Owns all writes to `store`. `submit` never blocks; its future resolves after the commit, or with the error."""

    def __init__(
        self, store: Store, *, queue_operations: int, metrics: SelfMetrics, gather_s: float = GATHER_S
    ) -> None:
        self._store = store
        self._capacity = queue_operations
        self._gather_s = gather_s
        self._metrics = metrics
        self._inbox = Inbox()
        self._listeners: list[CommitListener] = []
        self._thread = threading.Thread(target=self._run, name="telemetry-writer", daemon=True)
        self._minutes = _Cadence(MINUTES_INTERVAL_S)
        self._coarse = _Cadence(COARSE_INTERVAL_S)
        self._samples_due_at = 0.0
        self._told: dict[str, str] = {}
        """What fails beside commits → the failure that was logged."""

    # --- for any thread ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def submit(self, operations: Sequence[Operation]) -> Future[WriteResult]:
        """Queue operations for the next commit.

        Raises:
            IntakeFull: the queue holds `queue_operations` already, or the writer is closing; nothing was taken.
        """
        future: Future[WriteResult] = Future()
        if not operations:
            future.set_result(WriteResult(0, 0, 0))
            return future
        inbox = self._inbox
        with inbox.condition:
            if inbox.closed:
                raise IntakeFull("The monitor is shutting down; send again when it is back.", RETRY_AFTER_S)
            if inbox.waiting and inbox.waiting + len(operations) > self._capacity:
                self._metrics.add("intake_refused_operations_total", len(operations))
                self._metrics.vitals.refused(len(operations))
                raise IntakeFull(
                    f"{inbox.waiting} operations are waiting for a commit, the queue takes {self._capacity}. "
                    "Send again later.",
                    RETRY_AFTER_S,
                )
            inbox.waiting += len(operations)
            inbox.submissions.append(Submission(operations, future))
            inbox.condition.notify()
        return future

    def expecting(self) -> Expected:
        """Announce a submission that is being prepared: a small commit waits a moment for it.

        A commit costs as much as some 700 operations in it, so many senders are served soonest, and at the least cost,
        when those who come at the same time are committed together.
        """
        return Expected(self._inbox)

    def submit_resources(self, samples: Sequence[ResourceRecord]) -> None:
        """Queue resource samples; they are written within `RESOURCE_BATCH_S` and acknowledged to nobody."""
        with self._inbox.condition:
            self._inbox.samples.extend(samples)

    def amend(self, amendments: Sequence[Amendment]) -> Future[int]:
        """Apply what became known later; the future gives the number of operations changed."""
        future: Future[int] = Future()
        with self._inbox.condition:
            if self._inbox.closed:
                raise IntakeFull("The monitor is shutting down; send again when it is back.", RETRY_AFTER_S)
            self._inbox.amends.append(Amend(amendments, future))
            self._inbox.condition.notify()
        return future

    def revalue(self, ids: Sequence[str], change: Callable[[Operation], Operation]) -> Future[list[Revalued]]:
        """`Store.revalue` between two commits; `change` runs on the writer thread and must be quick."""

        def work() -> object:
            found = self._store.revalue(ids, change)
            self._behind()
            return found

        return cast("Future[list[Revalued]]", self.run(work))

    def run(self, task: Callable[[], object]) -> Future[object]:
        """Run something on the writer thread between commits (retention, a backup)."""
        future: Future[object] = Future()
        with self._inbox.condition:
            if self._inbox.closed:
                raise IntakeFull("The monitor is shutting down; send again when it is back.", RETRY_AFTER_S)
            self._inbox.tasks.append((task, future))
            self._inbox.condition.notify()
        return future

    def flush(self) -> None:
        """Wait until everything queued so far is committed and the rollups have caught up."""
        self.run(self._refresh_rollups).result()

    def on_commit(self, listener: CommitListener) -> None:
        """Call `listener` on the writer thread with what each commit really stored. It must be quick."""
        self._listeners.append(listener)

    @property
    def waiting(self) -> int:
        """Operations queued and not yet committed."""
        return self._inbox.waiting

    @property
    def oldest_wait_s(self) -> float:
        """How long the operations that wait longest have waited; 0 when none do."""
        inbox = self._inbox
        with inbox.condition:
            oldest = inbox.oldest_at
            if oldest is None and inbox.submissions:
                oldest = inbox.submissions[0].at
        return 0.0 if oldest is None else time.monotonic() - oldest

    @property
    def rollup_lag_s(self) -> float:
        """How long something is committed that the minute, hour or day rollups do not tell of yet."""
        now = time.monotonic()
        return max(self._minutes.lag_s(now), self._coarse.lag_s(now))

    @property
    def is_dead(self) -> bool:
        """Whether the thread ended though nobody closed the writer: nothing is stored any more."""
        return self._thread.ident is not None and not self._thread.is_alive() and not self._inbox.closed

    def close(self) -> None:
        """Commit what is queued, refuse what comes after, and end the thread. Safe to call twice."""
        with self._inbox.condition:
            self._inbox.closed = True
            self._inbox.condition.notify()
        if self._thread.is_alive():
            self._thread.join()

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        working = self._metrics.vitals.working
        while True:
            work = self._next()
            if work is None:
                break
            submissions, amends, tasks, samples = work
            if submissions:
                with working("commit", "a commit of operations"):
                    self._commit(submissions)
            for amend in amends:
                with working("commit", "a correction of stored operations"):
                    self._settle(amend.future, lambda amend=amend: self._amend(amend))
            for task, future in tasks:
                with working("task", "a task between commits"):
                    self._settle(future, task)
            with working("task", "resource samples and rollups"):
                if samples:
                    self._boundary("resource samples", lambda samples=samples: self._store.write_resources(samples))
                self._refresh_when_due()
        with working("task", "the last rollups"):
            self._boundary("rollups", self._refresh_rollups)
            self._boundary("resource samples", lambda: self._store.write_resources(self._inbox.samples))

    def _next(
        self,
    ) -> (
        tuple[
            list[Submission],
            list[Amend],
            list[tuple[Callable[[], object], Future[object]]],
            list[ResourceRecord],
        ]
        | None
    ):
        inbox = self._inbox
        with inbox.condition:
            while not (inbox.submissions or inbox.amends or inbox.tasks):
                if inbox.closed:
                    return None
                now = time.monotonic()
                due_in = min(self._minutes.due_in(now), self._coarse.due_in(now))
                if due_in <= 0 or (inbox.samples and now >= self._samples_due_at):
                    break
                inbox.condition.wait(min(due_in, MINUTES_INTERVAL_S))
            self._gather()
            submissions: list[Submission] = []
            size = 0
            while inbox.submissions and (not submissions or size + len(inbox.submissions[0].operations) <= MAX_BATCH):
                submissions.append(inbox.submissions.popleft())
                size += len(submissions[-1].operations)
            amends: list[Amend] = []
            tasks: list[tuple[Callable[[], object], Future[object]]] = []
            if not inbox.submissions:
                amends, tasks = list(inbox.amends), list(inbox.tasks)
                inbox.amends.clear()
                inbox.tasks.clear()
            samples: list[ResourceRecord] = []
            if time.monotonic() >= self._samples_due_at:
                samples, inbox.samples = inbox.samples, []
                self._samples_due_at = time.monotonic() + RESOURCE_BATCH_S
            return submissions, amends, tasks, samples

    def _gather(self) -> None:
        """Wait for the announced submissions, while there are few operations. Holds the inbox's lock."""
        inbox = self._inbox
        if not inbox.submissions:
            return
        until = inbox.submissions[0].at + self._gather_s
        while inbox.expected and inbox.waiting < GATHER_OPERATIONS and not inbox.closed:
            left_s = until - time.monotonic()
            if left_s <= 0 or not inbox.condition.wait(left_s):
                return

    def _commit(self, submissions: list[Submission]) -> None:
        started = time.monotonic()
        count = sum(len(submission.operations) for submission in submissions)
        self._inbox.oldest_at = submissions[0].at
        try:
            if not self._write(submissions) and len(submissions) > 1:
                for submission in submissions:  # one of them is at fault: the others must not suffer for it
                    self._write([submission], last=True)
        finally:
            with self._inbox.condition:
                self._inbox.waiting -= count
                self._inbox.oldest_at = None
        took_s = time.monotonic() - started
        self._metrics.set("commit_last_seconds", took_s)
        self._metrics.observe("commit_seconds", took_s)
        self._metrics.observe("commit_operations", count)

    def _write(self, submissions: list[Submission], last: bool = False) -> bool:
        """Commit submissions as one batch. False: it failed, and nobody was told because a second try follows."""
        operations = [operation for submission in submissions for operation in submission.operations]
        try:
            result = self._store.write(operations)
        except Exception as error:
            if len(submissions) > 1 and not last:
                return False
            logger.error("A batch of %d operations was not stored: %s", len(operations), error)
            self._metrics.add("commit_failures_total")
            self._metrics.vitals.commit_failed(full=isinstance(error, StoreFull))
            failure = error if isinstance(error, RalexError) else StoreError(f"The batch was not stored: {error}")
            for submission in submissions:
                with contextlib.suppress(InvalidStateError):  # a caller that went away has cancelled its future
                    submission.future.set_exception(failure)
            return False
        self._metrics.vitals.committed()
        self._behind()
        self._metrics.add("operations_stored_total", result.inserted)
        self._metrics.add("operations_replaced_total", result.replaced)
        self._metrics.add("operations_duplicate_total", result.duplicates)
        if result.expired:
            self._metrics.add("operations_expired_total", result.expired)
        for submission, share in zip(submissions, _shares(submissions, result), strict=True):
            with contextlib.suppress(InvalidStateError):  # a caller that went away has cancelled its future
                submission.future.set_result(share)
        self._announce(result.stored)
        return True

    def _announce(self, stored: Sequence[Operation]) -> None:
        if not stored:
            return
        for listener in self._listeners:
            self._boundary("a commit listener", lambda listener=listener: listener(stored))

    def _amend(self, amend: Amend) -> int:
        changed = self._store.amend(amend.amendments)
        self._behind()
        return changed

    def _behind(self) -> None:
        now = time.monotonic()
        self._minutes.fall_behind(now)
        self._coarse.fall_behind(now)

    def _refresh_rollups(self) -> None:
        """Bring all rollups up to the last commit."""
        self._refresh(coarse=True)

    def _refresh(self, *, coarse: bool) -> None:
        started = time.monotonic()
        done = [self._minutes, self._coarse] if coarse else [self._minutes]
        try:
            if self._store.refresh_rollups(coarse=coarse):
                self._metrics.observe("rollup_seconds", time.monotonic() - started)
            for cadence in done:
                cadence.caught_up()
        finally:
            now = time.monotonic()
            for cadence in done:
                cadence.wait(now, now - started)
        if coarse and not self._inbox.waiting:
            self._boundary("folding the log", self._store.fold_log)

    def _refresh_when_due(self) -> None:
        now = time.monotonic()
        minutes = self._minutes.due_in(now) <= 0
        coarse = self._coarse.due_in(now) <= 0 or (minutes and self._store.needs_coarse)
        if coarse or minutes:
            self._boundary("rollups", lambda: self._refresh(coarse=coarse))

    def _settle(self, future: Future[int] | Future[object], work: Callable[[], object]) -> None:
        try:
            result = work()
        except Exception as error:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(error)
            return
        with contextlib.suppress(InvalidStateError):
            future.set_result(result)  # pyright: ignore[reportArgumentType] - the future was made for this work

    def _boundary(self, what: str, work: Callable[[], object]) -> None:
        """Nothing that fails here may end the thread: log once, count, go on."""
        try:
            work()
        except Exception as error:
            if self._told.get(what) != str(error):  # rollups are tried every second, and a disk stays full for hours
                self._told[what] = str(error)
                known = isinstance(error, RalexError)
                logger.error("The telemetry writer failed at %s: %s", what, error, exc_info=not known)
            self._metrics.add("writer_failures_total")
        else:
            self._told.pop(what, None)


def _shares(submissions: list[Submission], result: WriteResult) -> list[WriteResult]:
    """How the result of one commit falls to the submissions in it."""
    if len(submissions) == 1:
        return [result]
    if not (result.duplicates or result.replaced or result.expired):
        return [WriteResult(len(submission.operations), 0, 0) for submission in submissions]
    return _counted_shares(submissions, result)


def _counted_shares(submissions: list[Submission], result: WriteResult) -> list[WriteResult]:
    shares: list[WriteResult] = []
    seen: set[str] = set()
    for submission in submissions:
        inserted: set[str] = set()
        replaced: set[str] = set()
        duplicates: set[str] = set()
        expired: set[str] = set()
        late = 0
        for operation in submission.operations:
            identifier = operation.operation_id
            if identifier in result.expired_ids:
                expired.add(identifier)
                late += 1
            elif identifier in result.duplicate_ids or identifier in seen:
                duplicates.add(identifier)
            elif identifier in result.replaced_ids:
                replaced.add(identifier)
            else:
                inserted.add(identifier)
            seen.add(identifier)
        shares.append(
            WriteResult(
                inserted=len(inserted),
                replaced=len(replaced),
                duplicates=len(submission.operations) - len(inserted) - len(replaced) - late,
                replaced_ids=frozenset(replaced),
                duplicate_ids=frozenset(duplicates - inserted),
                expired=late,
                expired_ids=frozenset(expired),
            )
        )
    return shares
