"""The end of the process: asked for by a signal, in order if it can be, and in any case within ten seconds.

In order: no new connections, requests under way get a moment, the queue is committed, the stores are closed. A thread
that never returns (a decoder or the writer in an endless loop, a read from a pipe that nobody writes to) would make
that wait for ever; then the process is ended hard, and says what was stuck. What was acknowledged is committed before
it is acknowledged, so a hard end loses none of it.
"""

from __future__ import annotations

import _thread
import contextlib
import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from ralex_core.vitals import Vitals

END_WITHIN_S = 10.0
"""The promise, from the signal to the end of the process."""
HARD_AFTER_S = 8.0
LAST_RESORT_S = 9.5
"""When even Python does not get its turn any more, a thread without it (`faulthandler`) ends the process."""
STUCK_EXIT = 70
"""Exit code when something was stuck: EX_SOFTWARE of sysexits.h."""
TWICE_EXIT = 130
"""Exit code after a second Ctrl-C, as shells know it."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MAX_FRAMES = 20
"""Of a stack that is told: the innermost."""


def hold_back() -> None:
    """Keep signals from this thread and all it starts, for `Ending` to wait for. Call it before libraries are loaded:
    some start threads."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def let_through() -> None:
    """Let signals reach this thread, and the programs it starts, which inherit what is held back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


class Ending:
    """Waits for SIGINT and SIGTERM in a thread of its own, so that they are heard whatever the main thread does.

    Threads that native libraries started before `hold_back` take signals too; then, and where the system cannot wait
    for signals (Windows), the main thread hears them.

    Args:
        vitals: what the threads are doing, to say which is stuck.
        tidy: what is to be done even at a hard end; must be quick.
    """

    def __init__(self, vitals: Vitals, tidy: Callable[[], None]) -> None:
        self._vitals = vitals
        self._tidy = tidy
        self._asked = False
        self.leaving = False
        """Whether the main thread is on its way out already."""

    def listen(self) -> None:
        """Hear signals from now on. The first leaves the main thread through every `finally`, unless the HTTP server
        takes it."""
        for number in SIGNALS:
            signal.signal(number, self._in_main_thread)
        hold_back()
        if hasattr(signal, "sigwait"):
            threading.Thread(target=self._wait, name="signals", daemon=True).start()

    def _wait(self) -> None:
        while True:
            self.heard(signal.sigwait(SIGNALS))
            _thread.interrupt_main(signal.SIGTERM)  # runs the handler there: ours, or that of the HTTP server

    def _in_main_thread(self, number: int, frame: FrameType | None) -> None:
        self.heard(number)
        if not self.leaving:
            self.leaving = True
            raise SystemExit(0)

    def heard(self, number: int) -> None:
        """A signal came. The first one starts the time that is left, a second Ctrl-C ends it."""
        if not self._asked:
            self._asked = True
            faulthandler.dump_traceback_later(LAST_RESORT_S, exit=True, file=sys.__stderr__ or 2)
            timer = threading.Timer(HARD_AFTER_S, self._end_hard)
            timer.name, timer.daemon = "end", True
            timer.start()
        elif number == signal.SIGINT:
            self._exit(TWICE_EXIT)

    def _end_hard(self) -> None:
        _say(f"Ralex Monitor did not end within {HARD_AFTER_S:g} s and is ended now. {self._stuck()}\n")
        self._exit(STUCK_EXIT)

    def _stuck(self) -> str:
        """What is stuck, and the stack of its thread; without anything known to be, of the main thread."""
        works = self._vitals.works()
        if works:
            longest = works[0]
            identifier = longest.thread_id
            since_s = self._vitals.now_s() - longest.since_s
            told = f"Stuck for {since_s:.0f} s: {longest.what}."
        else:
            thread = _holding()
            identifier, told = thread.ident or 0, f"Stuck: the thread {thread.name}."
        # the way that is documented, whatever its name says
        frame = sys._current_frames().get(identifier)  # pyright: ignore[reportPrivateUsage]
        stack = "" if frame is None else "".join(traceback.format_stack(frame)[-MAX_FRAMES:])
        return f"{told}\n{stack}".rstrip()

    def _exit(self, code: int) -> NoReturn:
        try:
            with contextlib.suppress(OSError):
                self._tidy()
        finally:
            os._exit(code)


def _holding() -> threading.Thread:
    """A thread that keeps the process from ending: one that is waited for, else the main thread."""
    main = threading.main_thread()
    waited_for = [one for one in threading.enumerate() if not one.daemon and one is not main]
    return waited_for[0] if waited_for and not main.is_alive() else main


def _say(text: str) -> None:
    """To standard error, past locks that a stuck thread may hold."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="replace"))
