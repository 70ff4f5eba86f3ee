"""Logs on a machine are found where assistants write them, with what is new in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ralex_core.collection.importers.discovery import discover, looked_in
from ralex_core.collection.importers.registry import all_importers
from tests.support.importing import Bench, write_lines
from tests.unit.collection.importers.test_claude_code import answer, prompt

IMPORTERS = all_importers()


def test_a_machine_without_logs_has_none_and_says_where_it_looked(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert discover(IMPORTERS, bench.machine) == []
    places = looked_in(IMPORTERS, bench.machine)
    assert "~/.claude/projects" in places
    assert "~/.ralex/usage.jsonl" in places
    assert str(bench.machine.cwd / ".ai-logs") in places


def test_found_logs_say_how_much_there_is_and_from_when(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    tree = bench.machine.home / ".claude" / "projects"
    old = write_lines(tree / "a" / "one.jsonl", [prompt(0)])
    new = write_lines(tree / "b" / "two.jsonl", [prompt(0), answer(1, "a1", "p1")])
    os.utime(old, (1_700_000_000, 1_700_000_000))
    os.utime(new, (1_800_000_000, 1_800_000_000))
    (found,) = discover(IMPORTERS, bench.machine, bench.state)
    assert (found.source, found.title, found.paths) == ("claude-code", "Claude Code", (tree,))
    assert (found.files, found.total_bytes) == (2, old.stat().st_size + new.stat().st_size)
    assert (found.oldest_us, found.newest_us) == (1_700_000_000_000_000, 1_800_000_000_000_000)
    assert found.new_bytes == found.total_bytes
    assert found.reads.endswith(".")


def test_what_was_imported_is_not_new_until_it_grows(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    tree = bench.machine.home / ".claude" / "projects"
    log = write_lines(tree / "a" / "one.jsonl", [prompt(0), answer(1, "a1", "p1")])
    importer = IMPORTERS[0]
    bench.run(importer, tree)
    assert discover([importer], bench.machine, bench.state)[0].new_bytes == 0
    added = json.dumps(prompt(9, "p9")) + "\n"
    with log.open("a") as file:
        file.write(added)
    assert discover([importer], bench.machine, bench.state)[0].new_bytes == len(added)
