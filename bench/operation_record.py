"""What it costs to make an operation and to put a batch into columns: named tuple against frozen dataclass."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from bench.figure import Figure, median, report, timed_ms
from ralex_core.model.operation import Operation

BATCH = 2_048
_GIVEN = {
    "operation_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "kind": "llm",
    "name": "chat claude-sonnet-4-5",
    "started_at": 1_767_225_600_000_000,
    "duration_ms": 1234.5,
    "provider": "anthropic",
    "model": "claude-sonnet-4-5",
    "input_tokens": 1200,
    "output_tokens": 340,
    "session_id": "session-1",
}

Dataclass = dataclasses.make_dataclass(
    "Dataclass",
    [(name, object, dataclasses.field(default=Operation._field_defaults.get(name))) for name in Operation._fields],
    frozen=True,
    slots=True,
)


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.operation_record", description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)

    def us_per_operation(work: object) -> float:
        assert callable(work)
        return median(timed_ms(work, given.repeats)) * 1e3 / BATCH

    operations = [Operation(**_GIVEN) for _ in range(BATCH)]
    records = [Dataclass(**_GIVEN) for _ in range(BATCH)]
    make = us_per_operation(lambda: [Operation(**_GIVEN) for _ in range(BATCH)])
    make_dataclass = us_per_operation(lambda: [Dataclass(**_GIVEN) for _ in range(BATCH)])
    columns = us_per_operation(lambda: list(zip(*operations, strict=True)))
    dataclass_columns = us_per_operation(
        lambda: [[getattr(record, name) for record in records] for name in Operation._fields]
    )
    figures = [
        Figure("make one operation", make, "µs", make_dataclass, "a frozen dataclass"),
        Figure("its share of turning a batch into columns", columns, "µs", dataclass_columns, "a frozen dataclass"),
    ]
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()
