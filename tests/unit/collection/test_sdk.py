"""The SDK as a host program sees it: what is recorded, and that the program never notices."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from ralex_core.collection import active
from ralex_core.collection.guard import LOGGER_NAME, Guard, guard
from ralex_core.collection.sinks import InProcessSink
from ralex_core.model.operation import Operation
from ralex_core.monitoring import (
    annotate,
    configure,
    current_operation,
    defaults_for,
    flush,
    operation,
    record,
    set_defaults,
    set_session,
    set_user,
    shutdown,
    stats,
    track,
)


class Recorded:
    """What reached the sink so far, flushing first."""

    def __init__(self) -> None:
        self.taken: list[Operation] = []

    def all(self) -> list[Operation]:
        assert flush()
        return self.taken

    def one(self) -> Operation:
        (only,) = self.all()
        return only

    def named(self, name: str) -> Operation:
        (only,) = [op for op in self.all() if op.name == name]
        return only


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    recorded = Recorded()
    configure(sink=recorded.taken.extend)
    active.defaults.set(None)
    yield recorded
    active.defaults.set(None)
    configure(enabled=False)


@pytest.fixture
def production() -> Iterator[None]:
    """Behave as outside pytest: the guard keeps everything to itself."""
    guard.raise_errors = False
    yield
    guard.raise_errors = None


# Recording


def test_a_block_is_recorded_with_its_fields_and_attributes(recorded: Recorded) -> None:
    before_us = datetime.now(UTC).timestamp() * 1e6
    with operation("chat", kind="llm", model="gpt-4o", provider="openai", temperature=0.2, attributes={"tries": 1}):
        pass
    op = recorded.one()
    assert (op.name, op.kind, op.model, op.provider, op.status, op.door) == (
        "chat",
        "llm",
        "gpt-4o",
        "openai",
        "ok",
        "sdk",
    )
    assert orjson.loads(op.attributes or "") == {"temperature": 0.2, "tries": 1}
    assert op.duration_ms is not None and op.duration_ms >= 0
    assert abs(op.started_at - before_us) < 60e6
    assert op.operation_id == (op.trace_id or "")[:16] + (op.span_id or "")
    assert op.parent_span_id is None


def test_usage_cost_and_outcome_are_recorded_exactly(recorded: Recorded) -> None:
    with operation("chat", kind="llm") as op:
        op.usage(input_tokens=1200, output_tokens=80, cache_read_tokens=1000, reasoning_tokens=0)
        op.cost(reported_usd=Decimal("0.1234567890123456789"), billed_usd=0.1)
        op.outcome("accepted", value_usd="12.50")
    got = recorded.one()
    assert (got.input_tokens, got.output_tokens, got.cache_read_tokens) == (1200, 80, 1000)
    assert got.reasoning_tokens == 0
    assert got.cache_write_tokens is None
    assert got.reported_usd == Decimal("0.123456789012345679")
    assert got.billed_usd == Decimal("0.1")
    assert (got.outcome, got.value_usd) == ("accepted", Decimal("12.50"))


def test_nested_blocks_are_parent_and_child_in_one_trace(recorded: Recorded) -> None:
    with operation("outer"):
        with operation("first"):
            pass
        with operation("second"), operation("inner"):
            pass
    outer, first, second, inner = (recorded.named(name) for name in ("outer", "first", "second", "inner"))
    assert len({op.trace_id for op in (outer, first, second, inner)}) == 1
    assert first.parent_span_id == second.parent_span_id == outer.span_id
    assert inner.parent_span_id == second.span_id
    assert current_operation() is None


def test_blocks_one_after_the_other_are_traces_of_their_own(recorded: Recorded) -> None:
    for _ in range(2):
        with operation("alone"):
            pass
    first, second = recorded.all()
    assert first.trace_id != second.trace_id
    assert first.parent_span_id is None and second.parent_span_id is None


async def test_concurrent_tasks_keep_their_own_parents(recorded: Recorded) -> None:
    started = asyncio.Barrier(2)

    async def work(name: str) -> None:
        async with operation(name):
            await started.wait()
            with operation(f"{name} child"):
                await started.wait()

    async with operation("root"):
        await asyncio.gather(work("a"), work("b"))
    root = recorded.named("root")
    for name in ("a", "b"):
        assert recorded.named(name).parent_span_id == root.span_id
        assert recorded.named(f"{name} child").parent_span_id == recorded.named(name).span_id


def test_an_exception_is_recorded_and_goes_on(recorded: Recorded) -> None:
    class RateLimited(Exception):
        status_code = 429

    with pytest.raises(RateLimited), operation("chat"):
        raise RateLimited("prompt text")
    op = recorded.one()
    assert (op.status, op.http_status) == ("error", 429)
    assert (op.error_type or "").endswith("RateLimited")
    assert op.attributes is None, "an exception's text may quote the user: it is not recorded unless asked for"


def test_builtin_exceptions_go_by_their_bare_name(recorded: Recorded) -> None:
    with pytest.raises(ValueError), operation("parse"):
        raise ValueError
    assert recorded.one().error_type == "ValueError"


def test_exception_messages_are_recorded_when_asked_for() -> None:
    taken: list[Operation] = []
    configure(sink=taken.extend, error_messages=True)
    with pytest.raises(ValueError), operation("parse"):
        raise ValueError("unexpected token")
    flush()
    assert orjson.loads(taken[0].attributes or "") == {"exception.message": "unexpected token"}
    configure(enabled=False)


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt])
def test_stopping_is_cancelled_not_failed(recorded: Recorded, error: type[BaseException]) -> None:
    with pytest.raises(error), operation("chat"):
        raise error
    assert recorded.one().status == "cancelled"


def test_a_clean_exit_of_the_program_is_no_error(recorded: Recorded) -> None:
    with pytest.raises(SystemExit), operation("main"):
        raise SystemExit(0)
    assert recorded.one().status == "ok"


def test_a_handled_error_can_be_told(recorded: Recorded) -> None:
    with operation("chat") as op:
        op.error("overloaded", http_status=529)
    got = recorded.one()
    assert (got.status, got.error_type, got.http_status) == ("error", "overloaded", 529)


def test_what_is_learned_after_the_end_replaces_what_was_sent(recorded: Recorded) -> None:
    with operation("edit") as op:
        pass
    flush()
    op.outcome("rejected")
    op.cost(billed_usd="0.25")
    sent = recorded.all()
    assert {o.operation_id for o in sent} == {op.operation_id}
    last = max(sent, key=lambda o: o.revision)
    assert (last.revision, last.outcome, last.billed_usd) == (2, "rejected", Decimal("0.25"))
    assert {op.started_at for op in sent} == {sent[0].started_at}, "a server knows an operation by its id and time"


def test_time_to_first_token_is_taken_once(recorded: Recorded) -> None:
    with operation("chat", kind="llm") as op:
        op.first_token()
        first = op.fields["ttft_ms"]
        op.first_token()
    got = recorded.one()
    assert got.ttft_ms == first
    assert 0 <= first <= (got.duration_ms or 0)


def test_fields_and_attributes_can_be_set_while_it_runs(recorded: Recorded) -> None:
    with operation("chat") as op:
        op.set({"model": "an attribute here"}, feature="edit", workflow="fix-bug", retries=2)
        op.set({"seed": 1})
        op.attributes["temperature"] = 0.5
        annotate(project="ralex")
    got = recorded.one()
    assert (got.feature, got.workflow, got.project) == ("edit", "fix-bug", "ralex")
    assert orjson.loads(got.attributes or "") == {
        "model": "an attribute here",
        "seed": 1,
        "retries": 2,
        "temperature": 0.5,
    }


def test_the_callers_mapping_is_copied(recorded: Recorded) -> None:
    attributes = {"step": 1}
    with operation("a", attributes=attributes):
        pass
    attributes["step"] = 2
    assert recorded.one().attributes == '{"step":1}'


def test_annotating_outside_of_any_operation_does_nothing(recorded: Recorded) -> None:
    annotate(outcome="accepted")
    assert recorded.all() == []


# Who and where


def test_user_and_session_hold_for_the_context_they_were_set_in(recorded: Recorded) -> None:
    def request(user: str) -> None:
        set_user(user)
        set_session(f"session of {user}")
        with operation(f"work of {user}"):
            pass

    for user in ("ann", "bob"):
        contextvars.copy_context().run(request, user)
    with operation("nobody's"):
        pass
    assert recorded.named("work of ann").user_id == "ann"
    assert recorded.named("work of bob").session_id == "session of bob"
    assert recorded.named("nobody's").user_id is None


def test_the_block_a_user_becomes_known_in_is_theirs(recorded: Recorded) -> None:
    with operation("login"):
        set_user("ann")
    assert recorded.one().user_id == "ann"


def test_an_operations_own_fields_win_over_the_context_and_that_over_the_process() -> None:
    taken: list[Operation] = []
    configure(sink=taken.extend, user_id="process", project="process", service="process")
    with defaults_for(user_id="context", project="context"), operation("x", user_id="own"):
        pass
    flush()
    assert (taken[0].user_id, taken[0].project, taken[0].service) == ("own", "context", "process")
    configure(enabled=False)


def test_defaults_may_be_attributes_and_end_with_their_block(recorded: Recorded) -> None:
    with defaults_for(branch="main", feature="edit"), operation("inside"):
        pass
    with operation("outside"):
        pass
    assert recorded.named("inside").attributes == '{"branch":"main"}'
    assert recorded.named("inside").feature == "edit"
    assert recorded.named("outside").feature is None


def test_threads_do_not_see_each_others_context(recorded: Recorded) -> None:
    def work() -> None:
        set_defaults(user_id="thread")
        with operation("in thread"):
            pass

    with operation("main"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert recorded.named("in thread").parent_span_id is None
    assert recorded.named("in thread").user_id == "thread"
    assert recorded.named("main").user_id is None


def test_a_thread_can_be_given_a_parent(recorded: Recorded) -> None:
    with operation("main") as main:
        thread = threading.Thread(target=lambda: record("in thread", parent=main))
        thread.start()
        thread.join()
    assert recorded.named("in thread").parent_span_id == recorded.named("main").span_id


def test_a_trace_continues_from_another_process(recorded: Recorded) -> None:
    with operation("client") as client:
        header = client.traceparent
    with operation("server", parent=header):
        pass
    server, sent = recorded.named("server"), recorded.named("client")
    assert (server.trace_id, server.parent_span_id) == (sent.trace_id, sent.span_id)
    assert header == f"00-{sent.trace_id}-{sent.span_id}-01"


@pytest.mark.parametrize("header", ["", "00-zz-yy-01", "nonsense", "00-1234"])
def test_a_malformed_header_begins_a_trace_of_its_own(recorded: Recorded, header: str) -> None:
    with operation("server", parent=header):
        pass
    assert recorded.one().parent_span_id is None


def test_ids_do_not_repeat_when_the_host_seeds_its_random_numbers(recorded: Recorded) -> None:
    for _ in range(2):
        random.seed(7)
        with operation("x"):
            pass
    first, second = recorded.all()
    assert first.operation_id != second.operation_id


# Finished work


def test_finished_work_is_recorded_with_the_time_it_took(recorded: Recorded) -> None:
    at = datetime(2026, 11, 5, 12, tzinfo=UTC)
    record("import", "tool", started_at=at, duration_ms=1500.0, rows=3)
    op = recorded.one()
    assert (op.started_at, op.duration_ms, op.kind) == (1_793_880_000_000_000, 1500.0, "tool")
    assert op.attributes == '{"rows":3}'


def test_finished_work_without_a_start_ended_now(recorded: Recorded) -> None:
    record("query", "db", duration_ms=60_000.0)
    record("event")
    query, event = recorded.all()
    assert event.started_at - query.started_at == pytest.approx(60e6, abs=5e6)
    assert event.duration_ms is None


def test_finished_work_is_a_child_of_what_encloses_it(recorded: Recorded) -> None:
    with operation("outer"):
        record("inner", error=TimeoutError(), duration_ms=1.0)
        assert current_operation() is not None
    inner = recorded.named("inner")
    assert inner.parent_span_id == recorded.named("outer").span_id
    assert (inner.status, inner.error_type) == ("error", "TimeoutError")


def test_a_start_without_a_time_zone_is_refused(recorded: Recorded) -> None:
    with pytest.raises(ValueError, match="time zone"):
        record("x", started_at=datetime(2026, 11, 5))


# Never hurt the host


def test_misuse_is_raised_under_pytest(recorded: Recorded) -> None:
    with pytest.raises(ValueError):
        operation("x", attributes="not a mapping")  # type: ignore[arg-type]


def test_outside_pytest_misuse_is_counted_and_logged_once(
    recorded: Recorded, production: None, caplog: pytest.LogCaptureFixture
) -> None:
    failures = guard.failures
    with caplog.at_level(logging.WARNING, LOGGER_NAME):
        for _ in range(3):
            with operation("x", attributes=17):  # type: ignore[arg-type]
                pass
    assert guard.failures == failures + 3
    assert len(recorded.all()) == 3
    assert sum("operation attributes" in message for message in caplog.messages) <= 1


def test_an_operation_cannot_be_entered_twice(recorded: Recorded) -> None:
    once = operation("once")
    with once:
        pass
    with pytest.raises(RuntimeError, match="make a new one"):
        once.__enter__()


def test_entering_twice_does_no_harm_outside_pytest(recorded: Recorded, production: None) -> None:
    once = operation("once")
    for _ in range(2):
        with once:
            pass
    assert {op.operation_id for op in recorded.all()} == {once.operation_id}
    assert current_operation() is None


def test_a_block_may_end_in_another_context_than_it_began_in(recorded: Recorded) -> None:
    op = operation("moved")
    contextvars.copy_context().run(op.__enter__)
    op.__exit__(None, None, None)
    assert recorded.one().name == "moved"


def test_operations_of_an_unusable_address_are_kept(
    production: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RALEX_MONITOR_ENDPOINT", "ftp://nowhere")
    configure(raise_errors=False, spool_dir=tmp_path)
    for _ in range(3):
        record("x")
    flush()
    record("x")
    assert not flush()
    assert (stats().dropped_queue, stats().recorded, stats().pending) == (0, 4, 4)
    configure(enabled=False)
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.rglob("*-*/*.ndjson")) == 4


def test_switched_off_nothing_is_recorded_and_nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Operation] = []
    monkeypatch.setenv("RALEX_MONITOR_SDK", "off")
    configure(sink=taken.extend)
    with operation("x") as op:
        op.usage(input_tokens=1)
    assert flush()
    assert (taken, stats().dropped_queue, stats().recorded) == ([], 0, 0)
    configure(enabled=False)
    with operation("x"):
        pass
    assert stats().dropped_queue == 0


def test_a_full_queue_drops_the_newest_and_counts_them() -> None:
    taken: list[Operation] = []
    configure(sink=taken.extend, queue_operations=10, flush_interval_s=3600)
    for number in range(25):
        record(f"op {number}")
    assert stats().dropped_queue == 15
    assert flush()
    assert [op.name for op in taken] == [f"op {number}" for number in range(10)]
    record("after the flood")
    assert flush()
    assert taken[-1].name == "after the flood"
    configure(enabled=False)


def test_after_the_end_operations_are_counted_as_dropped() -> None:
    taken: list[Operation] = []
    configure(sink=taken.extend)
    record("in time")
    shutdown()
    record("too late")
    assert [op.name for op in taken] == ["in time"]
    assert stats().dropped_queue == 1
    configure(enabled=False)


def test_reconfiguring_delivers_what_was_recorded_before() -> None:
    first: list[Operation] = []
    second: list[Operation] = []
    configure(sink=first.extend)
    record("old")
    configure(sink=second.extend)
    record("new")
    flush()
    assert ([op.name for op in first], [op.name for op in second]) == (["old"], ["new"])
    configure(enabled=False)


def test_a_sleeping_recorder_wakes_for_the_next_operation() -> None:
    """Delivered by its own thread: nobody flushes here."""
    arrived: list[threading.Event] = [threading.Event(), threading.Event()]

    def receive(operations: list[Operation]) -> None:
        for op in operations:
            arrived[int(op.name)].set()

    configure(sink=receive, flush_interval_s=0.001)
    record("0")
    assert arrived[0].wait(10)
    recorder = active.default_recorder
    asleep = threading.Event()
    for _ in range(10_000):
        if recorder.limit < 0:
            break
        asleep.wait(0.001)
    assert recorder.limit < 0, "it went to sleep"
    record("1")
    assert arrived[1].wait(3), "sooner than its slowest look"
    configure(enabled=False)


def test_a_destructor_that_records_is_no_trap(recorded: Recorded) -> None:
    class Leaves:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            record("destroyed")
            flush()

    for _ in range(100):
        Leaves()
        record("work")
    gc.collect()
    names = [op.name for op in recorded.all()]
    assert (names.count("destroyed"), names.count("work")) == (100, 100)


def test_many_threads_record_without_losing_any(recorded: Recorded) -> None:
    def work() -> None:
        for _ in range(500):
            with operation("outer"), operation("inner"):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = recorded.all()
    assert len({op.operation_id for op in everything}) == len(everything) == 8000
    spans = {op.span_id: op for op in everything}
    for op in everything:
        if op.name == "inner":
            assert spans[op.parent_span_id].trace_id == op.trace_id


def test_the_guard_survives_a_logger_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    logger = logging.getLogger(LOGGER_NAME)
    handler = Broken()
    logger.addHandler(handler)
    own = Guard()
    own.raise_errors = False
    try:
        raise KeyError("x")
    except KeyError:
        own.swallow("somewhere")
    finally:
        logger.removeHandler(handler)
    assert own.failures == 1


# What the host puts in


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def circular() -> dict[str, object]:
    loop: dict[str, object] = {}
    loop["self"] = loop
    return loop


@pytest.mark.parametrize(
    "value",
    [
        {1: "integer key", None: "none"},
        {1, 2},
        2**200,
        "\ud800",
        float("nan"),
        object(),
        Unprintable(),
        circular(),
        b"bytes",
        Decimal("1.10"),
        ValueError("x"),
        lambda: None,
        {"deep": [[[[[[[[[["x"]]]]]]]]]]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_json_form_never_cost_the_operation(recorded: Recorded, value: object) -> None:
    with operation("x", "tool", odd=value, fine=1):
        pass
    attributes = orjson.loads(recorded.one().attributes or "")
    assert attributes["fine"] == 1
    assert "odd" in attributes


def test_a_huge_attribute_is_left_out_and_named(recorded: Recorded) -> None:
    with operation("x", "llm", model="m", prompt="a" * 1_000_000, small="kept", other="b" * 100_000):
        pass
    op = recorded.one()
    attributes = orjson.loads(op.attributes or "")
    assert op.model == "m"
    assert attributes["small"] == "kept"
    assert set(attributes["attributes_dropped"]) == {"prompt", "other"}


def test_what_the_format_does_not_allow_is_counted_as_rejected() -> None:
    taken: list[Operation] = []
    configure(sink=taken.extend)
    record("negative", duration_ms=-1.0)
    record("tokens", input_tokens=-5)
    record("fine")
    flush()
    assert [op.name for op in taken] == ["fine"]
    assert stats().rejected == 2
    assert stats().delivered == 1
    configure(enabled=False)


def test_a_name_of_any_type_and_length_is_taken(recorded: Recorded) -> None:
    record(17)  # type: ignore[arg-type]
    record("n" * 10_000)
    assert [op.name for op in recorded.all()] == ["17", "n" * 500]


# @track


def test_a_tracked_function_is_an_operation_per_call(recorded: Recorded) -> None:
    @track
    def add(a: int, b: int = 1) -> int:
        """Adds."""
        annotate(result=a + b)
        return a + b

    assert (add(1), add(1, b=5), add.__name__, add.__doc__) == (2, 6, "add", "Adds.")
    first, second = recorded.all()
    assert first.name.endswith("add")
    assert (first.attributes, second.attributes) == ('{"result":2}', '{"result":6}')


def test_a_tracked_function_takes_a_name_a_kind_and_fields(recorded: Recorded) -> None:
    @track("refactor", kind="tool", feature="edit", dry_run=True)
    def run() -> None:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            run()
    first, second = recorded.all()
    assert (first.name, first.kind, first.feature, first.status) == ("refactor", "tool", "edit", "error")
    assert first.attributes == second.attributes == '{"dry_run":true}'
    assert first.operation_id != second.operation_id


async def test_a_tracked_coroutine_function_lasts_until_it_returns(recorded: Recorded) -> None:
    @track("fetch")
    async def fetch() -> str:
        with operation("inside"):
            await asyncio.sleep(0)
        return "done"

    assert asyncio.iscoroutinefunction(fetch)
    assert await fetch() == "done"
    assert recorded.named("inside").parent_span_id == recorded.named("fetch").span_id


async def test_a_cancelled_coroutine_is_recorded_as_cancelled(recorded: Recorded) -> None:
    entered = asyncio.Event()

    @track("wait")
    async def wait() -> None:
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorded.one().status == "cancelled"


def test_methods_are_tracked_under_their_qualified_name(recorded: Recorded) -> None:
    class Router:
        @track
        def route(self, task: str) -> str:
            return f"{task}!"

        @staticmethod
        @track
        def pick() -> int:
            return 1

    assert Router().route("x") == "x!"
    assert Router.pick() == 1
    assert [op.name.rsplit("<locals>.")[-1] for op in recorded.all()] == ["Router.route", "Router.pick"]


def test_a_tracked_generator_lasts_from_first_item_to_end(recorded: Recorded) -> None:
    @track("stream", kind="llm")
    def stream() -> Iterator[str]:
        with operation("inside"):
            pass
        got = yield "a"
        assert got is None
        yield "b"
        return "returned"

    def consume() -> Iterator[str]:
        result = yield from stream()
        assert result == "returned"

    items: list[str] = []
    for item in consume():
        items.append(item)
        assert current_operation() is None, "the consumer is not inside the stream"
        record("consumer")
    assert items == ["a", "b"]
    assert recorded.named("stream").ttft_ms is not None
    assert recorded.named("inside").parent_span_id == recorded.named("stream").span_id
    assert all(op.parent_span_id is None for op in recorded.all() if op.name == "consumer")


def test_what_is_sent_and_thrown_into_a_tracked_generator_arrives(recorded: Recorded) -> None:
    @track("echo")
    def echo() -> Iterator[object]:
        sent: object = None
        while True:
            try:
                sent = yield sent
            except KeyError as error:
                sent = error

    generator = echo()
    next(generator)
    assert generator.send(5) == 5  # type: ignore[attr-defined]
    thrown = KeyError("k")
    assert generator.throw(thrown) is thrown  # type: ignore[attr-defined]
    with pytest.raises(ValueError):
        generator.throw(ValueError())  # type: ignore[attr-defined]
    assert recorded.one().error_type == "ValueError"


def test_a_generator_that_is_left_early_is_cancelled_and_cleaned_up(recorded: Recorded) -> None:
    cleaned: list[bool] = []

    @track("stream")
    def stream() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(True)

    generator = stream()
    next(generator)
    generator.close()  # type: ignore[attr-defined]
    assert cleaned == [True]
    assert recorded.one().status == "cancelled"


def test_a_generator_nobody_starts_is_no_operation(recorded: Recorded) -> None:
    @track
    def stream() -> Iterator[int]:
        yield 1

    stream().close()  # type: ignore[attr-defined]
    assert recorded.all() == []


async def test_a_tracked_async_generator_streams(recorded: Recorded) -> None:
    @track("stream", kind="llm")
    async def stream(fail: bool = False):  # type: ignore[no-untyped-def]
        yield "a"
        await asyncio.sleep(0)
        annotate(output_tokens=2)
        if fail:
            raise ConnectionError
        yield "b"

    items = []
    async for item in stream():
        assert current_operation() is None
        items.append(item)
    assert items == ["a", "b"]
    with pytest.raises(ConnectionError):
        async for _ in stream(fail=True):
            pass
    done, failed = recorded.all()
    assert (done.status, done.output_tokens) == ("ok", 2)
    assert (failed.status, failed.error_type) == ("error", "ConnectionError")


async def test_an_async_generator_that_is_left_early_is_cancelled(recorded: Recorded) -> None:
    @track("stream")
    async def stream():  # type: ignore[no-untyped-def]
        yield 1
        yield 2

    generator = stream()
    await anext(generator)
    await generator.aclose()
    assert recorded.one().status == "cancelled"


def test_only_functions_can_be_tracked() -> None:
    with pytest.raises(TypeError, match="calls of functions"):

        @track
        class Wrong:
            pass


# In-process sink


def test_a_sink_object_may_be_given_instead_of_a_callable() -> None:
    taken: list[Operation] = []
    configure(sink=InProcessSink(taken.extend, door="demo"))
    record("x")
    flush()
    assert taken[0].door == "demo"
    configure(enabled=False)
