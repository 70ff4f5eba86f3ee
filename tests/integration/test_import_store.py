"""Importing into the real stores: the published figures, killed imports, followed logs, and every door alike."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ralex_core.cli.wire import as_line
from ralex_core.clock import ManualClock, SystemClock
from ralex_core.collection.importers.base import ImportOptions
from ralex_core.collection.importers.claude_code import ClaudeCodeImporter
from ralex_core.collection.importers.follow import QUIET_S, Follower
from ralex_core.collection.importers.registry import importer_for
from ralex_core.collection.importers.runner import ImportReport, run_import
from ralex_core.collection.native import NDJSON, parse_operations
from ralex_core.config import FINGERPRINT_KEY_FILE, Settings
from ralex_core.model.operation import Operation, Pricing
from ralex_core.runtime.direct import DirectStores, open_stores
from ralex_core.storage.state import StateStore
from tests.support.importing import read_all, write_lines
from tests.support.shared import ROOT, shared_path
from tests.unit.collection.importers import test_claude_code as transcript
from tests.unit.collection.importers import test_ralex as ralex

AIDER = "data/aider_analytics.jsonl.gz"


@contextmanager
def opened(home: Path) -> Generator[tuple[DirectStores, Settings]]:
    settings = Settings(home=home)
    with open_stores(settings) as stores:
        yield stores, settings


def import_into(home: Path, source: str, *paths: Path) -> ImportReport:
    with opened(home) as (stores, settings):
        return run_import(
            importer_for(source),
            paths,
            intake=stores.data.intake,
            state=stores.state,
            quarantine_dir=settings.quarantine_dir,
        )


def ask(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "telemetry.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_published_aider_log_gives_its_figures_one_wild_claim_and_nothing_twice(tmp_path: Path) -> None:
    log = shared_path(AIDER)
    report = import_into(tmp_path, "aider", log)
    assert (report.read, report.imported, report.merged, report.rejected) == (33_318, 10_179, 23_139, 0)
    sums = (
        "select count(*), sum(input_tokens), sum(output_tokens), sum(reported_usd), "
        "sum(reported_usd) filter (quarantine is null), count(quarantine) from operations where kind = 'llm'"
    )
    expected = (
        5314,
        69_027_848,
        2_857_606,
        Decimal("10173.038615995997717210"),
        Decimal("183.026087245997717210"),
        1,
    )
    assert ask(tmp_path, sums) == [expected]
    wild = ask(
        tmp_path,
        "select model, input_tokens, output_tokens, reported_usd, started_at + (duration_ms * 1000)::bigint, "
        "quarantine from operations where quarantine is not null",
    )
    sent_at = 1_746_631_772_000_000  # 2025-05-07 15:29:32 UTC
    assert wild == [
        ("gemini-2.5-pro-preview-03-25", 10023, 10, Decimal("9990.012528750000000000"), sent_at, "reported")
    ]
    again = import_into(tmp_path, "aider", log)
    assert (again.read, again.imported, again.updated, again.duplicates) == (33_318, 0, 0, 10_179)
    assert ask(tmp_path, sums) == [expected]


IMPORTING = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.integration.test_import_store import importer_for, open_stores, run_import, Settings
settings = Settings(home=Path({home!r}))
with open_stores(settings) as stores:
    run_import(importer_for("aider"), [Path({log!r})], intake=stores.data.intake, state=stores.state,
               quarantine_dir=settings.quarantine_dir, progress=lambda progress: print("committed", flush=True))
"""


def killed_import(home: Path, log: Path, after_commits: int) -> bool:
    """Run an import in a process of its own and kill it after so many commits; returns whether it was alive then."""
    script = IMPORTING.format(root=str(ROOT), home=str(home), log=str(log))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(after_commits):
            if not process.stdout.readline():
                break
        alive = process.poll() is None
        process.kill()
    return alive


