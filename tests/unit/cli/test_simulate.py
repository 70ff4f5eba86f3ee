"""`ralex-monitor simulate`: lines that a server takes as they are."""

from __future__ import annotations

import orjson

from ralex_core.collection.native import NDJSON, parse_operations
from tests.support.command_line import CommandLine


def test_it_prints_lines_that_every_door_takes(command: CommandLine) -> None:
    ran = command("simulate", "--days", "2")
    assert ran.code == 0
    parsed = parse_operations(ran.stdout.encode(), NDJSON, 0, "api")
    assert parsed.rejected == []
    assert len(parsed.operations) > 500
    assert {operation.source for operation in parsed.operations} == {"simulator"}
    times = [operation.started_at for operation in parsed.operations]
    assert times == sorted(times)


def test_the_same_seed_is_the_same_team(command: CommandLine) -> None:
    """Two runs differ by what finished in between, at either end."""
    first, second = (
        {orjson.loads(line)["operation_id"] for line in command("simulate", "--seed", "3").stdout.splitlines()}
        for _ in range(2)
    )
    assert len(first & second) > 0.98 * len(first)


def test_sending_needs_a_server(command: CommandLine) -> None:
    assert "ralex-monitor serve" in command("simulate", "--send").sentence
    assert "http://127.0.0.1:1" in command("simulate", "--url", "http://127.0.0.1:1").sentence
    assert "nonsense://" in command("simulate", "--url", "nonsense://x").sentence
