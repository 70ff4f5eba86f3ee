"""A wrong setting of the SDK is said once on stderr and loses nothing; the running server is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from ralex_core.collection.sdk_settings import NAMES, endpoint_of, number_of, say_unknown_names, switch_of
from ralex_core.config import Settings
from ralex_core.runtime.server_file import write_server_file
from tests.support.receiver import Receiver, Reply, take_all
from tests.support.repository import ROOT
from tests.support.server import free_port

WITHIN_S = 60.0
SECRET = "s3cret-of-nobody-0123456789"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def run(home: Path, script: str = "record('x')", **settings: str) -> list[str]:
    """Run a program with these settings to its end; what it said on stderr, line by line."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("RALEX_MONITOR_", "PYTEST_"))}
    given = {f"RALEX_MONITOR_{name}": value for name, value in settings.items()}
    code = "from ralex_core.monitoring import configure, flush, record, stats\n" + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**own, "HOME": str(home / "nobody"), "RALEX_MONITOR_HOME": str(home), "PYTHONPATH": str(ROOT), **given},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def spooled(home: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in home.rglob("*-*/*.ndjson"))


@pytest.mark.parametrize(
    "write",
    [
        "127.0.0.1:{port}",
        "http://user:{secret}@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/?key={secret}",
        "http://127.0.0.1:{port}/api/v1/operations/",
    ],
)
def test_an_address_that_can_be_repaired_is_and_is_said_once(tmp_path: Path, receiver: Receiver, write: str) -> None:
    port = receiver.url.rpartition(":")[2]
    said = run(
        tmp_path,
        "record('a'); flush(); configure(); record('b'); flush()",
        ENDPOINT=write.format(port=port, secret=SECRET),
    )
    assert len(said) == 1
    assert f"{receiver.url} is used" in said[0]
    assert SECRET not in said[0]
    assert sorted(receiver.names()) == ["a", "b"]


@pytest.mark.parametrize("write", ["  {url}/  ", "HTTP://127.0.0.1:{port}", ""])
def test_what_means_the_same_is_taken_without_a_word(tmp_path: Path, receiver: Receiver, write: str) -> None:
    port = int(receiver.url.rpartition(":")[2])
    write_server_file(tmp_path, "127.0.0.1", port)
    assert run(tmp_path, ENDPOINT=write.format(url=receiver.url, port=port)) == []
    assert receiver.names() == ["x"]


@pytest.mark.parametrize(
    "endpoint", ["ftp://x", "http://", "http://127.0.0.1:99999", "not an address", "/tmp/x", "::1"]
)
def test_operations_of_an_unusable_address_wait_for_a_right_one(
    tmp_path: Path, receiver: Receiver, endpoint: str
) -> None:
    said = run(tmp_path, ENDPOINT=endpoint)
    assert len(said) == 1
    assert said[0].startswith("ralex-monitor: RALEX_MONITOR_ENDPOINT is ")
    assert spooled(tmp_path) == 1
    assert run(tmp_path, "record('y'); flush()", ENDPOINT=receiver.url) == []
    assert sorted(receiver.names()) == ["x", "y"]


@pytest.mark.parametrize(
    "settings",
    [
        {"SPOOL_MB": "abc"},
        {"SPOOL_MB": "-1"},
        {"SPOOL_MB": "nan"},
        {"SPOOL_MB": "1e300"},
        {"SDK": "offf"},
        {"TOKEN": f"{SECRET}\nX-Evil: 1"},
        {"HOME": "~nobody-has-this-name/x"},
        {"ENDPONIT": "http://127.0.0.1:1"},
    ],
)
def test_any_other_wrong_setting_is_said_once_and_the_operation_arrives(
    tmp_path: Path, receiver: Receiver, settings: dict[str, str]
) -> None:
    said = run(tmp_path, ENDPOINT=receiver.url, **{"HOME": str(tmp_path), **settings})
    assert len(said) == 1
    (name,) = settings
    assert f"RALEX_MONITOR_{name} is" in said[0]
    assert SECRET not in said[0]
    assert receiver.names() == ["x"]


