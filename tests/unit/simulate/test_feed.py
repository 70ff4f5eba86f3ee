"""A simulated team as a stream: at a rate, and on into the present."""

from __future__ import annotations

import itertools

from ralex_core.clock import ManualClock
from ralex_core.model.window import DAY_US, HOUR_US
from ralex_core.simulate import Team, history
from ralex_core.simulate.feed import past, present
from ralex_core.simulate.workload import end_us

MONDAY_9_US = 1_794_182_400_000_000 + 9 * HOUR_US


def test_the_past_is_what_history_holds_oldest_first() -> None:
    clock = ManualClock(MONDAY_9_US)
    batches = list(past(Team(7), MONDAY_9_US, 2, None, clock, clock.advance))
    given = [operation for batch in batches for operation in batch]
    assert clock.now_us() == MONDAY_9_US, "nobody waited"
    assert [operation.started_at for operation in given] == sorted(operation.started_at for operation in given)
    kept = [operation for day in history(Team(7), MONDAY_9_US, days=2) for operation in day]
    assert {operation.operation_id for operation in given} == {operation.operation_id for operation in kept}


def test_no_days_is_no_past() -> None:
    clock = ManualClock(MONDAY_9_US)
    assert list(past(Team(7), MONDAY_9_US, 0, None, clock, clock.advance)) == []


def test_a_rate_is_kept_over_the_whole_stream() -> None:
    clock = ManualClock(MONDAY_9_US)
    given = sum(len(batch) for batch in past(Team(7), MONDAY_9_US, 1, 50.0, clock, clock.advance))
    elapsed_s = (clock.now_us() - MONDAY_9_US) / 1e6
    assert given > 200
    assert abs(given / elapsed_s - 50) < 2


def test_the_present_hands_out_what_has_finished_by_now() -> None:
    clock = ManualClock(MONDAY_9_US)
    stream = present(Team(7), MONDAY_9_US, clock, clock.advance)
    for batch in itertools.islice(stream, 40):
        assert batch
        assert all(MONDAY_9_US < end_us(operation) <= clock.now_us() for operation in batch)
    assert clock.now_us() < MONDAY_9_US + DAY_US
