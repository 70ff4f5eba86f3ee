"""Single keys from a terminal, without Enter and without an echo."""

from __future__ import annotations

import os
import select
import sys
import time
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    import msvcrt

    class Keys:
        """Keys of the Windows console."""

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            return None

        def next(self, timeout_s: float) -> str | None:
            """The next key, or None when none is pressed in time."""
            until = time.monotonic() + timeout_s
            while time.monotonic() < until:
                if msvcrt.kbhit():
                    return msvcrt.getwch()
                time.sleep(0.05)
            return None

else:
    import termios
    import tty

    class Keys:
        """Keys of the terminal at standard input, which is as before at the end of the block."""

        def __enter__(self) -> Self:
            self._file = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file)
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

        def next(self, timeout_s: float) -> str | None:
            """The next key, or None when none is pressed in time; the end of the input counts as `q`."""
            if not select.select([self._file], [], [], timeout_s)[0]:
                return None
            pressed = os.read(self._file, 64)
            if not pressed:
                time.sleep(0)
                return "q"
            return pressed[:1].decode("latin-1")
