"""Programs that are really run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection.ids import parse_traceparent
from ralex_core.collection.instrument.subprocess import program_of
from ralex_core.monitoring import instrument, operation
from tests.support.recorded import Recorded, attributes

SAY_TRACE = [sys.executable, "-c", "import os; print(os.environ.get('TRACEPARENT', ''), end='')"]


@pytest.mark.parametrize(
    ("args", "shell", "name"),
    [
        (["git", "commit", "-m", "secret"], False, "git commit"),
        (["/usr/bin/git", "-C", "/home/anna", "-c", "a=b", "--no-pager", "log"], False, "git log"),
        (["opencode", "run", "write me a poem"], False, "opencode run"),
        (["opencode", "--model", "gpt", "run", "x"], False, "opencode run"),
        (["opencode", "write me a poem"], False, "opencode"),
        (["echo", "hunter2"], False, "echo"),
        ([sys.executable, "-m", "pytest", "tests"], False, "pytest"),
        (["python3", "-m", "pip", "install", "x"], False, "pip install"),
        (["python3", "-c", "secret()"], False, "python3"),
        (["git.exe", "status"], False, "git status"),
        ([Path("/opt/tool"), "x"], False, "tool"),
        ([b"git", b"push"], False, "git push"),
        ("git commit -m secret", True, "git commit"),
        ("TOKEN=hunter2 git push origin", True, "git push"),
        ("(git status)", True, "git status"),
        ("ls", False, "ls"),
        ([], False, "unknown"),
        ("", True, "unknown"),
        (["git", "Sekret99"], False, "git"),
    ],
)
def test_a_run_is_named_by_program_and_subcommand_only(args: object, shell: bool, name: str) -> None:
    assert program_of(args, shell=shell)[1] == name


@given(st.lists(st.text(max_size=30), max_size=6), st.booleans())
def test_any_arguments_have_a_short_name(args: list[str], shell: bool) -> None:
    program, name = program_of(" ".join(args) if shell else args, shell=shell)
    assert 0 < len(program) <= len(name) <= 120
    assert name.isprintable()


def test_runs_are_recorded_with_their_exit_code(recorded: Recorded) -> None:
    instrument.subprocess()
    with operation("turn"):
        assert subprocess.run([sys.executable, "-c", ""]).returncode == 0
        assert subprocess.call([sys.executable, "-c", "raise SystemExit(3)"]) == 3
        assert subprocess.check_output([sys.executable, "-c", "print(1)"], text=True).strip() == "1"
        with pytest.raises(FileNotFoundError):
            subprocess.run(["no-such-program-anywhere"])
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            process.send_signal(signal.SIGKILL)
    turn = recorded.named("turn")
    runs = recorded.all("tool")
    assert [(op.status, op.error_type, attributes(op).get("exit_code")) for op in runs] == [
        ("ok", None, 0),
        ("error", "exit code 3", 3),
        ("ok", None, 0),
        ("error", "FileNotFoundError", None),
        ("error", "signal 9", -9),
    ]
    assert {op.parent_span_id for op in runs} == {turn.span_id}
    assert {op.name for op in runs} == {Path(sys.executable).name, "no-such-program-anywhere"}


def test_the_program_gets_our_trace_and_the_environment_stays_as_it_was(recorded: Recorded) -> None:
    instrument.subprocess()
    before = dict(os.environ)
    mine = {"PATH": os.environ["PATH"]}
    with operation("turn") as turn:
        said = subprocess.check_output(SAY_TRACE, text=True)
        said_too = subprocess.check_output(SAY_TRACE, text=True, env=mine)
    assert turn.traceparent[3:35] in said
    first, second = recorded.all("tool")
    assert parse_traceparent(said) == (first.trace_id, first.span_id)
    assert parse_traceparent(said_too) == (second.trace_id, second.span_id)
    assert dict(os.environ) == before
    assert list(mine) == ["PATH"]
    instrument.subprocess(traceparent=False)
    assert subprocess.check_output(SAY_TRACE, text=True) == os.environ.get("TRACEPARENT", "")


def test_only_the_programs_named_are_recorded(recorded: Recorded) -> None:
    instrument.subprocess(programs=("git version",))
    subprocess.run(["git", "version"], stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["git", "help"], stdout=subprocess.DEVNULL, check=True)
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert recorded.names() == ["git version"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_asyncio_s_programs_are_recorded_once_on_any_loop(recorded: Recorded, loop: str) -> None:
    instrument.subprocess()

    async def go() -> None:
        with operation("turn"):
            one = await asyncio.create_subprocess_exec(*SAY_TRACE, stdout=asyncio.subprocess.PIPE)
            said, _ = await one.communicate()
            two = await asyncio.create_subprocess_shell("exit 4")
            assert await two.wait() == 4
            with pytest.raises(FileNotFoundError):
                await asyncio.create_subprocess_exec("no-such-program-anywhere")
        assert parse_traceparent(said.decode()) is not None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(go())
    runs = recorded.all("tool")
    assert [
        (op.name, op.status, attributes(op).get("exit_code")) for op in sorted(runs, key=lambda op: op.started_at)
    ] == [
        (Path(sys.executable).name, "ok", 0),
        ("exit", "error", 4),
        ("no-such-program-anywhere", "error", None),
    ]
    assert {op.parent_span_id for op in runs} == {recorded.named("turn").span_id}


def test_runs_from_many_threads_are_each_recorded_once(recorded: Recorded) -> None:
    instrument.subprocess()

    def work() -> None:
        for _ in range(5):
            subprocess.run(["true"], check=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorded.names() == ["true"] * 20


def test_a_run_nobody_waits_for_is_recorded_without_exit_code(recorded: Recorded) -> None:
    instrument.subprocess()
    process = subprocess.Popen(["true"])
    os.waitpid(process.pid, 0)
    process.returncode = 0
    del process
    assert "exit_code" not in attributes(recorded.one())


def test_off_restores_everything(recorded: Recorded) -> None:
    owners = (subprocess.Popen, asyncio.subprocess.SubprocessStreamProtocol)
    before = [dict(vars(owner)) for owner in owners]
    functions = (asyncio.create_subprocess_exec, asyncio.subprocess.create_subprocess_shell)
    instrument.subprocess().off()
    assert [dict(vars(owner)) for owner in owners] == before
    assert (asyncio.create_subprocess_exec, asyncio.subprocess.create_subprocess_shell) == functions


def test_the_sdk_continues_the_trace_of_the_process_that_started_it(recorded: Recorded, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from ralex_core.monitoring import configure, flush, operation\n"
        "configure(sink=lambda ops: print(*[f'{op.trace_id} {op.parent_span_id}' for op in ops], flush=True))\n"
        "with operation('inside'):\n    pass\n"
        "flush()\n"
    )
    instrument.subprocess()
    said = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True).stdout
    run = recorded.one()
    assert said.split() == [run.trace_id, run.span_id]
