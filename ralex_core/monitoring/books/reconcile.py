"""One reconciliation with OpenRouter: the bills of single calls, then its sums beside ours.

What was learnt is stored every few calls, first the bills, then that they were asked for: whatever stops a run, the
next one goes on where it stopped, and asking for a call twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from pydantic import SecretStr

from ralex_core.clock import Clock
from ralex_core.config_openrouter import OpenRouterSettings
from ralex_core.errors import ConfigError, RalexError
from ralex_core.model.window import DAY_US, MINUTE_US, Window
from ralex_core.monitoring.books.bills import Answered, apply_bills, lookup_of
from ralex_core.monitoring.books.findings import activity_findings, key_findings
from ralex_core.monitoring.books.openrouter import Generation, Interrupted, OpenRouter, OpenRouterBusy, Wait
from ralex_core.monitoring.books.valuing import Valuing
from ralex_core.pricing.book import PriceBook
from ralex_core.storage.queries.reconciliation import UnbilledCall, unbilled_calls
from ralex_core.storage.state import StateStore
from ralex_core.storage.state_books import Finding, Lookup, Reconciliation, StoredReconciliations, accepted_claims
from ralex_core.storage.telemetry import Store
from ralex_core.storage.writer import BatchWriter

STORED_EVERY = 50
"""Look-ups after which what was learnt is stored."""
PAGE = 1_000
FRESH_US = 10 * MINUTE_US
"""A call this young that OpenRouter does not know yet is asked for again in the same run, after ever longer waits."""
FRESH_WAITS_S = (2.0, 4.0, 8.0)
NO_KEY = (
    "There is no key to ask OpenRouter with. Set RALEX_MONITOR_OPENROUTER__KEY in the environment, or "
    "openrouter.key in config.toml."
)


class _Wanted(NamedTuple):
    """A call to ask for, and how often it was asked for already."""

    call: UnbilledCall
    tries: int


class Reconciler:
    """Reconciles the calls of one data set. `wait` is told how long; it answers True when it is time to stop."""

    def __init__(
        self,
        store: Store,
        writer: BatchWriter,
        book: PriceBook,
        state: StateStore,
        settings: OpenRouterSettings,
        clock: Clock,
        wait: Wait,
    ) -> None:
        self._store = store
        self._writer = writer
        self._book = book
        self._state = state
        self._stored = StoredReconciliations(state)
        self._settings = settings
        self._clock = clock
        self._wait = wait

    def begin(self, trigger: str) -> Reconciliation:
        """Note a run as begun; `finish` does its work.

        Raises:
            ConfigError: no key is set.
        """
        if not self._settings.is_on:
            raise ConfigError(NO_KEY)
        return self._stored.begin(self._clock.now_us(), trigger)

    def finish(self, run: Reconciliation) -> Reconciliation:
        """Do the work of a run. How it ended is in its `state` and `message`; nothing that OpenRouter does raises."""
        progress = _Progress(run, self._stored)
        try:
            self._look_up(progress)
            self._compare(progress)
        except (OpenRouterBusy, Interrupted) as error:
            return progress.end("interrupted", str(error), self._clock.now_us())
        except RalexError as error:
            return progress.end("failed", str(error), self._clock.now_us())
        except BaseException:
            progress.end(
                "failed", "Something went wrong in the monitor; its log has the details.", self._clock.now_us()
            )
            raise
        finally:
            self._writer.flush()
        return progress.end("done", None, self._clock.now_us())

    # --- bills of single calls ---------------------------------------------------------------------------------

    def _look_up(self, progress: _Progress) -> None:
        key = self._settings.key or self._settings.management_key
        assert key is not None  # noqa: S101 - `begin` has seen to it
        batch = _Batch(self._writer, self._stored, Valuing(self._book, accepted_claims(self._state)), progress)
        wanted = self._wanted(batch)
        with self._api(key) as api:
            try:
                self._ask(api, wanted, batch)
            finally:
                batch.store()

    def _wanted(self, batch: _Batch) -> list[_Wanted]:
        """Calls to ask for now, oldest first, at most `lookups`; those left for later are counted.

        One bill belongs to one operation, however many doors have seen the call. A bill that was learnt before, of an
        operation that its sender has replaced since, is put back without asking.
        """
        now = self._clock.now_us()
        window = Window(now - self._settings.days * DAY_US, now + DAY_US)
        found: dict[str, _Wanted] = {}
        remaining, after = 0, (window.start_us, "")
        while page := unbilled_calls(self._store, window, after, PAGE):
            after = (page[-1].started_at, page[-1].operation_id)
            known = self._stored.lookups({call.generation_id for call in page})
            for call in page:
                lookup = known.get(call.generation_id)
                if call.generation_id in found or (lookup is not None and lookup.operation_id != call.operation_id):
                    continue
                if lookup is not None and lookup.billed_usd is not None:
                    batch.put_back(call, lookup)
                elif lookup is not None and (lookup.next_at is None or lookup.next_at > now):
                    remaining += lookup.next_at is not None
                elif len(found) >= self._settings.lookups:
                    remaining += 1
                else:
                    found[call.generation_id] = _Wanted(call, 0 if lookup is None else lookup.tries)
        batch.progress.add(remaining=remaining)
        return list(found.values())

    def _ask(self, api: OpenRouter, wanted: Sequence[_Wanted], batch: _Batch) -> None:
        for pause_s in (*FRESH_WAITS_S, None):
            fresh: list[_Wanted] = []
            for one in wanted:
                found = api.generation(one.call.generation_id)
                now = self._clock.now_us()
                if found is None and pause_s is not None and now - one.call.started_at < FRESH_US:
                    fresh.append(one)
                else:
                    batch.add(Answered(one.call, found, one.tries + 1, now))
            if not fresh or pause_s is None:
                return
            batch.store()
            if self._wait(pause_s):
                raise Interrupted("The monitor is shutting down; the next reconciliation goes on.")
            wanted = fresh

    # --- sums --------------------------------------------------------------------------------------------------

    def _compare(self, progress: _Progress) -> None:
        settings = self._settings
        if settings.key is not None:
            with self._api(settings.key) as api:
                usage = api.key_usage()
            progress.find(key_findings(self._store, usage, self._clock.now_us()))
        if settings.management_key is not None:
            with self._api(settings.management_key) as api:
                rows = api.activity()
            now = self._clock.now_us()
            progress.find(activity_findings(self._store, rows, _days(now, settings.days), now))

    def _api(self, key: SecretStr) -> OpenRouter:
        return OpenRouter(self._settings.url, key, wait=self._wait, now=lambda: self._clock.now_us() / 1_000_000)


class _Progress:
    """How far a run is; kept whenever it changes."""

    def __init__(self, run: Reconciliation, stored: StoredReconciliations) -> None:
        self.run = run
        self._stored = stored

    def add(self, before_usd: Decimal = Decimal(0), after_usd: Decimal = Decimal(0), **counts: int) -> None:
        added = {name: getattr(self.run, name) + number for name, number in counts.items()}
        self.run = replace(
            self.run, before_usd=self.run.before_usd + before_usd, after_usd=self.run.after_usd + after_usd, **added
        )
        self._stored.save(self.run)

    def find(self, found: Sequence[Finding]) -> None:
        self._stored.add_findings(self.run, found)

    def end(self, state: str, message: str | None, now_us: int) -> Reconciliation:
        self.run = replace(self.run, state=state, message=message, finished_at=now_us)  # pyright: ignore[reportArgumentType] - one of the states
        self._stored.save(self.run)
        return self.run


class _Batch:
    """Answers that are not stored yet."""

    def __init__(self, writer: BatchWriter, stored: StoredReconciliations, value: Valuing, progress: _Progress) -> None:
        self.progress = progress
        self._writer = writer
        self._stored = stored
        self._value = value
        self._answers: list[Answered] = []

    def add(self, answered: Answered) -> None:
        self._answers.append(answered)
        if len(self._answers) >= STORED_EVERY:
            self.store()

    def put_back(self, call: UnbilledCall, lookup: Lookup) -> None:
        """A bill that is known already."""
        bill = Generation(call.generation_id, None, None, lookup.billed_usd, None, False, False, None, None, None, None)
        applied = apply_bills(self._writer, {call.operation_id: bill}, self._value)
        self.progress.add(applied.before_usd, applied.after_usd, billed=applied.calls)

    def store(self) -> None:
        """First the bills, then that they were asked for: stopped in between, they are asked for again."""
        answers, self._answers = self._answers, []
        if not answers:
            return
        bills = {one.call.operation_id: one.found for one in answers if one.found is not None}
        applied = apply_bills(self._writer, bills, self._value)
        lookups = [lookup_of(one) for one in answers]
        self._stored.save_lookups(lookups)
        outcomes = [lookup.outcome for lookup in lookups]
        self.progress.add(
            applied.before_usd,
            applied.after_usd,
            looked_up=len(answers),
            billed=outcomes.count("billed"),
            not_found=outcomes.count("not_found"),
            unclear=outcomes.count("unclear"),
            remaining=sum(lookup.next_at is not None for lookup in lookups),
        )


def _days(now_us: int, days: int) -> list[date]:
    """The last so many UTC days and today, oldest first."""
    today = datetime.fromtimestamp(now_us / 1_000_000, UTC).date()
    return [today - timedelta(days=ago) for ago in range(days, -1, -1)]
