"""The SDK in real host processes: their ends, gentle and violent, their children, and servers that are not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.receiver import Receiver, Reply
from tests.support.repository import ROOT

WITHIN_S = 60.0
"""A hung host fails its test instead of hanging it."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Host:
    """Runs host programs that share a home and a server address."""

    def __init__(self, home: Path, receiver: Receiver) -> None:
        self.home = home
        self.receiver = receiver

    def environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("RALEX_MONITOR_", "PYTEST_"))}
        address = {"RALEX_MONITOR_ENDPOINT": self.receiver.url, "RALEX_MONITOR_HOME": str(self.home)}
        return {**own, **address, "PYTHONPATH": str(ROOT)}

    def start(self, script: str) -> subprocess.Popen[str]:
        code = "from ralex_core.monitoring import flush, operation, record, stats\n" + textwrap.dedent(script)
        return subprocess.Popen(
            [sys.executable, "-c", code],
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str) -> str:
        """Run to the end; what it printed. Fails unless it ends by itself, well, and without a word on stderr."""
        process = self.start(script)
        output, errors = process.communicate(timeout=WITHIN_S)
        assert (process.returncode, errors) == (0, "")
        return output

    def run_with_a_line(self, script: str) -> tuple[str, str]:
        """Run to the end; what it printed, and the one line on stderr."""
        process = self.start(script)
        output, errors = process.communicate(timeout=WITHIN_S)
        assert (process.returncode, errors.count("\n")) == (0, 1), errors
        return output, errors

    def spooled(self) -> list[str]:
        """Lines in the spool."""
        return [line for path in self.home.rglob("*-*/*.ndjson") for line in path.read_text().splitlines()]


@pytest.fixture
def host(tmp_path: Path, receiver: Receiver) -> Host:
    return Host(tmp_path, receiver)


def test_a_program_that_ends_delivers_without_being_asked(host: Host) -> None:
    host.run("""
        with operation("chat", kind="llm", model="m") as op:
            op.usage(input_tokens=1)
    """)
    (line,) = host.receiver.stored.values()
    assert (line["name"], line["model"], line["input_tokens"]) == ("chat", "m", 1)
    assert list((host.home / "spool").rglob("*-*/*")) == [], "nothing is left behind"


def test_a_program_that_fails_delivers_what_it_recorded(host: Host) -> None:
    process = host.start("""
        with operation("task"):
            raise SystemError("boom")
    """)
    _, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 1 and "boom" in errors
    (line,) = host.receiver.stored.values()
    assert (line["status"], line["error_type"]) == ("error", "SystemError")


def test_what_is_recorded_at_the_very_end_is_delivered(host: Host) -> None:
    host.run("""
        import atexit
        atexit.register(lambda: record("last words"))
    """)
    assert host.receiver.names() == ["last words"]


def test_without_a_server_the_program_ends_in_silence_and_the_spool_keeps_all(host: Host) -> None:
    host.receiver.stop()
    host.run("""
        for number in range(100):
            record(f"op {number}")
    """)
    assert len(host.spooled()) == 100
    host.receiver.start()
    host.run('record("next run")')
    host.receiver.wait_for(101)
    assert host.spooled() == []


def test_a_server_that_never_answers_does_not_hold_the_program_up(host: Host) -> None:
    import threading

    released = threading.Event()

    def hang(_: object) -> Reply:
        released.wait(WITHIN_S)
        return Reply(hang_up=True)

    host.receiver.script = hang
    try:
        host.run('record("x")')
    finally:
        released.set()
    assert len(host.spooled()) == 1


