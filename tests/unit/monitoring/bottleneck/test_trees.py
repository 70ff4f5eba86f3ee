"""Trees, self times, critical paths and replays: exact on traces done by hand, and sane on any that can arrive."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.model.operation import Operation
from ralex_core.monitoring.bottleneck.critical_path import critical_path, path_times, self_times
from ralex_core.monitoring.bottleneck.replay import Change, replay
from ralex_core.monitoring.bottleneck.trees import Mends, Tree, grow
from tests.support.traces import START_US, span


def tree_of(*operations: Operation) -> Tree:
    tree = grow(operations)
    assert tree is not None
    return tree


def named(tree: Tree, values: list[float]) -> dict[str, float]:
    return {op.name: value for op, value in zip(tree.operations, values, strict=False)}


# --- by hand -----------------------------------------------------------------------------------------------------

REQUEST = (
    span("root", 0, 100),
    span("a", 10, 20, "root"),
    span("b", 40, 40, "root"),
    span("c", 45, 50, "root"),
    span("c1", 50, 30, "c"),
)


def test_self_time_is_the_duration_minus_the_union_of_the_children() -> None:
    tree = tree_of(*REQUEST)
    # the union of b and c is 40 to 95
    assert named(tree, self_times(tree)) == {"root": 25.0, "a": 20.0, "b": 40.0, "c": 20.0, "c1": 30.0}


def test_the_critical_path_goes_through_the_child_that_ends_last() -> None:
    tree = tree_of(*REQUEST)
    pieces = [(tree.operations[piece.span].name, piece.start_ms, piece.end_ms) for piece in critical_path(tree)]
    assert pieces == [
        ("root", 0, 10),
        ("a", 10, 30),
        ("root", 30, 45),
        ("c", 45, 50),
        ("c1", 50, 80),
        ("c", 80, 95),
        ("root", 95, 100),
    ]
    assert named(tree, path_times(tree))["b"] == 0, "it ran beside c, which took longer"


def test_a_child_that_ends_within_rounding_of_the_next_is_on_the_path() -> None:
    # starts are whole microseconds, durations are not
    tree = tree_of(span("root", 0, 30), span("a", 5, 10.0007, "root"), span("b", 15, 10, "root"))
    assert named(tree, path_times(tree)) == pytest.approx({"root": 10, "a": 10, "b": 10}, abs=0.01)


def test_a_trace_with_several_beginnings_counts_what_nobody_recorded() -> None:
    tree = tree_of(span("first", 0, 10), span("second", 30, 10))
    assert tree.duration_ms == 40
    assert tree.root_operation.name == "first"
    assert path_times(tree) == [10, 10, 20]


def test_a_quicker_span_moves_what_waited_for_it_and_nothing_else() -> None:
    tree = tree_of(*REQUEST)
    position = {op.name: place for place, op in enumerate(tree.operations)}
    assert replay(tree, Change(own={position["a"]: 0.5})) == 90
    assert replay(tree, Change(own={position["b"]: 0.0})) == 100, "it is beside the critical path"
    # without c, b is the last: it ends at 80, and the tail of 5 follows
    assert replay(tree, Change(dropped=frozenset({position["c"]}))) == 85
    assert replay(tree, Change(own={position["c1"]: 0.0, position["c"]: 0.0})) == 85


def test_calls_side_by_side_take_as_long_as_the_longest() -> None:
    tree = tree_of(span("r", 0, 70), span("a", 2, 20, "r"), span("b", 23, 30, "r"), span("c", 54, 10, "r"))
    # starts at 2, 3 and 4, since the gaps between stay; the longest is b, and a tail of 6 follows
    assert replay(tree, Change(beside={2: 1, 3: 2})) == pytest.approx(3 + 30 + 6)


def test_a_retry_that_is_not_needed_takes_its_pause_along() -> None:
    tree = tree_of(span("r", 0, 100), span("fail", 10, 20, "r"), span("good", 60, 30, "r"))
    assert replay(tree, Change(dropped=frozenset({1}), at_once=frozenset({2}))) == 50


# --- what arrives broken -----------------------------------------------------------------------------------------


def test_a_child_outside_its_parent_is_cut_to_it_and_counted() -> None:
    tree = tree_of(span("root", 0, 100), span("early", -20, 40, "root"), span("late", 90, 50, "root"))
    assert tree.mends == Mends(clipped=2)
    assert tree.duration_ms == 100
    assert named(tree, self_times(tree)) == {"root": 70.0, "early": 20.0, "late": 10.0}


def test_spans_that_never_ended_last_as_long_as_what_they_did() -> None:
    tree = tree_of(span("root", 0, None), span("a", 10, 30, "root"), span("b", 50, None, "root"))
    assert tree.mends == Mends(unfinished=2)
    assert tree.duration_ms == 50


@pytest.mark.parametrize("duration", [-5.0, math.nan, math.inf])
def test_durations_that_cannot_be_are_zero_and_counted(duration: float) -> None:
    tree = tree_of(span("root", 0, 100), span("odd", 10, duration, "root"))
    assert tree.mends == Mends(negative=1)
    assert named(tree, self_times(tree)) == {"root": 100.0, "odd": 0.0}


def test_circles_are_cut_and_missing_parents_counted() -> None:
    tree = tree_of(
        span("a", 0, 10, "b"), span("b", 2, 6, "a"), span("alone", 20, 5, "gone"), span("self", 30, 1, "self")
    )
    assert tree.mends.circles == 2
    assert tree.mends.orphans == 1
    assert tree.duration_ms == 31


def test_children_of_a_span_id_that_is_used_twice_belong_to_the_first() -> None:
    first, second = span("x", 0, 10), span("x", 20, 10)._replace(operation_id="other")
    tree = tree_of(first, second, span("child", 2, 3, "x"))
    assert tree.mends == Mends(duplicates=1)
    assert named(tree, self_times(tree))["child"] == 3


def test_no_operations_make_no_tree() -> None:
    assert grow([]) is None


@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_ten_thousand_spans_are_no_trouble(shape: str) -> None:
    spans = [span("0", 0, 20_000.0)]
    for number in range(1, 10_000):
        parent = str(number - 1) if shape == "chain" else "0"
        spans.append(span(str(number), number, 20_000.0 - 2 * number if shape == "chain" else 0.9, parent))
    tree = tree_of(*spans)
    assert sum(path_times(tree)) == pytest.approx(tree.duration_ms)
    assert replay(tree, Change(own={9_999: 0.5})) <= tree.duration_ms


# --- anything ----------------------------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", None])
ANY_SPAN = st.builds(
    Operation,
    operation_id=st.integers(0, 40).map(str),
    kind=st.sampled_from(["api", "db", "task"]),
    name=st.sampled_from(["x", "y", "z"]),
    started_at=st.integers(START_US, START_US + 3_000_000),
    duration_ms=st.none() | st.floats(-1000, 4000) | st.just(math.nan),
    trace_id=st.just("t"),
    span_id=IDS,
    parent_span_id=IDS,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ANY_SPAN, min_size=1, max_size=25), st.integers(0, 2**32))
def test_any_trace_gives_figures_that_make_sense(operations: list[Operation], seed: int) -> None:
    tree = tree_of(*operations)
    own, on_path = self_times(tree), path_times(tree)
    lengths = [end - start for start, end in zip(tree.start, tree.end, strict=True)]
    assert all(0 <= mine <= length + 1e-6 for mine, length in zip(own, lengths, strict=True))
    assert all(0 <= path <= length + 1e-6 for path, length in zip(on_path, lengths, strict=True))
    assert sum(on_path) == pytest.approx(tree.duration_ms, abs=1e-6)
    pieces = critical_path(tree)
    assert all(before.end_ms <= after.start_ms + 1e-9 for before, after in itertools.pairwise(pieces))
    assert sum(own) >= tree.duration_ms - 1e-6, "own times cover the trace; side by side they add up to more"
    for position, above in enumerate(tree.parent):
        if above >= 0:
            assert tree.start[above] <= tree.start[position] <= tree.end[position] <= tree.end[above]
    assert replay(tree, Change()) == tree.duration_ms
    spans = range(len(tree.operations))
    assert replay(tree, Change(own=dict.fromkeys(spans, 1.0))) == pytest.approx(tree.duration_ms, abs=0.1)
    source = random.Random(seed)
    some = {position: source.random() for position in spans if source.random() < 0.5}
    assert -1e-6 <= replay(tree, Change(own=some)) <= tree.duration_ms + 0.1
    dropped = frozenset(position for position in some if position != tree.root)
    assert -1e-6 <= replay(tree, Change(dropped=dropped)) <= tree.duration_ms + 0.1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=12), st.lists(st.floats(0, 20), min_size=13, max_size=13))
def test_one_after_the_other_own_times_add_up_to_the_trace(lengths: list[float], gaps: list[float]) -> None:
    at, spans = gaps[0], list[Operation]()
    for number, length in enumerate(lengths):
        spans.append(span(str(number), at, length, "root"))
        at += length + gaps[number + 1] + 0.05
    tree = tree_of(span("root", 0, at), *spans)
    assert sum(self_times(tree)) == pytest.approx(at, abs=0.1)
    assert path_times(tree) == pytest.approx(self_times(tree), abs=0.05)