@pytest.mark.process
def test_an_import_killed_again_and_again_ends_as_if_it_had_run_once(tmp_path: Path) -> None:
    rng = random.Random(7)
    user = {"user_id": "u", "properties": {}}
    start = 1_746_631_700
    lines: list[Any] = []
    for index in range(10_000):
        name = rng.choice(["command_add", "command_undo", "message_send_starting", "SEND", "exit", "launched"])
        record: dict[str, Any] = {"event": name, "time": start + index // 3, **user}
        if name == "SEND":
            tokens = {"prompt_tokens": index, "completion_tokens": 5, "cost": 0.01, "total_cost": 0.01}
            record |= {"event": "message_send", "properties": {"main_model": "gpt-4o", "edit_format": "diff"} | tokens}
        lines.append("bad line" if index % 1000 == 999 else record)
    log = write_lines(tmp_path / "log.jsonl", lines)
    home, once = tmp_path / "killed", tmp_path / "once"
    killed = sum(killed_import(home, log, commits) for commits in (1, 1, 1))
    assert killed >= 2
    once.mkdir()
    (once / FINGERPRINT_KEY_FILE).write_bytes((home / FINGERPRINT_KEY_FILE).read_bytes())
    report = import_into(home, "aider", log)
    import_into(once, "aider", log)
    with_rows = "select * exclude (price_version) from operations order by operation_id"
    assert ask(home, with_rows) == ask(once, with_rows)
    assert report.read < len(lines)
    kept = [sorted(file.read_text().splitlines()) for file in (home / "quarantine").iterdir()]
    assert kept == [sorted(file.read_text().splitlines()) for file in (once / "quarantine").iterdir()]
    assert len(kept[0]) == 10
    state = StateStore(home / "state.sqlite")
    cursor = state.cursor("aider", str(log))
    state.close()
    assert cursor is not None
    assert (cursor.lines, cursor.complete) == (10_000, True)


def test_a_followed_transcript_is_stored_as_it_grows_and_its_operations_replace_themselves(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "one.jsonl", [transcript.prompt(0), transcript.answer(1, "a1", "p1", output=1)])
    with opened(tmp_path / "home") as (stores, settings):
        run_import(
            ClaudeCodeImporter(ImportOptions()),
            [log],
            intake=stores.data.intake,
            state=stores.state,
            quarantine_dir=settings.quarantine_dir,
            follow=True,
        )
        clock = ManualClock(SystemClock().now_us())
        follower = Follower(
            [ClaudeCodeImporter(ImportOptions())],
            intake=stores.data.intake,
            state=stores.state,
            quarantine_dir=settings.quarantine_dir,
            clock=clock,
        )
        with log.open("a") as file:
            file.write(json.dumps(transcript.answer(4, "a2", "a1", output=90)) + "\n")
        clock.advance(2)
        follower.follow_once()
        clock.advance(QUIET_S)
        (report,) = follower.follow_once()
        assert (report.updated, report.imported) == (1, 0)
        rows = stores.data.store.query("select output_tokens, duration_ms, cost_basis from operations")
        assert rows == [(90, 4000.0, "computed")]


def samples(tmp_path: Path) -> dict[str, list[Operation]]:
    """Operations of every importer, from logs that show all their kinds."""
    claude = write_lines(
        tmp_path / "claude.jsonl",
        [
            transcript.prompt(0),
            transcript.answer(1, "a1", "p1", content=[transcript.call("t1")], costUSD=0.25),
            transcript.result(2, "r1", "a1", "t1", is_error=True),
            transcript.answer(3, "a2", "r1", isApiErrorMessage=True, apiErrorStatus=529),
        ],
    )
    own = write_lines(
        tmp_path / "ralex.jsonl",
        [ralex.usage(), ralex.logged(1), ralex.logged(2, "model_routing"), ralex.cost(1, 0.5)],
    )
    table = tmp_path / "table.csv"
    table.write_text(f"time,id,session,http_status,attempt\n2026-01-01,{'x' * 300},{'s' * 700},9,0\n")
    return {
        "claude-code": read_all(importer_for("claude-code"), claude)[0],
        "ralex": read_all(importer_for("ralex"), own)[0],
        "files": read_all(importer_for("files"), table)[0],
        "aider": read_all(importer_for("aider"), shared_path(AIDER))[0],
    }


def test_what_importers_make_passes_through_a_running_servers_door_unchanged(tmp_path: Path) -> None:
    filled = set(Pricing._fields)
    for source, operations in samples(tmp_path).items():
        body = b"".join(as_line(operation) for operation in operations)
        parsed = parse_operations(body, NDJSON, 0, "importer")
        assert parsed.rejected == [], source
        assert len(parsed.operations) == len(operations) > 0
        for sent, received in zip(operations, parsed.operations, strict=True):
            differing = {
                name
                for name, one, other in zip(Operation._fields, sent, received, strict=True)
                if one != other and name not in filled
            }
            assert differing <= {"attributes"}
            assert json.loads(sent.attributes or "{}") == json.loads(received.attributes or "{}")
