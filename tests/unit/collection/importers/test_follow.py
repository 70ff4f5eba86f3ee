"""Logs that grow while the monitor serves are read within a look or two, whatever happens to their files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ralex_core.clock import ManualClock
from ralex_core.collection.importers.base import ImportOptions, Machine
from ralex_core.collection.importers.claude_code import ClaudeCodeImporter
from ralex_core.collection.importers.follow import QUIET_S, RESCAN_S, Follower
from ralex_core.collection.importers.runner import ImportReport
from ralex_core.errors import StoreFull
from tests.support.importing import Bench, write_lines
from tests.unit.collection.importers.test_claude_code import answer, prompt

IMPORTER = ClaudeCodeImporter(ImportOptions())


class Scene:
    """A machine with one imported transcript, and a follower that looks when told."""

    def __init__(self, directory: Path) -> None:
        self.bench = Bench(directory)
        self.tree = self.bench.machine.home / ".claude" / "projects" / "-shop"
        self.log = write_lines(self.tree / "one.jsonl", [prompt(0), answer(1, "a1", "p1")])
        self.bench.run(IMPORTER, self.tree)
        self.clock = ManualClock(self.log.stat().st_mtime_ns // 1000)  # files carry the machine's own time
        self.follower = self.new_follower()

    def new_follower(self, machine: Machine | None = None) -> Follower:
        return Follower(
            [IMPORTER],
            intake=self.bench.intake,
            state=self.bench.state,
            quarantine_dir=self.bench.quarantine,
            machine=machine or self.bench.machine,
            clock=self.clock,
        )

    def look(self, after: float = 2.0) -> list[ImportReport]:
        self.clock.advance(after)
        return self.follower.follow_once()

    def append(self, *records: dict[str, Any], end: str = "\n", log: Path | None = None) -> None:
        with (log or self.log).open("a") as file:
            file.write("\n".join(json.dumps(record) for record in records) + end)

    @property
    def stored(self) -> int:
        return len(self.bench.intake.stored)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    assert scene.look() == []
    return scene


def second(at: float = 5, **changes: Any) -> dict[str, Any]:
    return answer(at, f"b{at}", "a1", message_id=f"msg_{at}", request_id=f"req_{at}", **changes)


def test_what_is_added_is_read_once_it_is_finished(scene: Scene) -> None:
    scene.append(second(5), second(6))
    (report,) = scene.look()
    assert (report.read, report.imported) == (2, 1)
    assert scene.look() == []
    assert scene.stored == 2


def test_a_response_nothing_follows_is_given_once_the_log_is_quiet(scene: Scene) -> None:
    scene.append(second(5))
    scene.look()
    assert scene.stored == 1
    (report,) = scene.look(QUIET_S)
    assert report.imported == 1
    assert scene.look(QUIET_S) == []


def test_half_a_line_waits_for_its_rest(scene: Scene) -> None:
    text = json.dumps(second(5))
    with scene.log.open("a") as file:
        file.write(text[:40])
    (report,) = scene.look()
    assert (report.read, report.rejected) == (0, 0)
    with scene.log.open("a") as file:
        file.write(text[40:] + "\n")
    scene.look()
    scene.look(QUIET_S)
    assert scene.stored == 2
    assert scene.bench.quarantined() == []


def test_a_new_log_in_the_same_tree_is_found(scene: Scene) -> None:
    write_lines(scene.tree / "two.jsonl", [second(5), second(6)])
    assert scene.look() == []
    (report,) = scene.look(RESCAN_S)
    assert report.read == 2
    scene.look(QUIET_S)
    assert scene.stored == 3


def test_an_older_log_that_nobody_imported_stays_unread(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    old = write_lines(scene.tree / "old.jsonl", [second(5)])
    os.utime(old, (1_000_000_000, 1_000_000_000))
    assert scene.look() == []
    assert scene.stored == 1


def test_a_truncated_log_is_read_from_its_start(scene: Scene) -> None:
    write_lines(scene.log, [second(7)])
    scene.look()
    scene.look(QUIET_S)
    assert scene.stored == 2


def test_a_log_replaced_by_a_larger_one_is_read_from_its_start(scene: Scene) -> None:
    scene.log.rename(scene.tree / "one.jsonl.1")
    write_lines(scene.log, [second(7), second(8), second(9), second(10)])
    scene.look()
    scene.look(QUIET_S)
    assert scene.stored == 5


def test_a_deleted_log_is_forgotten_and_found_again(scene: Scene) -> None:
    scene.log.unlink()
    assert scene.look() == []
    write_lines(scene.log, [second(7)])
    scene.look(RESCAN_S)
    scene.look(QUIET_S)
    assert scene.stored == 2


def test_what_was_added_while_nobody_looked_is_read_at_the_first_look(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.append(second(5), second(6))
    (report,) = scene.look()
    assert report.imported == 1


def test_a_log_that_was_brought_from_elsewhere_is_not_followed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    brought = write_lines(tmp_path / "brought.jsonl", [second(5)])
    scene.bench.run(IMPORTER, brought)
    scene.append(second(6), second(7), log=brought)
    assert scene.look() == []


def test_after_a_failed_commit_the_same_lines_are_read_again(scene: Scene) -> None:
    scene.append(second(5), second(6))
    scene.bench.intake.failure = (0, StoreFull("no room"))
    with pytest.raises(StoreFull):
        scene.look()
    scene.bench.intake.failure = None
    scene.look()
    scene.look(QUIET_S)
    assert scene.stored == 3


def test_a_restarted_follower_goes_on_without_reading_anything_twice(scene: Scene) -> None:
    scene.append(second(5))
    scene.look()
    scene.follower = scene.new_follower()
    scene.append(second(6))
    (report,) = scene.look()
    assert report.read == 1
    scene.look(QUIET_S)
    assert scene.stored == 3


def test_the_thread_reads_what_is_added_and_ends_when_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.append(second(5), second(6))
    arrived = scene.bench.intake.arrival()
    follower = Follower(
        [IMPORTER],
        intake=scene.bench.intake,
        state=scene.bench.state,
        quarantine_dir=scene.bench.quarantine,
        machine=scene.bench.machine,
        interval_s=0.01,
    )
    follower.start()
    assert arrived.wait(30)
    follower.stop()
    follower.stop()
    assert scene.stored >= 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(scene: Scene) -> None:
    scene.log.unlink()
    os.mkfifo(scene.log)
    assert scene.look(RESCAN_S) == []
    write_lines(scene.tree / "two.jsonl", [second(5), second(6)])
    (report,) = scene.look(RESCAN_S)
    assert report.read == 2