def test_a_killed_program_loses_nothing_that_was_spooled(host: Host) -> None:
    """The server is dead, the host is killed, and its successor delivers both its own and what was left."""
    host.receiver.stop()
    process = host.start("""
        import sys
        for number in range(5000):
            record(f"op {number}")
        flush(0)
        print(stats().pending, flush=True)
        sys.stdin.read()
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "5000\n"
    process.kill()
    assert process.wait(WITHIN_S) == -signal.SIGKILL
    process.communicate()
    host.receiver.start()
    host.run('record("successor")')
    host.receiver.wait_for(5001)
    assert len(host.receiver.stored) == 5001
    assert host.spooled() == []


def test_killed_again_and_again_everything_confirmed_arrives_once(host: Host) -> None:
    """What a host was told is out of its memory (flush) arrives, whenever the kill comes."""
    confirmed: set[str] = set()
    for run in range(8):
        process = host.start(f"""
            import itertools
            for number in itertools.count():
                record(f"run {run} op {{number}}")
                if number % 50 == 49:
                    flush(0)
                    print(number, flush=True)
        """)
        assert process.stdout is not None
        last = -1
        for _ in range(3 + run * 2):
            last = int(process.stdout.readline())
        process.kill()
        rest = process.communicate()[0]
        last = max([last, *map(int, rest.splitlines()[:-1])])
        confirmed |= {f"run {run} op {number}" for number in range(last + 1)}
    host.run("record('successor')")
    host.receiver.wait_until(lambda: confirmed <= set(host.receiver.names()), "everything confirmed")
    names = host.receiver.names()
    assert len(names) == len(set(names))


def test_a_flood_is_delivered_without_a_loss(host: Host) -> None:
    output = host.run("""
        for number in range(40_000):
            with operation("chat", "llm", model="m", provider="p", a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8):
                pass
        assert flush(60)
        found = stats()
        print(found.recorded, found.delivered, found.dropped_queue, found.dropped_spool, found.rejected, found.errors)
    """)
    assert output.split() == ["40000", "40000", "0", "0", "0", "0"]
    assert len(host.receiver.stored) == 40_000


def test_a_fork_records_in_both_and_doubles_nothing(host: Host) -> None:
    host.run("""
        import os, warnings
        warnings.simplefilter("ignore")  # from 3.12 on Python warns of forks beside any thread
        record("queued in the parent")
        with operation("around the fork") as around:
            child = os.fork()
            with operation("in the child" if child == 0 else "in the parent"):
                pass
            if child == 0:
                flush()
                os._exit(0)
            os.waitpid(child, 0)
        record("parent after")
    """)
    by_name = {line["name"]: line for line in host.receiver.stored.values()}
    sent = [line["name"] for request in host.receiver.requests for line in request.lines]
    assert sorted(sent) == sorted(
        ["queued in the parent", "around the fork", "in the child", "in the parent", "parent after"]
    )
    around = by_name["around the fork"]
    assert by_name["in the child"]["parent_span_id"] == around["span_id"]
    assert by_name["in the parent"]["parent_span_id"] == around["span_id"]
    assert by_name["in the child"]["span_id"] != by_name["in the parent"]["span_id"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_workers_deliver_when_they_end(host: Host, method: str, tmp_path: Path) -> None:
    module = tmp_path / "workers.py"
    module.write_text("from ralex_core.monitoring import record\ndef work(n):\n    record(f'worker {n}')\n")
    host.run(f"""
        import multiprocessing, sys
        sys.path.insert(0, {str(tmp_path)!r})
        import workers
        record("parent")
        flush()
        context = multiprocessing.get_context({method!r})
        processes = [context.Process(target=workers.work, args=(n,)) for n in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    """)
    host.receiver.wait_for(4)
    assert sorted(host.receiver.names()) == ["parent", "worker 0", "worker 1", "worker 2"]


def test_a_full_disk_does_not_reach_the_program(host: Host) -> None:
    output, said = host.run_with_a_line("""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        for number in range(500):
            record(f"op {number}")
        assert flush(30)
        print(stats().delivered, stats().dropped_spool)
    """)
    assert output.split() == ["500", "0"]
    assert "takes no more" in said
    assert len(host.receiver.stored) == 500


def test_a_home_that_cannot_be_written_does_not_reach_the_program(host: Host) -> None:
    (host.home / "spool").write_text("in the way")
    _, said = host.run_with_a_line('record("x")')
    assert "RALEX_MONITOR_HOME" in said
    assert host.receiver.names() == ["x"]


def test_many_processes_share_a_spool(host: Host) -> None:
    host.receiver.stop()
    processes = [host.start(f"for n in range(200): record(f'process {p} op {{n}}')") for p in range(5)]
    for process in processes:
        process.communicate(timeout=WITHIN_S)
    host.receiver.start()
    host.run("record('last')")
    host.receiver.wait_for(1001)
    assert len(host.receiver.stored) == 1001


def test_importing_the_sdk_loads_next_to_nothing(host: Host) -> None:
    output = host.run("""
        import sys
        heavy = ["duckdb", "sqlalchemy", "fastapi", "starlette", "uvicorn", "pydantic", "numpy", "psutil", "orjson"]
        heavy += ["asyncio", "logging", "http.client", "inspect", "ssl", "decimal", "json", "email"]
        print([name for name in heavy if name in sys.modules])
        with operation("x", kind="llm"):
            pass
        flush()
        print([name for name in heavy[:8] if name in sys.modules])
        print([name for name in sys.modules if name.startswith("ralex_core.") and name.split(".")[1] not in
               ("monitoring", "collection", "model", "private_files")])
    """)
    assert output.splitlines() == ["[]", "[]", "[]"]