def test_wrong_arguments_are_said_and_never_raised(tmp_path: Path, receiver: Receiver) -> None:
    said = run(
        tmp_path,
        """
        configure(8000, token=b"x", sink=5, spool_dir=7, spool_mb="much", queue_operations=0, flush_interval_s="soon",
                  error_messages="perhaps", enabled=[], raise_errors=False)
        record("x")
        """,
    )
    names = [line.split()[1] for line in said]
    arguments = "endpoint token sink spool_dir spool_mb queue_operations flush_interval_s error_messages enabled"
    assert sorted(names) == sorted(arguments.split())
    assert spooled(tmp_path) == 1


def test_a_wrong_setting_is_not_said_again_in_a_forked_child(tmp_path: Path, receiver: Receiver) -> None:
    script = """
    import os
    record("parent"); flush()
    child = os.fork()
    record("child" if child == 0 else "parent again"); flush()
    if child:
        os.waitpid(child, 0)
    """
    assert len(run(tmp_path, script, ENDPOINT=receiver.url, SPOOL_MB="abc")) == 1
    assert sorted(receiver.names()) == ["child", "parent", "parent again"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_answer_an_operator_can_put_right_is_said_once_and_costs_nothing(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    receiver.script = lambda _: Reply(status)
    script = "record('a'); flush(); record('b'); flush()"
    said = run(tmp_path, script, ENDPOINT=receiver.url, TOKEN=SECRET)
    assert len(said) == 1
    assert str(status) in said[0]
    assert SECRET not in said[0]
    receiver.script = take_all
    receiver.stored.clear()
    assert run(tmp_path, "record('c'); flush()", ENDPOINT=receiver.url) == []
    assert sorted(receiver.names()) == ["a", "b", "c"]


def test_the_running_server_is_found_and_gets_what_waited_for_it(tmp_path: Path, receiver: Receiver) -> None:
    write_server_file(tmp_path, "127.0.0.1", free_port())
    assert run(tmp_path, "record('to the old port'); flush(1)") == []
    write_server_file(tmp_path, "127.0.0.1", int(receiver.url.rpartition(":")[2]))
    assert run(tmp_path, "record('to the new port'); flush()", TOKEN=SECRET) == []
    assert sorted(receiver.names()) == ["to the new port", "to the old port"]
    assert receiver.requests[0].headers["authorization"] == f"Bearer {SECRET}"


def test_a_program_that_runs_follows_a_server_to_another_port(tmp_path: Path, receiver: Receiver) -> None:
    write_server_file(tmp_path, "127.0.0.1", free_port())
    port = receiver.url.rpartition(":")[2]
    script = f"""
    import json, os, pathlib
    record("before"); flush(1)
    file = pathlib.Path(os.environ["RALEX_MONITOR_HOME"]) / "server.json"
    file.write_text(json.dumps({{"pid": os.getpid(), "url": "http://127.0.0.1:{port}"}}))
    record("after"); flush(); flush(); assert stats().pending == 0
    """
    assert run(tmp_path, script) == []
    assert sorted(receiver.names()) == ["after", "before"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"pid": 1}', '{"pid": "x", "url": 5}', '{"pid": -1, "url": "http://h"}']
)
def test_a_damaged_server_file_harms_nothing(tmp_path: Path, receiver: Receiver, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert run(tmp_path, ENDPOINT=receiver.url) == []
    assert receiver.names() == ["x"]


def test_an_address_given_wins_over_the_server_file(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "server.json").write_text(json.dumps({"pid": os.getpid(), "url": f"http://127.0.0.1:{free_port()}"}))
    assert run(tmp_path, f"configure({receiver.url!r}); record('x'); flush()", ENDPOINT="http://127.0.0.1:1") == []
    assert receiver.names() == ["x"]


def test_settings_of_the_server_are_not_taken_for_misspelt_ones(capsys: pytest.CaptureFixture[str]) -> None:
    say_unknown_names({f"RALEX_MONITOR_{name.upper()}": "" for name in [*Settings.model_fields, *NAMES, "PURE_PYTHON"]})
    assert capsys.readouterr().err == ""


def test_ipv6_and_upper_case_addresses_are_understood() -> None:
    assert endpoint_of("[::1]:9", "a test's") == "http://[::1]:9"
    assert endpoint_of("HTTPS://Monitor.Example/ralex/", "a test's") == "https://monitor.example/ralex"


def test_switches_and_numbers_may_be_words() -> None:
    assert not switch_of("False", "a test's switch", default=True)
    assert number_of(" 2.5 ", "a test's number", 1, least=0, most=3) == 2.5
