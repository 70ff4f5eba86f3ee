"""Each cause on traces done by hand: found where it is, not found where it only looks like it, and worth what it is."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from ralex_core.model.operation import Operation
from ralex_core.monitoring.bottleneck import first_token, n_plus_one, pressure, retries, serial_calls, slow_provider
from ralex_core.monitoring.bottleneck.finding import Finding
from ralex_core.monitoring.bottleneck.hot_spots import hot_spots
from ralex_core.monitoring.bottleneck.replay import Change
from ralex_core.monitoring.bottleneck.sample import Pressure, Sample, lay_out, timings_of
from ralex_core.monitoring.bottlenecks import analyse
from tests.support.traces import START_US, span

Trace = list[Operation]


def sample_of(make: Callable[[str], Trace], count: int = 30) -> Sample:
    return lay_out([make(f"t{number}") for number in range(count)])


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [finding.title for finding in findings]
    return findings[0]


# --- N+1 ---------------------------------------------------------------------------------------------------------


def items(trace: str, *, calls: int = 10, kind: str = "db", apart: float = 10.0) -> Trace:
    below = [
        span(f"q{n}", 10 + n * apart, 8, "root", kind=kind, name=f"select * from item where id = {n}", trace=trace)
        for n in range(calls)
    ]
    return [span("root", 0, 20 + calls * 10, trace=trace, kind="api", name="GET /list"), *below]


def test_the_same_query_for_every_item_is_found_whatever_its_literals() -> None:
    finding = only(n_plus_one.find(sample_of(items)))
    assert finding.gain.mean_ms == pytest.approx(9 * 8)
    assert finding.gain.p95_ms == pytest.approx(9 * 8)
    assert finding.affected_ratio == 1
    assert "GET /list" in finding.advice
    assert finding.operation_ids == tuple(f"t{n}-root" for n in range(5))


@pytest.mark.parametrize(
    "changes", [{"calls": 4}, {"kind": "tool"}, {"apart": 0.0}], ids=["few", "no queries", "at once"]
)
def test_what_is_not_n_plus_one_is_not_called_so(changes: dict[str, object]) -> None:
    assert n_plus_one.find(sample_of(lambda trace: items(trace, **changes))) == []  # type: ignore[arg-type]


# --- retries -----------------------------------------------------------------------------------------------------


def attempts(trace: str, *statuses: str) -> Trace:
    calls = [
        span(f"c{n}", 10 + n * 100, 40, "root", kind="api", name="POST /x", trace=trace, status=status, attempt=n + 1)
        for n, status in enumerate(statuses)
    ]
    return [span("root", 0, 100 * len(statuses), trace=trace), *calls]


def test_failures_that_are_repeated_cost_their_time_and_the_pause() -> None:
    finding = only(retries.find(sample_of(lambda trace: attempts(trace, "error", "error", "ok"))))
    assert finding.gain.mean_ms == pytest.approx(200)
    assert finding.evidence[0].value == pytest.approx(2 / 3)


def test_calls_that_succeed_or_fail_for_good_are_no_retries() -> None:
    assert retries.find(sample_of(lambda trace: attempts(trace, "ok", "ok", "error"))) == []


def test_a_new_try_after_a_repair_is_no_retry() -> None:
    def repaired(trace: str) -> Trace:
        root, first, second = attempts(trace, "error", "ok")
        edit = span("edit", 60, 30, "root", kind="tool", name="edit", trace=trace)
        return [root, first, edit, second._replace(attempt=1)]

    assert retries.find(sample_of(repaired)) == []


# --- serial calls ------------------------------------------------------------------------------------------------


def calls_in_a_row(trace: str, names: list[str], *, gap: float = 1.0, kind: str = "api", **fields: object) -> Trace:
    made = [
        span(f"c{n}", 5 + n * (50 + gap), 50, "root", kind=kind, name=name, trace=trace, **fields)
        for n, name in enumerate(names)
    ]
    return [span("root", 0, 10 + len(names) * (50 + gap), trace=trace, name="gather"), *made]


def test_the_same_call_several_times_in_a_row_could_run_side_by_side() -> None:
    finding = only(serial_calls.find(sample_of(lambda trace: calls_in_a_row(trace, ["GET a"] * 4))))
    assert finding.certainty == "likely"
    assert finding.gain.mean_ms == pytest.approx(150)
    assert "gather" in finding.advice


def test_different_calls_in_a_fixed_order_are_only_possible() -> None:
    fixed = only(serial_calls.find(sample_of(lambda trace: calls_in_a_row(trace, ["GET a", "GET b", "GET c"]))))
    assert fixed.certainty == "possible"

    def shuffled(trace: str) -> Trace:
        names = ["GET a", "GET b", "GET c"]
        random.Random(trace).shuffle(names)
        return calls_in_a_row(trace, names)

    assert only(serial_calls.find(sample_of(shuffled))).certainty == "likely"


def test_work_between_calls_and_a_growing_conversation_are_dependence() -> None:
    assert serial_calls.find(sample_of(lambda trace: calls_in_a_row(trace, ["GET a"] * 4, gap=40))) == []

    def talk(trace: str) -> Trace:
        root, *calls = calls_in_a_row(trace, ["chat"] * 4, kind="llm")
        return [root, *(call._replace(input_tokens=1000 * n) for n, call in enumerate(calls, 1))]

    assert serial_calls.find(sample_of(talk)) == []


# --- slow providers ----------------------------------------------------------------------------------------------


def chats(*, slow: Callable[[int], float], providers: tuple[str, ...] = ("p",), count: int = 200) -> Sample:
    source = random.Random(5)

    def trace(number: int) -> Trace:
        at, name = number * 1000.0, f"t{number}"
        provider = providers[number % len(providers)]
        length = 300 * source.lognormvariate(0, 0.3) * slow(number)
        call = span("c", at + 5, length, "r", kind="llm", name="chat", trace=name, provider=provider, model="m")
        return [span("r", at, length + 10, trace=name), call]

    return lay_out([trace(number) for number in range(count)])


def test_a_provider_that_became_slow_is_found_with_when_and_how_much() -> None:
    finding = only(slow_provider.find(chats(slow=lambda number: 3.0 if number >= 120 else 1.0)))
    seen = {evidence.label: evidence.value for evidence in finding.evidence}
    assert seen["times slower"] == pytest.approx(3, rel=0.1)
    assert isinstance(seen["slow from"], float)
    assert (seen["slow from"] - START_US) / 1e6 == pytest.approx(120, abs=10)
    # 80 of 200 calls take 600 ms × e^(0.3²/2) less
    assert finding.gain.mean_ms == pytest.approx(0.4 * 600 * 1.046, rel=0.12)


def test_a_provider_slower_than_others_with_the_same_model_is_found() -> None:
    slow = chats(slow=lambda number: 3.0 if number % 2 else 1.0, providers=("quick", "slow"))
    assert "slow m" in only(slow_provider.find(slow)).title


def test_a_provider_slower_than_before_the_window_is_found() -> None:
    history = {("llm", "", "p", "m"): np.linspace(60, 140, 20)}
    assert "the time before" in only(slow_provider.find(chats(slow=lambda _: 1.0), history)).title


def test_an_even_provider_is_not_found() -> None:
    assert slow_provider.find(chats(slow=lambda _: 1.0)) == []


# --- queueing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("servers", "most_ms"), [(1, 36), (3, 44)])
def test_a_queue_is_found_with_how_many_are_served_at_once(servers: int, most_ms: int) -> None:
    source, at, free = random.Random(2), 0.0, [0.0] * servers
    traces: list[Trace] = []
    waits: list[float] = []
    for number in range(600):
        at += source.expovariate(1 / 40)
        hold = source.uniform(most_ms - 16, most_ms) * servers
        begins = max(at, min(free))
        free[free.index(min(free))] = begins + hold
        waits.append(begins - at)
        name = f"t{number}"
        length = begins + hold - at
        below = span("s", at + 1, length, "r", name="guarded", trace=name)
        traces.append([span("r", at, length + 20, trace=name), below])
    found = analyse(lay_out(traces, timings=timings_of(op for trace in traces for op in trace)))
    finding = only(found.findings)
    assert finding.cause == "queueing"
    assert finding.gain.mean_ms == pytest.approx(sum(waits) / len(waits), rel=0.15)
    words = "one is served at a time" if servers == 1 else f"{servers} at a time"
    assert words in finding.advice


def test_a_slow_dependency_that_serves_all_at_once_does_not_queue() -> None:
    source, at = random.Random(3), 0.0
    traces: list[Trace] = []
    for number in range(600):
        at += source.expovariate(1 / 40)
        length = 200 * source.lognormvariate(0, 0.5) * (1.3 if 200 < number < 400 else 1)
        below = span("s", at + 1, length, "r", name="remote", trace=f"t{number}")
        traces.append([span("r", at, length + 20, trace=f"t{number}"), below])
    sample = lay_out(traces, timings=timings_of(op for trace in traces for op in trace))
    assert analyse(sample).findings == []


# --- pressure and first tokens -----------------------------------------------------------------------------------


def test_what_is_slower_while_the_cpu_is_taken_is_told() -> None:
    source = random.Random(4)
    traces: list[Trace] = []
    for number in range(200):
        at, name, busy = number * 500.0, f"t{number}", 50 <= number < 110
        work, call = source.uniform(40, 60) * (4 if busy else 1), source.uniform(90, 110)
        remote = span("c", at + 1, call, "r", kind="api", name="remote", trace=name)
        traces.append([span("r", at, work + call, trace=name, name="handler"), remote])
    minutes = [
        Pressure(START_US + n * 5_000_000, START_US + (n + 1) * 5_000_000, 0.97 if 5 <= n < 11 else 0.3)
        for n in range(20)
    ]
    finding = only(pressure.find(lay_out(traces, pressure=minutes)))
    assert finding.name == "handler"
    assert finding.evidence[0].value == 1, "the remote call is not slower"
    assert finding.gain.mean_ms == pytest.approx(0.3 * 150, rel=0.1)
    assert pressure.find(lay_out(traces)) == []


def test_streams_that_start_late_are_told() -> None:
    def trace(name: str) -> Trace:
        first = 2000.0 + 100 * int(name[1:])
        call = span("c", 5, first + 500, "r", kind="llm", name="chat", trace=name, ttft_ms=first, model="m")
        return [span("r", 0, first + 520, trace=name), call]

    finding = only(first_token.find(sample_of(trace, 40)))
    assert finding.certainty == "possible"
    assert finding.gain.mean_ms == pytest.approx(1125, rel=0.1)


# --- all of it ---------------------------------------------------------------------------------------------------


def test_shares_of_the_slow_traces_add_up_to_one() -> None:
    sample = chats(slow=lambda number: 5.0 if number % 19 == 0 else 1.0)
    spots = hot_spots(sample)
    assert [spot.name for spot in spots] == ["chat", "r"]
    assert sum(spot.p95_share_ratio or 0 for spot in spots) == pytest.approx(1)
    assert sum(spot.path_ms for spot in spots) == pytest.approx(sample.mean_ms)
    assert spots[0].halved.mean_ms == pytest.approx(spots[0].path_ms / 2)


def test_nothing_to_look_at_is_answered_with_nothing() -> None:
    found = analyse(lay_out([]))
    assert (found.traces, found.mean_ms, found.findings, found.hot_spots) == (0, None, [], [])


def test_a_single_span_is_a_trace_like_any_other() -> None:
    found = analyse(lay_out([[span("alone", 0, 5)]]))
    assert found.mean_ms == found.p95_ms == 5
    assert found.hot_spots[0].path_ratio == 1
    assert found.findings == []


def test_weights_count_as_so_many_traces() -> None:
    short, long = [span("a", 0, 10)], [span("b", 0, 100)]
    few = lay_out([short, long], [9.0, 1.0])
    many = lay_out([*[short] * 9, long])
    assert few.mean_ms == many.mean_ms
    assert few.p95_ms == many.p95_ms == 100
    assert few.gain({1: Change(own={0: 0.5})}).mean_ms == 5
