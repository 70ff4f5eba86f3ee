"""Remembered answers: made once, shared while they are made, forgotten in time."""

from __future__ import annotations

import threading

import pytest

from ralex_core.clock import ManualClock
from ralex_core.dashboard.questions import Pool, Remembered


def test_an_answer_is_made_once_until_it_is_old() -> None:
    clock = ManualClock()
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    answers = Remembered(clock, 1.0)
    assert [answers.get("k", make), answers.get("k", make)] == [1, 1]
    clock.advance(1)
    assert answers.get("k", make) == 2
    assert answers.get("other", make) == 3
    answers.forget()
    assert answers.get("k", make) == 4


def test_who_asks_while_an_answer_is_made_waits_for_that_one() -> None:
    answers = Remembered(ManualClock(), 1.0)
    started, go = threading.Event(), threading.Event()
    made: list[int] = []

    def slow() -> str:
        made.append(1)
        started.set()
        assert go.wait(10)
        return "answer"

    pool = Pool()
    try:
        first = pool.ask(lambda: answers.get("k", slow))
        assert started.wait(10)
        second = pool.ask(lambda: answers.get("k", slow))
        go.set()
        assert (first.result(10), second.result(10), len(made)) == ("answer", "answer", 1)
    finally:
        pool.close()


def test_an_error_is_told_and_not_remembered() -> None:
    answers = Remembered(ManualClock(), 1.0)

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        answers.get("k", fail)
    assert answers.get("k", lambda: 7) == 7


def test_only_so_many_answers_are_kept() -> None:
    answers = Remembered(ManualClock(), 100.0, entries=2)
    for key in ("a", "b", "c"):
        answers.get(key, lambda: 1)
    assert answers.get("a", lambda: 2) == 2
    assert answers.get("c", lambda: 2) == 1
