"""What the events of an Aider analytics log become."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.collection.importers.aider import AiderImporter, error_type
from ralex_core.collection.importers.base import ImportOptions, Machine
from ralex_core.collection.importers.fields import split_model
from ralex_core.model.operation import Operation
from tests.support.importing import read_all, read_growing, write_lines
from tests.support.shared import shared_path

T = 1_746_631_700
IMPORTER = AiderImporter(ImportOptions())


def event(name: str, at: int, *, user: str | None = "u1", **properties: Any) -> dict[str, Any]:
    return {"event": name, "properties": properties, "user_id": user, "time": T + at}


def send(
    at: int, *, cost: float = 0.01, total: float = 0.01, user: str | None = "u1", **changes: Any
) -> dict[str, Any]:
    properties = {
        "main_model": "anthropic/claude-sonnet-4-20250514",
        "weak_model": "claude-3-5-haiku-20241022",
        "edit_format": "diff",
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "cost": cost,
        "total_cost": total,
    }
    return event("message_send", at, user=user, **(properties | changes))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "analytics.jsonl"


def read(log: Path, *records: dict[str, Any]) -> list[Operation]:
    operations, rejects = read_all(IMPORTER, write_lines(log, records))
    assert rejects == []
    return sorted(operations, key=lambda operation: (operation.started_at, operation.name))


def attributes(operation: Operation) -> dict[str, Any]:
    return json.loads(operation.attributes or "{}")


def test_a_message_is_an_llm_operation_with_its_tokens_and_its_exact_claim(log: Path) -> None:
    (operation,) = read(log, send(5, cost=0.053694000000000006))
    assert (operation.kind, operation.name, operation.started_at) == ("llm", "message_send", (T + 5) * 1_000_000)
    assert (operation.provider, operation.model) == ("anthropic", "claude-sonnet-4-20250514")
    assert operation.requested_model == "anthropic/claude-sonnet-4-20250514"
    assert (operation.input_tokens, operation.output_tokens) == (1000, 50)
    assert operation.reported_usd == Decimal("0.053694000000000006")
    assert (operation.feature, operation.workflow, operation.user_id) == ("edit", "diff", "u1")
    assert (operation.door, operation.source, operation.service) == ("importer", "aider", "aider")
    assert attributes(operation)["weak_model"] == "claude-3-5-haiku-20241022"


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"cost": 0}, None),
        ({"cost": 0, "main_model": "openrouter/deepseek/deepseek-chat-v3-0324:free"}, Decimal(0)),
        ({"cost": None}, None),
        ({"cost": 0.25}, Decimal("0.25")),
    ],
)
def test_a_cost_of_zero_is_a_claim_only_for_a_free_model(
    log: Path, changes: dict[str, Any], reported: Decimal | None
) -> None:
    (operation,) = read(log, send(0, **changes))
    assert operation.reported_usd == reported


def test_a_message_without_any_tokens_reported_no_usage(log: Path) -> None:
    (operation,) = read(log, send(0, cost=0, prompt_tokens=0, completion_tokens=0))
    assert (operation.input_tokens, operation.output_tokens, operation.reported_usd) == (None, None, None)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("gpt-4o", (None, "gpt-4o")),
        ("openrouter/anthropic/claude-3.7-sonnet", ("openrouter", "anthropic/claude-3.7-sonnet")),
        (
            "fireworks_ai/accounts/fireworks/models/deepseek-v3",
            ("fireworks_ai", "accounts/fireworks/models/deepseek-v3"),
        ),
        ("ollama/REDACTED", ("ollama", None)),
        ("None", (None, None)),
        (None, (None, None)),
    ],
)
def test_a_model_name_is_split_at_its_provider_and_a_hidden_one_stays_unknown(
    named: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert split_model(named) == expected


def test_a_start_and_the_send_after_it_give_the_response_time(log: Path) -> None:
    (operation,) = read(log, event("launched", 0), event("message_send_starting", 3), send(10))
    assert operation.started_at == (T + 3) * 1_000_000
    assert operation.duration_ms == 7000
    assert attributes(operation)["duration_source"] == "message_send_starting to message_send, 1 s resolution"


def test_a_response_within_one_second_took_an_unknown_time(log: Path) -> None:
    (operation,) = read(log, event("message_send_starting", 3), send(3))
    assert (operation.started_at, operation.duration_ms) == ((T + 3) * 1_000_000, None)
    assert "resolution" in attributes(operation)["duration_source"]


@pytest.mark.parametrize("between", ["command_clear", "exit", "launched", "cli session"])
def test_a_start_is_given_up_when_the_user_does_something_else(log: Path, between: str) -> None:
    operations = read(log, event("message_send_starting", 3), event(between, 5), send(10))
    (operation,) = [operation for operation in operations if operation.kind == "llm"]
    assert operation.duration_ms is None
    assert "start not logged" in attributes(operation)["duration_source"]


def test_context_between_start_and_send_does_not_separate_them(log: Path) -> None:
    (operation,) = read(log, event("message_send_starting", 3), event("repo", 4, num_files=7), send(10))
    assert operation.duration_ms == 7000


def test_the_latest_of_several_starts_counts(log: Path) -> None:
    (operation,) = read(log, event("message_send_starting", 1), event("message_send_starting", 6), send(10))
    assert operation.duration_ms == 4000


def test_events_of_one_second_are_put_in_the_order_of_a_session(log: Path) -> None:
    # Published logs are sorted by name within a second: the next start stands after the send it follows,
    # the launch after the session it opens, the exit before the message it ends.
    operations = read(
        log,
        event("cli session", 0),
        event("launched", 0),
        event("message_send_starting", 2),
        send(5, total=0.01),
        event("message_send_starting", 5),
        event("exit", 9),
        send(9, total=0.02),
    )
    assert [operation.duration_ms for operation in operations] == [3000, 4000]
    assert len({operation.session_id for operation in operations}) == 1


def test_an_exit_and_the_next_launch_in_one_second_end_one_session_and_open_another(log: Path) -> None:
    operations = read(
        log,
        event("launched", 0),
        send(5),
        event("exit", 9),
        event("launched", 9),
        send(12),
    )
    assert len({operation.session_id for operation in operations}) == 2


def test_messages_of_two_processes_are_told_apart_by_their_running_totals(log: Path) -> None:
    operations = read(
        log,
        event("launched", 0),
        send(1, cost=0.5, total=0.5),
        event("launched", 2),
        send(3, cost=0.1, total=0.1),
        send(4, cost=0.2, total=0.7),
        send(5, cost=0.1, total=0.2),
        event("exit", 6),
        send(7, cost=0.1, total=0.3),
    )
    first, second, third, fourth, fifth = (operation.session_id for operation in operations)
    assert first == third
    assert second == fourth == fifth
    assert first != second


def test_a_session_of_the_browser_interface_is_of_the_web_client(log: Path) -> None:
    (operation,) = read(log, event("launched", 0), event("gui session", 1), send(5))
    assert operation.client == "web"


def test_undo_makes_the_edit_before_it_reworked_and_a_second_undo_the_one_before(log: Path) -> None:
    operations = read(
        log,
        event("launched", 0),
        send(1, total=0.01),
        send(2, total=0.02),
        send(3, total=0.03, edit_format="ask"),
        event("command_undo", 4),
        event("command_diff", 5),
        event("command_undo", 6),
        event("command_undo", 7),
        event("exit", 8),
    )
    sends = [operation for operation in operations if operation.kind == "llm"]
    assert [operation.outcome for operation in sends] == ["reworked", "reworked", "unknown"]
    assert [operation.name for operation in operations if operation.kind == "tool"] == [
        "command_undo",
        "command_diff",
        "command_undo",
        "command_undo",
    ]


def test_undo_does_not_reach_into_an_earlier_session(log: Path) -> None:
    operations = read(
        log, event("launched", 0), send(1), event("exit", 2), event("launched", 3), event("command_undo", 4)
    )
    assert [operation.outcome for operation in operations if operation.kind == "llm"] == ["unknown"]


def test_a_command_is_a_tool_operation_named_as_it_is(log: Path) -> None:
    (operation,) = read(log, event("command_add", 1, aider_version="0.50"))
    assert (operation.kind, operation.name, operation.feature) == ("tool", "command_add", "add")
    assert attributes(operation) == {"aider_version": "0.50"}


def test_an_exception_is_a_failed_task_that_keeps_its_kind_and_none_of_its_text(log: Path) -> None:
    said = "Messages don't properly alternate user/assistant:\n\n-------\nUSER my secret plan"
    (operation,) = read(log, event("message_send_starting", 1), event("message_send_exception", 4, exception=said))
    assert (operation.kind, operation.name, operation.status) == ("task", "message", "error")
    assert (operation.outcome, operation.error_type) == ("failed", "invalid_messages")
    assert operation.duration_ms == 3000
    assert "secret" not in repr(operation)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "ssl_error"),
        ("b'<html>\\r\\n<head><title>404 Not Found</title>'", "not_found"),
        ("[Errno 61] Connection refused", "connection_error"),
        ("'ModelResponse' object has no attribute 'completion_tokens'", "AttributeError"),
        ("litellm.RateLimitError: 429", "rate_limit"),
        ("something else", "exception"),
        ("", "exception"),
    ],
)
def test_an_exceptions_text_gives_a_short_error_type(said: str, expected: str) -> None:
    assert error_type(said) == expected


def test_identical_lines_are_as_many_operations_and_keep_their_ids_in_a_copy(tmp_path: Path) -> None:
    lines = [event("command_add", 1), event("command_add", 1), event("command_add", 2)]
    first = read(tmp_path / "a.jsonl", *lines)
    copy = read(tmp_path / "b.jsonl", *lines, event("command_add", 3))
    assert len({operation.operation_id for operation in first}) == 3
    assert {operation.operation_id for operation in first} < {operation.operation_id for operation in copy}


def test_spacing_and_key_order_do_not_make_another_operation(tmp_path: Path) -> None:
    record = event("command_add", 1, aider_version="1")
    compact = json.dumps(dict(reversed(record.items())), separators=(",", ":"))
    (one,), _ = read_all(IMPORTER, write_lines(tmp_path / "a.jsonl", [record]))
    (other,), _ = read_all(IMPORTER, write_lines(tmp_path / "b.jsonl", [compact]))
    assert one == other


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"event": "message_send", ', "not valid JSON"),
        ("[1]", "not a JSON object but list"),
        ('{"properties": {}, "time": 1746631700}', "event is missing"),
        ('{"event": "exit", "properties": {}}', "time is missing"),
        ('{"event": "exit", "properties": [], "time": 1746631700}', "properties must be an object"),
        ('{"event": "exit", "properties": {}, "time": 12}', "outside the years"),
        (json.dumps(send(0, prompt_tokens=-1)), "prompt_tokens must be a whole number"),
        (json.dumps(send(0, prompt_tokens="many")), "prompt_tokens must be a whole number"),
        (json.dumps(send(0, cost=-1)), "cost: cost must not be negative"),
        (json.dumps(send(0, cost=[])), "cost: cost must be a number"),
        (json.dumps(send(0, main_model=5)), "main_model must be text"),
        ('{"event": "message_send", "properties": {"cost": NaN}, "time": 1746631700}', "NaN is not a JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ("\x00\xff", "not valid JSON"),
    ],
)
def test_a_bad_line_is_rejected_with_its_number_and_reason_and_the_rest_is_read(
    log: Path, line: str, reason: str
) -> None:
    operations, rejects = read_all(IMPORTER, write_lines(log, [send(0), line, send(1)]))
    assert len(operations) == 2
    ((number, said, raw),) = rejects
    assert (number, raw) == (2, line.encode())
    assert reason in said


EVENTS = (
    *("launched", "cli session", "exit", "repo"),
    *("message_send_starting", "SEND", "SEND", "ASK", "message_send_exception"),
    *("command_undo", "command_add"),
)

_STORY = st.lists(
    st.tuples(
        st.sampled_from(EVENTS),
        st.integers(0, 2),
        st.sampled_from(["u1", "u2", None]),
    ),
    max_size=30,
)


def told(story: list[tuple[str, int, str | None]]) -> list[dict[str, Any]]:
    """A log of random events in time order, with running totals that fit only sometimes."""
    at = itertools.accumulate(step for _, step, _ in story)
    records: list[dict[str, Any]] = []
    for number, ((name, _, user), second) in enumerate(zip(story, at, strict=True)):
        if name in ("SEND", "ASK"):
            edit_format = "ask" if name == "ASK" else "diff"
            records.append(send(second, user=user, cost=0.1, total=0.1 * (1 + number % 3), edit_format=edit_format))
        else:
            records.append(event(name, second, user=user))
    return records


@settings(max_examples=150, deadline=None)
@given(story=_STORY, data=st.data())
def test_a_log_read_in_pieces_gives_the_same_operations_as_one_read_whole(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, int, str | None]], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("aider")
    whole = write_lines(directory / "whole.jsonl", told(story))
    content = whole.read_bytes()
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=6))
    expected, rejects = read_all(IMPORTER, whole)
    assert rejects == []
    intake = read_growing(IMPORTER, directory / "growing.jsonl", content, cuts)
    assert intake.stored == {operation.operation_id: operation for operation in expected}
    assert len(expected) == len(intake.stored)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["message_send", "message_send_exception", "command_add", "exit", ""]) | _JSON,
    changes=st.dictionaries(
        st.sampled_from(["main_model", "prompt_tokens", "completion_tokens", "cost", "total_cost", "edit_format"]),
        _JSON,
    ),
    at=st.just(T) | _JSON,
    user=_JSON,
)
def test_any_json_is_read_or_rejected_but_never_stops_the_import(
    tmp_path_factory: pytest.TempPathFactory, name: Any, changes: dict[str, Any], at: Any, user: Any
) -> None:
    record = {"event": name, "properties": send(0)["properties"] | changes, "user_id": user, "time": at}
    path = tmp_path_factory.mktemp("aider") / "log.jsonl"
    operations, rejects = read_all(IMPORTER, write_lines(path, [record, event("command_add", 1)]))
    assert len(operations) + len(rejects) in (1, 2)


def test_logs_named_in_aiders_configuration_and_environment_are_found(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (home / ".aider.conf.yml").write_text("model: x\nanalytics-log: ~/logs/aider.jsonl\n")
    (work / ".aider.conf.yml").write_text("analytics-log: 'here.jsonl'  # note\n")
    machine = Machine(home, {"AIDER_ANALYTICS_LOG": "/var/log/aider.jsonl"}, work)
    assert list(IMPORTER.roots(machine)) == [
        Path("/var/log/aider.jsonl"),
        work / "here.jsonl",
        home / "logs" / "aider.jsonl",
        home / ".aider" / "analytics.jsonl",
    ]


def test_the_published_log_gives_its_published_figures() -> None:
    operations, rejects = read_all(IMPORTER, shared_path("data/aider_analytics.jsonl.gz"))
    sends = [operation for operation in operations if operation.kind == "llm"]
    assert rejects == []
    assert len(sends) == 5314
    assert sum(operation.input_tokens or 0 for operation in sends) == 69_027_848
    assert sum(operation.output_tokens or 0 for operation in sends) == 2_857_606
    assert len({operation.requested_model for operation in sends}) == 90
    claims = [operation.reported_usd for operation in sends if operation.reported_usd is not None]
    with localcontext(prec=50):
        assert sum(claims) == Decimal("10173.03861599599771721")
        assert sum(claims) - max(claims) == Decimal("183.02608724599771721")
    wild = max(sends, key=lambda operation: operation.reported_usd or 0)
    assert (wild.reported_usd, wild.input_tokens, wild.output_tokens) == (Decimal("9990.01252875"), 10023, 10)
    assert wild.duration_ms == 5000
    assert len({operation.operation_id for operation in operations}) == len(operations)
    kinds = Counter(operation.kind for operation in operations)
    assert kinds == {"llm": 5314, "tool": 4804, "task": 61}


def test_four_of_five_published_messages_that_were_started_get_a_response_time() -> None:
    operations, _ = read_all(IMPORTER, shared_path("data/aider_analytics.jsonl.gz"))
    timed = [operation.duration_ms for operation in operations if operation.kind == "llm" and operation.duration_ms]
    assert len(timed) == 4312  # of 5,155 starts; 843 were given up, or ended within their second
    assert max(timed) < 600_000
