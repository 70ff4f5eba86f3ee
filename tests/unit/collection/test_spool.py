"""The spool keeps what it was given, in order, within its bounds, across deaths of its owner."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ralex_core.collection.spool import DISK_RETRY_S, Spool


def lines(*names: str) -> bytes:
    return b"".join(json.dumps({"name": name}).encode() + b"\n" for name in names)


def drain(spool: Spool) -> list[str]:
    """Names of everything in the spool, in the order it would be sent; empties it."""
    names: list[str] = []
    while (segment := spool.oldest()) is not None:
        names += [json.loads(line)["name"] for line in spool.load(segment).splitlines()]
        spool.remove(segment)
    return names


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in another process that may die."""
    code = "import sys\nfrom pathlib import Path\nfrom ralex_core.collection.spool import Spool\n" + textwrap.dedent(
        script
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_what_is_appended_comes_out_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=40)
    for number in range(10):
        spool.append(lines(f"op {number}"), 1)
    assert spool.counts().operations == 10
    assert drain(spool) == [f"op {number}" for number in range(10)]
    assert spool.is_empty()


def test_appending_goes_on_while_a_segment_is_being_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(lines("a"), 1)
    segment = spool.oldest()
    spool.append(lines("b"), 1)
    assert segment is not None and spool.load(segment) == lines("a")
    spool.remove(segment)
    assert drain(spool) == ["b"]


def test_a_segment_that_was_put_back_is_sent_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(lines("a"), 1)
    assert spool.oldest() is not None
    spool.put_back()
    spool.append(lines("b"), 1)
    assert drain(spool) == ["a", "b"]


def test_an_empty_spool_leaves_no_files(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    spool = Spool(root)
    assert not root.exists(), "a process that records nothing writes nothing"
    spool.append(lines("a"), 1)
    drain(spool)
    spool.close()
    assert list(root.iterdir()) == []


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(lines("a"), 1)
    files = list((tmp_path / "spool").rglob("*"))
    assert len(files) == 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in [tmp_path / "spool", *files])


def test_the_oldest_segment_goes_first_when_the_bound_is_reached(tmp_path: Path) -> None:
    line = lines("op 00")
    spool = Spool(tmp_path, max_bytes=len(line) * 10, segment_bytes=len(line) * 2)
    for number in range(30):
        spool.append(lines(f"op {number:02}"), 1)
    counts = spool.counts()
    assert counts.bytes <= len(line) * 10
    assert counts.dropped + counts.operations == 30
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*.ndjson"))
    assert on_disk == counts.bytes
    assert drain(spool) == [f"op {number:02}" for number in range(30 - counts.operations, 30)]


def test_the_segment_being_sent_is_never_dropped(tmp_path: Path) -> None:
    line = lines("op 00")
    spool = Spool(tmp_path, max_bytes=len(line) * 4, segment_bytes=len(line))
    spool.append(lines("taken"), 1)
    segment = spool.oldest()
    for number in range(20):
        spool.append(lines(f"op {number:02}"), 1)
    assert segment is not None and spool.load(segment) == lines("taken")


def test_without_a_directory_it_keeps_things_in_memory_within_a_bound() -> None:
    spool = Spool(None, memory_bytes=200_000)
    for number in range(10_000):
        spool.append(lines(f"operation number {number}"), 1)
    counts = spool.counts()
    assert counts.bytes <= 200_000
    assert counts.dropped + counts.operations == 10_000
    assert drain(spool)[-1] == "operation number 9999"


def test_an_unwritable_directory_falls_back_to_memory_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    warnings: list[str] = []
    spool = Spool(tmp_path / "file", warn=lambda key, message: warnings.append(message))
    spool.append(lines("a"), 1)
    spool.append(lines("b"), 1)
    assert drain(spool) == ["a", "b"]
    assert len(warnings) == 1 and "wait in memory" in warnings[0]


