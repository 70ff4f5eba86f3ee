"""An import goes on where it was interrupted, changes nothing the second time, and waits for a busy store."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ralex_core.collection.importers.aider import AiderImporter
from ralex_core.collection.importers.base import ImportOptions
from ralex_core.collection.importers.lines import LINES_PER_CHUNK
from ralex_core.collection.importers.runner import ImportReport, Progress, run_import
from ralex_core.collection.redaction import Redaction
from ralex_core.errors import ConfigError, StoreFull
from tests.support.importing import Bench, read_all, write_lines

IMPORTER = AiderImporter(ImportOptions())
T = 1_746_631_700


def command(at: int, name: str = "command_add") -> dict[str, Any]:
    return {"event": name, "properties": {}, "user_id": "u", "time": T + at}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    return (report.read, report.imported, report.duplicates, report.rejected, report.merged)


def test_importing_twice_changes_nothing(bench: Bench, log: Path) -> None:
    write_lines(log, [command(1), command(2, "repo"), "oops", command(3)])
    assert counts(bench.run(IMPORTER, log)) == (4, 2, 0, 1, 1)
    before = dict(bench.intake.stored)
    assert counts(bench.run(IMPORTER, log)) == (4, 0, 2, 1, 1)
    assert bench.intake.stored == before
    assert len(bench.quarantined()) == 1


def test_a_report_says_where_rejected_lines_are_kept(bench: Bench, log: Path) -> None:
    write_lines(log, [command(1), '{"event": 5}'])
    report = bench.run(IMPORTER, log)
    fingerprint = bench.intake.redaction.fingerprints.of_bytes(b'{"event": 5}')
    assert bench.quarantined() == [
        {"file": str(log), "line": 2, "reason": "event must be text, not int", "fingerprint": fingerprint}
    ]
    (kept,) = report.quarantine_files
    assert Path(kept).parent == bench.quarantine
    assert Path(kept).name.startswith("aider-")
    assert json.loads(json.dumps(report.as_json()))["rejected"] == 1


def test_what_is_kept_of_a_long_line_is_capped(bench: Bench, log: Path) -> None:
    bench.intake.redaction = Redaction(keep_text=True)
    write_lines(log, ["x" * 10_000])
    bench.run(IMPORTER, log)
    assert len(bench.quarantined()[0]["raw"]) == 4096


@pytest.mark.parametrize(
    "line", ['{"event": "x", "time": "MARKER it is"}', '{"event": ["MARKER"]}', "MARKER", '{"MARKER": ']
)
def test_what_was_typed_is_not_kept_of_a_line_that_cannot_be_read(bench: Bench, log: Path, line: str) -> None:
    write_lines(log, [line])
    assert bench.run(IMPORTER, log).rejected == 1
    assert "MARKER" not in json.dumps(bench.quarantined())
    bench.intake.redaction = Redaction(keep_text=True)
    write_lines(log, ["another", '{"MARKER": "sk-abcdefghijklmnop1234'])
    bench.run(IMPORTER, log)
    assert "MARKER" in json.dumps(bench.quarantined()) and "sk-abc" not in json.dumps(bench.quarantined())


def test_a_quarantine_file_cut_off_by_a_crash_is_mended(bench: Bench, log: Path) -> None:
    write_lines(log, ["bad one", "bad two"])
    bench.run(IMPORTER, log)
    (file,) = bench.quarantine.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    bench.run(IMPORTER, log)
    assert file.read_bytes() == whole


def test_a_failed_commit_leaves_the_cursor_before_it_and_the_next_run_goes_on(bench: Bench, log: Path) -> None:
    write_lines(log, [command(at) for at in range(5 * LINES_PER_CHUNK)])
    expected, _ = read_all(IMPORTER, log)
    bench.intake.failure = (2, StoreFull("no room"))
    with pytest.raises(StoreFull):
        bench.run(IMPORTER, log)
    cursor = bench.state.cursor("aider", str(log))
    assert cursor is not None
    assert (cursor.lines, cursor.complete) == (2 * LINES_PER_CHUNK, False)
    bench.intake.failure = None
    report = bench.run(IMPORTER, log)
    assert report.read == 3 * LINES_PER_CHUNK
    assert set(bench.intake.stored) == {operation.operation_id for operation in expected}
    cursor = bench.state.cursor("aider", str(log))
    assert cursor is not None
    assert (cursor.lines, cursor.imported, cursor.complete) == (len(expected), len(expected), True)


def test_a_busy_store_makes_the_import_wait_and_loses_nothing(bench: Bench, log: Path) -> None:
    write_lines(log, [command(at) for at in range(3 * LINES_PER_CHUNK)])
    bench.intake.refusals = 3
    report = bench.run(IMPORTER, log)
    assert report.imported == 3 * LINES_PER_CHUNK
    assert not report.stopped


def test_a_stopped_import_says_so_and_goes_on_later(bench: Bench, log: Path) -> None:
    write_lines(log, [command(at) for at in range(3 * LINES_PER_CHUNK)])
    stop = threading.Event()
    stop.set()
    report = run_import(
        IMPORTER,
        [log],
        intake=bench.intake,
        state=bench.state,
        quarantine_dir=bench.quarantine,
        machine=bench.machine,
        stop=stop,
    )
    assert (report.read, report.imported) == (0, 0)
    assert bench.run(IMPORTER, log).imported == 3 * LINES_PER_CHUNK


def test_progress_is_told_after_every_commit_and_ends_at_the_whole(bench: Bench, tmp_path: Path) -> None:
    plain = write_lines(tmp_path / "a.jsonl", [command(at) for at in range(2 * LINES_PER_CHUNK)])
    zipped = write_lines(tmp_path / "b.jsonl.gz", [command(at, "command_drop") for at in range(10)])
    told: list[tuple[str, int, int, int]] = []

    def note(progress: Progress) -> None:
        told.append((progress.path.name, progress.file, progress.bytes_done, progress.report.imported))

    run_import(
        IMPORTER,
        [plain, zipped],
        intake=bench.intake,
        state=bench.state,
        quarantine_dir=bench.quarantine,
        machine=bench.machine,
        progress=note,
    )
    total = plain.stat().st_size + zipped.stat().st_size
    assert [(name, number) for name, number, *_ in told] == [("a.jsonl", 1)] * 3 + [("b.jsonl.gz", 2)]
    assert [done for *_, done, _ in told] == sorted(done for *_, done, _ in told)
    assert told[-1][2:] == (total, 2 * LINES_PER_CHUNK + 10)


def test_a_gzipped_log_is_read_whatever_its_name(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(gzip.compress(json.dumps(command(1)).encode() + b"\n"))
    assert bench.run(IMPORTER, path).imported == 1


def test_a_damaged_archive_gives_what_is_readable_and_names_the_place(bench: Bench, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl.gz", [command(at) for at in range(1000)])
    path.write_bytes(path.read_bytes()[:-20])
    report = bench.run(IMPORTER, path)
    assert 0 < report.imported <= 1000
    assert report.rejected == 1
    (entry,) = bench.quarantined()
    assert "damaged or incomplete" in entry["reason"]
    assert entry["line"] == report.read + 1


def test_a_last_line_without_an_end_is_read_and_read_again_when_it_has_grown(bench: Bench, log: Path) -> None:
    write_lines(log, [command(1), command(2)], end="")
    assert bench.run(IMPORTER, log).imported == 2
    write_lines(log, [command(1), command(2), command(3)])
    report = bench.run(IMPORTER, log)
    assert (report.imported, report.rejected) == (1, 0)
    assert len(bench.intake.stored) == 3


def test_half_a_last_line_is_rejected_and_becomes_an_operation_once_it_is_whole(bench: Bench, log: Path) -> None:
    half = json.dumps(command(2))[:20]
    write_lines(log, [command(1), half], end="")
    report = bench.run(IMPORTER, log)
    assert (report.imported, report.rejected) == (1, 1)
    assert "the last line has no end" in bench.quarantined()[0]["reason"]
    write_lines(log, [command(1), command(2)])
    assert bench.run(IMPORTER, log).imported == 1


def test_in_a_directory_only_what_changed_is_read_again(bench: Bench, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    write_lines(logs / "a.jsonl", [command(1)])
    write_lines(logs / "deep" / "b.jsonl", [command(2)])
    (logs / "notes.txt").write_text("not a log")
    assert counts(bench.run(IMPORTER, logs))[:2] == (2, 2)
    with (logs / "a.jsonl").open("a") as file:
        file.write(json.dumps(command(3)) + "\n")
    report = bench.run(IMPORTER, logs)
    assert (report.files, report.unchanged, report.read, report.imported) == (1, 1, 1, 1)
    assert bench.run(IMPORTER, logs, resume="never").read == 3


def test_another_file_in_a_known_files_place_is_read_from_the_start(bench: Bench, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    write_lines(logs / "a.jsonl", [command(1), command(2)])
    bench.run(IMPORTER, logs)
    write_lines(logs / "a.jsonl", [command(7), command(8), command(9)])
    report = bench.run(IMPORTER, logs)
    assert (report.read, report.imported) == (3, 3)
    cursor = bench.state.cursor("aider", str(logs / "a.jsonl"))
    assert cursor is not None
    assert (cursor.lines, cursor.imported) == (3, 3)


class NewerImporter(AiderImporter):
    """Carries over something else than the version before it did."""

    state_version = 2


def test_a_log_read_by_another_version_of_the_importer_is_read_from_the_start(bench: Bench, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    write_lines(logs / "a.jsonl", [command(1), command(2)])
    bench.run(IMPORTER, logs)
    with (logs / "a.jsonl").open("a") as file:
        file.write(json.dumps(command(3)) + "\n")
    report = bench.run(NewerImporter(ImportOptions()), logs)
    assert (report.read, report.imported, report.duplicates) == (3, 1, 2)


def test_a_file_that_does_not_exist_is_named(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file or directory"):
        bench.run(IMPORTER, tmp_path / "nowhere.jsonl")


def test_an_empty_file_is_fine(bench: Bench, log: Path) -> None:
    log.touch()
    assert counts(bench.run(IMPORTER, log)) == (0, 0, 0, 0, 0)


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(bench: Bench, log: Path) -> None:
    log.write_bytes(
        b"\xef\xbb\xbf" + json.dumps(command(1)).encode() + b"\r\n" + json.dumps(command(2)).encode() + b"\r\n"
    )
    report = bench.run(IMPORTER, log)
    assert (report.imported, report.rejected) == (2, 0)


def test_logs_in_the_assistants_own_place_are_followed_and_others_are_not(bench: Bench, tmp_path: Path) -> None:
    own = write_lines(bench.machine.home / ".aider" / "analytics.jsonl", [command(1)])
    brought = write_lines(tmp_path / "brought.jsonl", [command(2)])
    bench.run(IMPORTER, own, brought)
    followed = {Path(cursor.path).name: cursor.follow for cursor in bench.state.cursors()}
    assert followed == {"analytics.jsonl": True, "brought.jsonl": False}


def test_a_line_too_long_for_memory_is_skipped(bench: Bench, log: Path) -> None:
    with log.open("wb") as file:
        file.write(json.dumps(command(1)).encode() + b"\n")
        file.write(b'{"event": "')
        for _ in range(65):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + json.dumps(command(2)).encode() + b"\n")
    report = bench.run(IMPORTER, log)
    assert (report.read, report.imported, report.rejected) == (3, 2, 1)
    cursor = bench.state.cursor("aider", str(log))
    assert cursor is not None
    assert json.loads(cursor.position)["offset"] == log.stat().st_size
