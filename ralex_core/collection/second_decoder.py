"""A second process that decodes spans while much comes in; started when it pays, ended when it rests."""

from __future__ import annotations

import contextlib
import logging
import math
import pickle
import subprocess
import sys
import threading
import time
from typing import IO, cast

from ralex_core.collection.decoder_process import answered, question, read_frame, write_frame
from ralex_core.collection.otlp import Decoded
from ralex_core.config import Settings
from ralex_core.pricing.book import PriceBook
from ralex_core.pricing.overrides import Override
from ralex_core.selfmetrics import SelfMetrics

logger = logging.getLogger(__name__)

BUSY_SHARE = 0.3
"""Share of the last second or so that decoding took of this process, above which a second one is worth its 60 MB."""
IDLE_S = 30.0
"""Without a request for this long, the process ends."""
STUCK_S = 60.0
"""Without an answer to what it was asked for this long, the process is ended by force."""
CLOSE_S = 5.0
"""What it may take to answer what it was asked, when the monitor ends."""
START_AGAIN_S = 60.0
"""After one that could not be started or died."""


class SecondDecoder:
    """Safe to use from several threads. Whoever gets None decodes for themselves: nothing depends on the process."""

    def __init__(self, settings: Settings, book: PriceBook, metrics: SelfMetrics) -> None:
        self._settings = settings.model_copy(update={"token": None})  # nothing it needs to know
        self._overrides = book.overrides
        self._metrics = metrics
        self._lock = threading.Lock()
        self._process: DecoderProcess | None = None
        self._starting = False
        self._closed = False
        self._not_before = 0.0
        self._busy_s, self._measured_at = 0.0, time.monotonic()

    def decoded(self, body: bytes, *, json: bool, encoding: str) -> Decoded | None:
        """The operations of a request, redacted and priced; None when no second process runs, or it just died.

        Raises:
            UnreadableRequest, BodyProblem: as decoding here would.
        """
        process = self._process
        if process is None:
            return None
        try:
            frame = process.ask(question(body, json=json, encoding=encoding))
        except (OSError, EOFError, ValueError, MemoryError) as error:  # a closed pipe is a ValueError
            self._lost(process, error)
            return None
        self._metrics.add("second_decoder_requests_total")
        return answered(frame)

    def took(self, seconds: float) -> None:
        """Decoding here took this long; starts a process when that has become much."""
        with self._lock:
            now = time.monotonic()
            self._busy_s = self._busy_s * math.exp(self._measured_at - now) + seconds
            self._measured_at = now
            if self._busy_s < BUSY_SHARE or self._starting or self._process or self._closed or now < self._not_before:
                return
            self._starting = True
        threading.Thread(target=self.start, name="second-decoder", daemon=True).start()

    def start(self) -> None:
        """Start the process and wait until it can be asked, then watch over it until it ends."""
        try:
            process = DecoderProcess(self._settings, self._overrides)
        except Exception as error:
            logger.warning("No second process could be started to decode spans: %s", error)
            with self._lock:
                self._starting, self._not_before = False, time.monotonic() + START_AGAIN_S
            return
        with self._lock:
            self._starting = False
            if self._closed:
                process.close()
            else:
                self._process = process
                self._metrics.add("second_decoder_starts_total")
        while not process.ended(within_s=IDLE_S / 3):
            if process.silent_s() > STUCK_S:
                process.kill()  # whoever waits for it finds its pipe closed, and decodes alone
            elif time.monotonic() - process.asked_at > IDLE_S:
                with self._lock:
                    self._process = None
                process.close()

    def close(self) -> None:
        """End the process; from here on nothing starts one. Safe to call twice."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.close()
            if not process.ended(within_s=CLOSE_S):
                process.kill()

    def _lost(self, process: DecoderProcess, error: Exception) -> None:
        with self._lock:
            if self._process is not process:
                return  # it was told to end, or somebody else noticed
            self._process, self._not_before = None, time.monotonic() + START_AGAIN_S
        logger.warning("The second process that decodes spans ended: %s; this process does its work.", error)
        self._metrics.add("second_decoder_failures_total")
        process.close()


class DecoderProcess:
    """The process and its two pipes. Questions may be sent while it still answers others; answers come in order.

    Raises (on construction):
        OSError, EOFError: it did not come up.
    """

    def __init__(self, settings: Settings, overrides: tuple[Override, ...]) -> None:
        # -P: nothing is imported from the directory the monitor happens to be started in
        command = [sys.executable, "-P", "-m", "ralex_core.collection.decoder_process"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        self._questions = cast("IO[bytes]", self._child.stdin)
        self._answers = cast("IO[bytes]", self._child.stdout)
        self._sending = threading.Lock()
        self._turn = threading.Condition()
        self._sent = self._received = 0
        self.asked_at = time.monotonic()
        write_frame(self._questions, pickle.dumps((settings, overrides)))  # pyright: ignore[reportArgumentType]
        if read_frame(self._answers) is None:  # pyright: ignore[reportArgumentType]
            self.close()
            code = self._child.wait()
            self._answers.close()
            raise EOFError(f"it ended at its start with code {code}")

    def ask(self, parts: tuple[bytes, ...]) -> bytes:
        """The answer to a question.

        Raises:
            OSError, EOFError: the process is gone.
        """
        try:
            with self._sending:
                self.asked_at = time.monotonic()
                mine = self._sent
                self._sent += 1
                write_frame(self._questions, *parts)  # pyright: ignore[reportArgumentType]
            with self._turn:
                self._turn.wait_for(lambda: self._received >= mine)
            frame = read_frame(self._answers)  # pyright: ignore[reportArgumentType]
        except BaseException:
            self.kill()  # half a frame may be on its way: nobody could tell the next one
            raise
        finally:
            with self._turn:
                self._received += 1
                self._turn.notify_all()
        if frame is None:
            raise EOFError("it closed its pipe")
        return frame

    def silent_s(self) -> float:
        """For how long it has owed an answer without giving any; 0 when it owes none."""
        return time.monotonic() - self.asked_at if self._sent > self._received else 0.0

    def kill(self) -> None:
        """End it at once. Safe to call twice."""
        self._child.kill()

    def ended(self, *, within_s: float) -> bool:
        """Whether the process has ended, after waiting this long for it."""
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        self._answers.close()
        return True

    def close(self) -> None:
        """Let it answer what it was asked, and end; by force when it does not even listen. Safe to call twice."""
        if not self._sending.acquire(timeout=CLOSE_S):
            self.kill()
            return
        try:
            with contextlib.suppress(OSError):
                self._questions.close()
        finally:
            self._sending.release()
