"""What Ralex's usage records, logged operations and cost records become."""

from __future__ import annotations

import itertools
import json
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.collection.importers.base import ImportOptions, Machine
from ralex_core.collection.importers.ralex import RalexImporter
from ralex_core.model.operation import Operation
from tests.support.importing import Bench, read_all, read_growing, write_lines

IMPORTER = RalexImporter(ImportOptions(zone=UTC))
NOON_US = 1_754_222_400_000_000
"""2025-08-03T12:00:00Z."""


def usage(**changes: Any) -> dict[str, Any]:
    return {
        "timestamp": "2025-08-03T12:00:00.250000",
        "model": "openrouter/anthropic/claude-3.5-sonnet",
        "tokens_sent": 900,
        "tokens_received": 120,
        "cost": 0.0045,
        "task_type": "coding",
    } | changes


def logged(number: int = 1, kind: str = "ralex_bridge", **changes: Any) -> dict[str, Any]:
    return {
        "operation_id": f"ab12cd34-{number:04d}",
        "session_id": "ab12cd34",
        "timestamp": f"2025-08-03T12:00:{number:02d}.500000Z",
        "unix_timestamp": 1_754_222_400 + number,
        "operation_type": kind,
        "model": "openrouter/anthropic/claude-3-haiku",
        "cost": 0.002,
        "prompt_length": 400,
        "response_length": 1200,
        "project_path": "/home/ann/ralex",
        "metadata": {},
        "detected_tool": "ralex",
    } | changes


def cost(number: int, actual: float, at: str = "2025-08-03T12:05:00Z") -> dict[str, Any]:
    return {"operation_id": f"ab12cd34-{number:04d}", "actual_cost": actual, "estimated_cost": 0.002, "updated_at": at}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def read(path: Path, *records: dict[str, Any]) -> list[Operation]:
    operations, rejects = read_all(IMPORTER, write_lines(path, records))
    assert rejects == []
    return operations


def attributes(operation: Operation) -> dict[str, Any]:
    return json.loads(operation.attributes or "{}")


def test_a_usage_record_is_a_call_with_tokens_and_a_claim(tmp_path: Path) -> None:
    (operation,) = read(tmp_path / "usage.jsonl", usage())
    assert (operation.kind, operation.name, operation.feature) == ("llm", "model_call", "coding")
    assert operation.started_at == NOON_US + 250_000
    assert (operation.provider, operation.model) == ("openrouter", "anthropic/claude-3.5-sonnet")
    assert (operation.input_tokens, operation.output_tokens) == (900, 120)
    assert operation.reported_usd == Decimal("0.0045")
    assert (operation.source, operation.door, operation.outcome) == ("ralex", "importer", "unknown")


def test_a_time_without_a_zone_is_in_the_settings_zone(tmp_path: Path) -> None:
    importer = RalexImporter(ImportOptions(zone=ZoneInfo("America/New_York")))
    (operation,), _ = read_all(importer, write_lines(tmp_path / "usage.jsonl", [usage()]))
    assert operation.started_at == NOON_US + 250_000 + 4 * 3_600_000_000


def test_a_call_that_counted_nothing_and_cost_nothing_is_unknown_unless_the_model_is_free(tmp_path: Path) -> None:
    unknown, free = read(
        tmp_path / "usage.jsonl",
        usage(tokens_sent=0, tokens_received=0, cost=0.0),
        usage(model="openrouter/qwen/qwen3-coder:free", cost=0.0),
    )
    assert (unknown.input_tokens, unknown.output_tokens, unknown.reported_usd) == (None, None, None)
    assert free.reported_usd == 0


def test_identical_usage_records_are_as_many_calls(bench: Bench, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "usage.jsonl", [usage(), usage()])
    assert bench.run(IMPORTER, path).imported == 2
    assert bench.run(IMPORTER, path).imported == 0


def test_a_logged_call_keeps_its_lengths_and_none_of_its_tokens(tmp_path: Path) -> None:
    (operation,) = read(tmp_path / "operations-2025-08-03.jsonl", logged())
    assert (operation.kind, operation.name, operation.session_id) == ("llm", "ralex_bridge", "ab12cd34")
    assert operation.started_at == NOON_US + 1_500_000
    assert (operation.input_tokens, operation.output_tokens) == (None, None)
    assert (operation.project, operation.reported_usd) == ("ralex", Decimal("0.002"))
    assert attributes(operation) == {"prompt_length": 400, "response_length": 1200, "detected_tool": "ralex"}


def test_a_logged_time_without_a_zone_gives_way_to_the_epoch_beside_it(tmp_path: Path) -> None:
    importer = RalexImporter(ImportOptions(zone=ZoneInfo("Asia/Tokyo")))
    record = logged(timestamp="2025-08-03T12:00:01.500000")
    (operation,), _ = read_all(importer, write_lines(tmp_path / "operations-x.jsonl", [record]))
    assert operation.started_at == NOON_US + 1_000_000


def test_routing_is_a_step_with_both_models_and_is_not_billed(tmp_path: Path) -> None:
    metadata = {"original_model": "a", "selected_model": "b", "routing_reasoning": "said something"}
    (operation,) = read(tmp_path / "operations-x.jsonl", logged(kind="model_routing", metadata=metadata))
    assert (operation.kind, operation.name, operation.reported_usd) == ("task", "model_routing", None)
    assert attributes(operation)["selected_model"] == "b"
    assert "said something" not in repr(operation)


FACTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("operations-2025-08-03.jsonl", logged(1)),
    (
        "operations-2025-08-04.jsonl",
        logged(2, "execution_result", metadata={"parent_operation_id": "ab12cd34-0001", "success": False}),
    ),
    ("costs.jsonl", cost(1, 0.0031)),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_what_is_learnt_of_a_call_in_other_files_amends_it_in_any_order(
    bench: Bench, tmp_path: Path, order: tuple[int, ...]
) -> None:
    for position in order:
        name, record = FACTS[position]
        bench.run(IMPORTER, write_lines(tmp_path / name, [record]))
    (call,) = bench.intake.of_kind("llm")
    (step,) = bench.intake.of_kind("task")
    assert (call.reported_usd, call.outcome) == (Decimal("0.0031"), "failed")
    assert (step.status, step.outcome, step.parent_span_id) == ("error", "failed", call.span_id)
    assert step.trace_id == call.trace_id
    before = dict(bench.intake.stored)
    for name, _ in FACTS:
        bench.run(IMPORTER, tmp_path / name, resume="never")
    assert bench.intake.stored == before


def test_the_latest_word_on_a_cost_counts(bench: Bench, tmp_path: Path) -> None:
    bench.run(IMPORTER, write_lines(tmp_path / "operations-x.jsonl", [logged(1)]))
    later, earlier = cost(1, 0.5, "2025-08-03T13:00:00Z"), cost(1, 0.4, "2025-08-03T12:30:00Z")
    bench.run(IMPORTER, write_lines(tmp_path / "costs.jsonl", [earlier, later, earlier]))
    (call,) = bench.intake.of_kind("llm")
    assert call.reported_usd == Decimal("0.5")


def test_a_reported_success_is_not_believed(bench: Bench, tmp_path: Path) -> None:
    done = logged(2, "execution_result", metadata={"parent_operation_id": "ab12cd34-0001", "success": True})
    bench.run(IMPORTER, write_lines(tmp_path / "operations-x.jsonl", [logged(1), done]))
    assert {operation.outcome for operation in bench.intake.stored.values()} == {"unknown"}


def test_a_call_in_both_logs_is_kept_twice_and_flagged(bench: Bench, tmp_path: Path) -> None:
    record = usage(model="openrouter/anthropic/claude-3-haiku", cost=0.002)
    other = usage(model="openrouter/anthropic/claude-3-haiku", cost=0.002, timestamp="2025-08-03T14:00:00")
    bench.run(IMPORTER, write_lines(tmp_path / "usage.jsonl", [record, other]))
    bench.run(IMPORTER, write_lines(tmp_path / "operations-x.jsonl", [logged(1)]))
    first, second, later = bench.intake.of_kind("llm")
    assert attributes(second)["suspected_duplicate_of"] == first.operation_id
    assert "suspected_duplicate_of" not in attributes(later)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"hello": 1}, "neither a usage record nor an operation nor a cost"),
        (usage(timestamp="soon"), "timestamp is not a time"),
        (usage(tokens_sent=-1), "tokens_sent must be a whole number"),
        (usage(cost="much"), "cost: cost 'much' is not a number"),
        (logged(operation_id=None), "operation_id is missing"),
        (cost(1, -1), "actual_cost: cost must not be negative"),
    ],
)
def test_a_bad_record_is_rejected_with_its_reason(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    _, rejects = read_all(IMPORTER, write_lines(tmp_path / "usage.jsonl", [usage(), bad, usage()]))
    assert [(item.line, reason in item.reason) for item in rejects] == [(2, True)]


def test_of_a_directory_only_ralexs_logs_are_read(tmp_path: Path) -> None:
    logs = tmp_path / ".ai-logs"
    for name in ("operations-2025-08-03.jsonl", "costs.jsonl", "patterns.jsonl"):
        write_lines(logs / name, [logged(1)])
    (logs / "content-ab12cd34-0001.json").write_text("{}")
    assert {file.name for file in IMPORTER.files_in(logs)} == {"operations-2025-08-03.jsonl", "costs.jsonl"}
    machine = Machine(tmp_path / "home", {}, tmp_path)
    assert logs in IMPORTER.roots(machine)


@settings(max_examples=60, deadline=None)
@given(
    story=st.lists(
        st.one_of(
            st.builds(lambda sent: usage(tokens_sent=sent), st.integers(0, 2)),
            st.builds(logged, st.integers(1, 3)),
            st.builds(cost, st.integers(1, 3), st.floats(0, 1)),
        ),
        max_size=15,
    ),
    data=st.data(),
)
def test_a_log_read_in_pieces_gives_the_same_operations_as_one_read_whole(
    tmp_path_factory: pytest.TempPathFactory, story: list[dict[str, Any]], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("ralex")
    content = write_lines(directory / "usage.jsonl", story).read_bytes()
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=5))
    whole = read_growing(IMPORTER, directory / "one.jsonl", content, [])
    pieces = read_growing(IMPORTER, directory / "growing.jsonl", content, cuts)
    assert pieces.stored == whole.stored
