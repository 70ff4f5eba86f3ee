"""`/metrics` is what Prometheus reads, and says what everything means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ralex_core.dashboard.metrics_help import HELP, PREFIX
from ralex_core.dashboard.metrics_text import COUNTS, SECONDS
from ralex_core.selfmetrics import BOUNDS
from tests.support.dashboard import NOW_US, client_of, small_host
from tests.support.operations import make_operation
from tests.support.repository import ROOT

RECORDED = re.compile(r"metrics\.(?:add|set|observe)\(\s*\"(\w+)\"")


def test_every_metric_the_code_records_is_described() -> None:
    named = {name for path in (ROOT / "ralex_core").rglob("*.py") for name in RECORDED.findall(path.read_text("utf-8"))}
    assert len(named) > 20
    assert named - set(HELP) == set()


@pytest.mark.parametrize("name", HELP)
def test_every_metric_is_in_the_documentation(name: str) -> None:
    row = f"| `{name}` | {HELP[name]} |"
    assert row in (ROOT / "docs" / "operations.md").read_text("utf-8").splitlines(), f"docs/operations.md lacks {row}"


def test_names_carry_units_and_counters_end_in_total() -> None:
    ends = (
        "_total",
        "_seconds",
        "_bytes",
        "_operations",
        "_clients",
        "_threads",
        "_jobs",
        "_files",
        "_models",
        "_connections",
    )
    others = {"price_overrides", "healthy", "not_ready", "build_info"}
    assert [name for name in HELP if not name.endswith(ends) and name not in others] == []


def test_the_bounds_of_buckets_are_bounds_that_are_counted_by() -> None:
    assert set(SECONDS) | set(COUNTS) <= set(BOUNDS)


async def test_prometheus_reads_it(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        host.store([make_operation(str(number), started_at=NOW_US - 60_000_000) for number in range(7)])
        async with client_of(host) as client:
            await client.get("/")
            host.metrics.add("log_records_total", 1, (("level", 'back\\slash "quoted"\nline'),))
            answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert all(name.startswith(PREFIX) for name in families)
    assert all(family.documentation and family.type != "unknown" for family in families.values())

    batches = families[f"{PREFIX}commit_operations"]
    buckets = {sample.labels["le"]: sample.value for sample in batches.samples if sample.name.endswith("_bucket")}
    assert (buckets["5"], buckets["10"], buckets["+Inf"]) == (0, 1, 1)
    for family in families.values():
        if family.type != "histogram":
            continue
        for count in (sample for sample in family.samples if sample.name.endswith("_count")):
            own = [
                sample.value
                for sample in family.samples
                if sample.name.endswith("_bucket")
                and {name: value for name, value in sample.labels.items() if name != "le"} == count.labels
            ]
            assert own == sorted(own)
            assert own[-1] == count.value > 0
    levels = {sample.labels["level"] for sample in families[f"{PREFIX}log_records"].samples}
    assert levels == {'back\\slash "quoted"\nline'}
    questions = {sample.labels["question"] for sample in families[f"{PREFIX}query_seconds"].samples}
    assert {"totals", "breakdown", "operations_page"} <= questions
    assert families[f"{PREFIX}healthy"].samples[0].value == 1


async def test_a_store_that_does_not_answer_is_told_as_not_healthy(tmp_path: Path) -> None:
    with small_host(tmp_path) as host:
        async with client_of(host) as client:
            host.not_ready = "The telemetry store does not answer."
            text = (await client.get("/metrics")).text
    assert f"{PREFIX}healthy 0" in text
