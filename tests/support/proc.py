"""A directory laid out like /proc, whose processes a test decides."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

BOOT_S = 1_700_000_000


class FakeProc:
    """Processes by pid. Times in ticks of 10 ms, memory in pages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        (root / "stat").write_text(f"cpu 1 2 3\nbtime {BOOT_S}\n")
        (root / "self").mkdir(exist_ok=True)

    def put(
        self,
        pid: int,
        name: str,
        parent: int = 1,
        *,
        ticks: int = 0,
        reaped: int = 0,
        started: int = 100,
        pages: int = 1000,
        threads: int = 1,
        state: str = "S",
        arguments: Sequence[str] = (),
        files: int | None = 3,
        io: tuple[int, int] | None = (0, 0),
    ) -> None:
        """Create a process or change it; `files` or `io` None: of another user, they cannot be read."""
        place = self.root / str(pid)
        place.mkdir(exist_ok=True)
        fields = [state, parent, *[0] * 9, ticks, 0, reaped, 0, 20, 0, threads, 0, started, 0, pages, *[0] * 20]
        (place / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))}\n")
        (place / "cmdline").write_text("".join(f"{argument}\0" for argument in arguments))
        shutil.rmtree(place / "fd", ignore_errors=True)
        (place / "io").unlink(missing_ok=True)
        if files is not None:
            (place / "fd").mkdir()
            for number in range(files):
                (place / "fd" / str(number)).touch()
        if io is not None:
            (place / "io").write_text(f"rchar: 1\nwchar: 1\nread_bytes: {io[0]}\nwrite_bytes: {io[1]}\n")

    def end(self, pid: int) -> None:
        """The process is gone."""
        shutil.rmtree(self.root / str(pid))
