"""Resources over HTTP and on their page: samples, states, processes, and a machine that tells little."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ralex_core.clock import ManualClock
from ralex_core.collection.readings import CpuTimes
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US
from ralex_core.storage.telemetry import ResourceRecord, StateChange
from tests.integration.test_pages_render import HOSTILE, HTML, boot_of
from tests.support.dashboard import NOW_US, SmallHost, client_of, small_host
from tests.support.resources import GIB, make_gpu, make_process, make_sample

SECOND_US = 1_000_000


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(host: SmallHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host) as opened:
        yield opened


def stored(host: SmallHost, records: list[ResourceRecord]) -> None:
    host.real.writer.run(lambda: host.real.store.write_resources(records)).result()


def measured(host: SmallHost, seconds: int = 2, busy: float = 0.25) -> None:
    """Let the host's own monitor read its machine for a while."""
    assert isinstance(host.clock, ManualClock)
    for _ in range(0, seconds + 2, 2):
        cpu = host.machine.cpu_times
        host.machine.cpu_times = CpuTimes(cpu.busy_s + 8 * busy, cpu.total_s + 8)
        host.clock.advance(2)
        host.resources.sample()


async def data(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_samples_become_means_along_the_range(host: SmallHost, client: httpx.AsyncClient) -> None:
    start = NOW_US - 10 * MINUTE_US
    stored(
        host,
        [
            make_sample(start + second * SECOND_US, cpu_ratio=0.2 if second % 4 else 0.6, swap_total_bytes=GIB)
            for second in range(0, 60, 2)
        ],
    )
    found = await data(client, "/api/v1/resources")
    assert (found["range"]["key"], found["range"]["explicit"]) == ("1h", False)
    series = found["series"]
    assert series["bucket_us"] == 30 * SECOND_US
    place = series["starts"].index(start)
    assert series["cpu_ratio"][place - 1 : place + 3] == [None, 0.4133, 0.3867, None]
    assert series["memory_used_ratio"][place] == 0.375
    assert series["swap_used_ratio"][place] == 0
    assert series["throttled_ratio"][place] is None
    assert found["empty"] is False
    assert found["gpus"] == []
    assert found["limits"] == {"cores": None, "memory_bytes": None}


async def test_long_ranges_are_answered_in_minutes_where_single_readings_are_gone(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    stored(host, [make_sample(NOW_US - 3 * DAY_US)])
    everything = await data(client, "/api/v1/resources?range=all")
    assert everything["range"]["start_us"] == NOW_US - 3 * DAY_US
    assert [value for value in everything["series"]["cpu_ratio"] if value is not None] == [0.25]
    start = "2025-12-30T12:00:00Z"
    zoomed = await data(client, f"/api/v1/resources?range=custom&from={start}&to=2025-12-30T12:05:00Z")
    assert zoomed["series"]["bucket_us"] == MINUTE_US
    assert zoomed["empty"] is True


async def test_states_tell_since_when_and_why_and_keep_their_history(
    host: SmallHost, client: httpx.AsyncClient
) -> None:
    quiet = await data(client, "/api/v1/resources/states")
    assert (quiet["level"], quiet["sentence"]) == ("unknown", "This machine has not been measured yet.")
    change = StateChange(NOW_US - MINUTE_US, "disk", "warn", "ok", 0.86, "Disk is at 86.0 %.")
    old = StateChange(NOW_US - 2 * HOUR_US, "disk", "ok", "warn", 0.8, "")
    stored(host, [change, old])
    measured(host, 62, busy=0.97)
    found = await data(client, "/api/v1/resources/states")
    assert found["level"] == "critical"
    assert found["sentence"] == "CPU is at 97.0 %: 95.0 % or more for 60 s is critical."
    cpu = found["states"][0]
    assert (cpu["resource"], cpu["level"], cpu["value"]) == ("cpu", "critical", 0.97)
    assert cpu["since_at"] == "2026-01-01T12:01:04.000000Z"
    assert [row["reason"] for row in found["changes"]] == ["Disk is at 86.0 %."]
    longer = await data(client, "/api/v1/resources/states?range=24h")
    assert [row["level"] for row in longer["changes"]] == ["warn", "ok"]


async def test_processes_that_run_and_those_that_ended(host: SmallHost, client: httpx.AsyncClient) -> None:
    start = NOW_US - 10 * MINUTE_US
    stored(
        host,
        [
            record
            for second in range(0, 120, 5)
            for record in (
                make_process(start + second * SECOND_US, 100, cpu_ratio=1.5 if second == 60 else 0.5),
                make_process(start + second * SECOND_US, 100, started_at=5, name="codex", cpu_ratio=None),
            )
        ],
    )
    measured(host)
    found = await data(client, "/api/v1/resources/processes")
    assert [(row["name"], row["running"], row["own"]) for row in found["processes"]] == [
        ("ralex-monitor", True, True),
        ("claude", False, False),
        ("codex", False, False),
    ]
    own, claude, codex = found["processes"]
    assert own["pid"] == own["latest"]["pid"] == os.getpid()
    assert own["latest"]["rss_bytes"] > 1 << 20
    assert (claude["max_cpu_ratio"], claude["latest"]) == (1.5, None)
    assert len(claude["cpu_ratio"]) == len(found["starts"])
    assert sum(value is not None for value in claude["rss_bytes"]) == 4
    assert set(codex["cpu_ratio"]) == {None}
    assert found["left_out"] == 0


async def test_a_process_is_watched_by_its_pid_on_request(host: SmallHost, client: httpx.AsyncClient) -> None:
    parent = os.getppid()
    answer = await client.post("/api/v1/resources/processes", json={"pid": parent})
    assert (answer.status_code, answer.json()) == (201, {"data": {"pids": [parent]}})
    measured(host)
    rows = (await data(client, "/api/v1/resources/processes"))["processes"]
    assert {(row["pid"], row["by_pid"]) for row in rows} == {(os.getpid(), False), (parent, True)}
    gone = await client.delete(f"/api/v1/resources/processes/{parent}")
    assert gone.json() == {"data": {"pids": []}}
    assert (await client.delete(f"/api/v1/resources/processes/{parent}")).status_code == 404
    refused = await client.post("/api/v1/resources/processes", json={"pid": 2**30})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_setting")
    assert "no running process" in refused.json()["error"]["message"]
    for wrong in ({"pid": 0}, {"pid": "x"}, {}, {"pid": 1, "name": "x"}):
        assert (await client.post("/api/v1/resources/processes", json=wrong)).status_code == 422
    assert [entry.action for entry in host.state.audit_log(10)] == ["unwatch_process", "watch_process"]


async def test_gpus_are_shown_where_there_are_any(host: SmallHost, client: httpx.AsyncClient) -> None:
    stored(host, [make_gpu(NOW_US - 5 * MINUTE_US), make_gpu(NOW_US - 5 * MINUTE_US, gpu="amd1", busy_ratio=None)])
    found = await data(client, "/api/v1/resources")
    assert [(gpu["gpu"], gpu["running"]) for gpu in found["gpus"]] == [("amd1", False), ("nvidia0", False)]
    assert [value for value in found["gpus"][1]["memory_series"] if value is not None] == [0.25]
    page = (await client.get("/resources", headers=HTML)).text
    assert 'id="gpus"' in page


async def test_a_wrong_parameter_is_refused(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/resources", "/api/v1/resources/states", "/api/v1/resources/processes"):
        assert (await client.get(f"{path}?rnage=1h")).status_code == 422
        assert (await client.get(f"{path}?range=2h")).status_code == 422


async def test_the_page_says_what_will_be_there_before_anything_was_measured(client: httpx.AsyncClient) -> None:
    page = (await client.get("/resources", headers=HTML)).text
    assert "This machine has not been measured yet" in page
    assert "No samples in this range" in page
    assert 'id="gpus"' not in page
    assert "No resource came into trouble in this range" in page


async def test_the_page_has_every_figure_without_scripts(host: SmallHost, client: httpx.AsyncClient) -> None:
    host.machine.group_cpu = None
    stored(host, [make_process(NOW_US - MINUTE_US, 77, name=HOSTILE), make_sample(NOW_US - MINUTE_US)])
    measured(host, 4)
    page = (await client.get("/resources", headers=HTML)).text
    assert "No resource of this machine is in trouble." in page
    for text in (
        "25.0 %",
        "6.44 GB of 17.2 GB",
        "107 GB of 537 GB",
        "0.50",
        "over 4 cores",
        "2,000",
        "of 100 K · own 12",
    ):
        assert text in page, text
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "container" not in page
    boot = boot_of(page)
    assert boot["range"]["key"] == "1h"
    assert len(boot["resources"]["series"]["starts"]) == len(boot["resources"]["series"]["cpu_ratio"])
    assert 'aria-label="Filters"' not in page, "filters mean nothing here"


async def test_a_container_is_said_to_be_one(host: SmallHost, client: httpx.AsyncClient) -> None:
    from ralex_core.collection.cgroup import CgroupCpu, CgroupMemory

    host.machine.group_cpu = CgroupCpu(0.0, 0.5, 0, 0, 0.0)
    host.machine.group_memory = CgroupMemory(GIB // 2, GIB, 0)
    measured(host)
    page = " ".join((await client.get("/resources", headers=HTML)).text.split())
    assert "in a container that may use 0.5 cores and 1.07 GB of memory" in page
    assert "CPU quota" in page
    assert "50.0 %" in page


async def test_live_messages_tell_states_and_processes(host: SmallHost, client: httpx.AsyncClient) -> None:
    measured(host, 8)
    health = (await data(client, "/api/v1/live"))["health"]
    assert {state["resource"]: state["level"] for state in health["resource_states"]} == {
        "cpu": "ok",
        "load": "ok",
        "memory": "ok",
        "swap": "ok",
        "disk": "ok",
        "open_files": "ok",
    }
    assert [process["name"] for process in health["processes"]] == ["ralex-monitor"]
    assert health["resources"]["swap_total_bytes"] == 2 * GIB