def test_a_full_disk_tears_no_line_and_loses_nothing(tmp_path: Path) -> None:
    """The operating system refuses to grow the file: a real short write, then an error."""
    warnings: list[str] = []
    now = [0.0]
    spool = Spool(tmp_path, warn=lambda key, message: warnings.append(message), monotonic=lambda: now[0])
    spool.append(lines("before"), 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30, hard))
        spool.append(lines("torn"), 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(warnings) == 1
    (segment,) = tmp_path.rglob("*.ndjson")
    assert segment.read_bytes() == lines("before")
    spool.append(lines("while it rests"), 1)
    assert len(list(tmp_path.rglob("*.ndjson"))) == 1, "the disk is left alone for a while"
    now[0] += DISK_RETRY_S
    spool.append(lines("after"), 1)
    assert len(list(tmp_path.rglob("*.ndjson"))) == 2
    assert drain(spool) == ["before", "torn", "while it rests", "after"]


def test_the_next_process_adopts_what_a_killed_one_left(tmp_path: Path) -> None:
    script = """
        import os, signal
        spool = Spool(Path(sys.argv[1]))
        spool.append(b'{"name": "orphan 1"}\\n', 1)
        spool.oldest()
        spool.append(b'{"name": "orphan 2"}\\n', 1)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(script, tmp_path).returncode == -signal.SIGKILL
    spool = Spool(tmp_path)
    spool.append(lines("own"), 1)
    assert spool.adopt() == 2
    assert spool.counts().operations == 3
    assert sorted(drain(spool)) == ["orphan 1", "orphan 2", "own"]
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_adopted_rows_of_a_table_are_counted(tmp_path: Path) -> None:
    dead = tmp_path / "999999-abc"
    dead.mkdir()
    (tmp_path / "999999-abc.lock").touch()
    table = b'{"common":{"kind":"db"},"columns":["name"],"rows":[["a"],["b"],["c"]]}\n'
    (dead / "0000000001.ndjson").write_bytes(lines("alone") + table + b'{"common":{"kind":"db"},"rows":[["c')
    spool = Spool(tmp_path)
    assert spool.adopt() == 1
    assert (spool.counts().operations, spool.counts().damaged) == (4, 1)


def test_large_orphans_are_moved_and_keep_their_place_before_our_own(tmp_path: Path) -> None:
    script = """
        import os, signal
        spool = Spool(Path(sys.argv[1]), segment_bytes=100)
        for number in range(20):
            spool.append(b'{"name": "orphan %02d"}\\n' % number, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run(script, tmp_path)
    spool = Spool(tmp_path, segment_bytes=100)
    assert spool.adopt() > 2
    assert sorted(drain(spool)) == [f"orphan {number:02}" for number in range(20)]


def test_a_living_process_is_left_its_segments(tmp_path: Path) -> None:
    other = Spool(tmp_path)
    other.append(lines("theirs"), 1)
    script = """
        spool = Spool(Path(sys.argv[1]))
        print(spool.adopt())
    """
    assert run(script, tmp_path).stdout.strip() == "0"
    assert drain(other) == ["theirs"]


def test_a_line_cut_by_a_kill_is_left_out_and_counted(tmp_path: Path) -> None:
    dead = tmp_path / "999999-abc"
    dead.mkdir()
    (tmp_path / "999999-abc.lock").touch()
    (dead / "0000000001.ndjson").write_bytes(lines("whole", "also whole") + b'{"name": "ha')
    spool = Spool(tmp_path)
    assert spool.adopt() == 1
    assert drain(spool) == ["whole", "also whole"]
    assert spool.counts().damaged == 1


def test_a_thousand_short_runs_without_a_server_leave_few_files(tmp_path: Path) -> None:
    for number in range(100):
        spool = Spool(tmp_path)
        spool.adopt()
        spool.append(lines(f"run {number}"), 1)
        spool.close()
    assert len(list(tmp_path.rglob("*.ndjson"))) <= 2
    spool = Spool(tmp_path)
    spool.adopt()
    assert len(drain(spool)) == 100


def test_adopted_segments_count_towards_the_bound(tmp_path: Path) -> None:
    for number in range(50):
        spool = Spool(tmp_path, max_bytes=400)
        spool.adopt()
        spool.append(lines(f"run {number:02}"), 1)
        spool.close()
    spool = Spool(tmp_path, max_bytes=400)
    spool.adopt()
    assert spool.counts().bytes <= 400
    assert drain(spool)[-1] == "run 49"


def test_a_segment_removed_by_hand_is_dropped_not_fatal(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(lines("a", "b"), 2)
    for path in tmp_path.rglob("*.ndjson"):
        path.unlink()
    segment = spool.oldest()
    assert segment is not None and spool.load(segment) == b""
    spool.drop(segment)
    assert (spool.is_empty(), spool.counts().dropped) == (True, 2)


def test_a_segment_too_large_for_the_server_is_split_in_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(lines("a", "b"), 2)
    segment = spool.oldest()
    spool.append(lines("c"), 1)
    assert segment is not None
    spool.split(segment, (lines("a"), lines("b")))
    assert spool.counts().operations == 3
    assert drain(spool) == ["a", "b", "c"]


def test_closing_leaves_the_rest_to_the_next_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(lines("left"), 1)
    spool.close()
    following = Spool(tmp_path)
    assert following.adopt() == 1
    assert drain(following) == ["left"]


def test_what_only_memory_holds_at_the_end_is_counted_as_lost() -> None:
    warnings: list[str] = []
    spool = Spool(None, warn=lambda key, message: warnings.append(message))
    spool.append(lines("a", "b"), 2)
    spool.close()
    assert spool.counts().dropped == 2
    assert warnings and warnings[0].startswith("2 operations")


def test_refused_lines_are_kept_with_the_reason_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.reject([b'{"name": "a"}'], 'kind: must be one of "llm"')
    kept = [json.loads(line) for line in (tmp_path / "rejected.ndjson").read_text().splitlines()]
    assert kept == [{"reason": 'kind: must be one of "llm"', "operation": {"name": "a"}}]
    for _ in range(20):
        spool.reject([b'{"name": "' + b"x" * 1024 * 1024 + b'"}'], "too long")
    assert (tmp_path / "rejected.ndjson").stat().st_size <= 8 * 1024 * 1024


def test_a_forked_child_leaves_the_parents_segments_alone(tmp_path: Path) -> None:
    script = """
        import os
        spool = Spool(Path(sys.argv[1]))
        spool.append(b'{"name": "parent"}\\n', 1)
        if os.fork() == 0:
            spool.after_fork()
            assert spool.is_empty()
            assert spool.adopt() == 0, "the parent lives"
            spool.append(b'{"name": "child"}\\n', 1)
            spool.close()
            os._exit(0)
        assert os.wait()[1] == 0
        assert spool.adopt() == 1, "the child is gone"
        names = []
        while segment := spool.oldest():
            names.append(spool.load(segment).decode())
            spool.remove(segment)
        print("".join(names))
    """
    result = run(script, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "parent" in result.stdout and "child" in result.stdout


def test_two_adopters_never_take_the_same_segment(tmp_path: Path) -> None:
    for number in range(20):
        spool = Spool(tmp_path)
        spool.append(lines(f"orphan {number}"), 1)
        spool.close()
    script = """
        spool = Spool(Path(sys.argv[1]))
        spool.adopt()
        while segment := spool.oldest():
            sys.stdout.write(spool.load(segment).decode())
            spool.remove(segment)
        spool.close()
    """
    code = "import sys\nfrom pathlib import Path\nfrom ralex_core.collection.spool import Spool\n" + textwrap.dedent(
        script
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = "".join(racer.communicate(timeout=60)[0] for racer in racers).splitlines()
    assert sorted(found) == sorted(lines(*(f"orphan {number}" for number in range(20))).decode().splitlines())
    assert list(tmp_path.iterdir()) == []
