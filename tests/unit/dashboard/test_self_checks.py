"""What is wrong with the monitor is told in a sentence, worst first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ralex_core.dashboard.self_checks import Levels, reason, self_checks

FINE = Levels(
    not_ready=None,
    waiting=0,
    queue_limit=100_000,
    oldest_wait_s=0.0,
    commit_p95_s=0.02,
    failed_lately=0,
    refused_lately=0,
    rollup_lag_s=1.0,
    live_lag_p95_s=0.01,
    disk_free_bytes=80_000_000_000,
    disk_total_bytes=200_000_000_000,
    resident_bytes=150_000_000,
    renamed_lately=0,
    max_names=2000,
)


def test_a_monitor_that_is_fine_gives_no_reason() -> None:
    checks = self_checks(FINE)
    assert {check.status for check in checks} == {"ok"}
    assert reason(checks) is None


def test_what_was_never_measured_is_not_wrong() -> None:
    checks = self_checks(
        replace(FINE, commit_p95_s=None, live_lag_p95_s=None, disk_free_bytes=None, disk_total_bytes=None)
    )
    assert reason(checks) is None
    assert [check.status for check in checks if check.key == "disk"] == ["unknown"]


@pytest.mark.parametrize(
    ("changes", "key", "status", "words"),
    [
        ({"not_ready": "The store is away."}, "store", "bad", "The store is away."),
        ({"failed_lately": 2}, "store", "bad", "2 batches could not be stored"),
        ({"waiting": 60_000, "oldest_wait_s": 3.0}, "queue", "warn", "60,000 operations wait for a commit"),
        ({"waiting": 5, "oldest_wait_s": 12.0}, "queue", "warn", "the first for 12.0 s"),
        ({"refused_lately": 300}, "queue", "warn", "300 operations were refused"),
        ({"commit_p95_s": 1.5}, "commits", "warn", "Commits take 1.5 s"),
        ({"rollup_lag_s": 400.0}, "rollups", "warn", "6 m 40 s behind"),
        ({"live_lag_p95_s": 3.0}, "live", "warn", "3.0 s late"),
        ({"disk_free_bytes": 9_000_000_000}, "disk", "warn", "9.00 GB"),
        ({"disk_free_bytes": 900_000_000, "disk_total_bytes": 2_000_000_000}, "disk", "warn", "900 MB"),
        ({"disk_free_bytes": 100_000_000}, "disk", "bad", "free some room"),
        ({"resident_bytes": 1_600_000_000}, "memory", "warn", "1.60 GB"),
        ({"clock_doubt": "The clock went ahead by 400 days."}, "clock", "warn", "ahead by 400 days"),
        (
            {"expired_lately": 12, "kept_from": "2026-01-01T00:00:00.000000Z"},
            "kept",
            "warn",
            "12 operations were not stored in the last quarter of an hour: they started before 2026-01-01",
        ),
        ({"log_trouble": "The write-ahead log is damaged at byte 9."}, "log", "warn", "damaged at byte 9"),
        ({"renamed_lately": 8000}, "names", "warn", "their kind has more than 2,000 names"),
    ],
)
def test_each_thing_that_is_wrong_says_so(changes: dict[str, Any], key: str, status: str, words: str) -> None:
    checks = self_checks(replace(FINE, **changes))
    assert [(check.key, check.status) for check in checks if check.status != "ok"] == [(key, status)]
    assert words in (reason(checks) or "")


def test_the_worst_is_told_first_and_at_most_two() -> None:
    checks = self_checks(replace(FINE, waiting=60_000, commit_p95_s=2.0, disk_free_bytes=1_000))
    told = reason(checks) or ""
    assert told.startswith("Only 1.00 kB of the disk")
    assert "wait for a commit" in told
    assert "Commits take" not in told
