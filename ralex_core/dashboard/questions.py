"""Asks the store several questions at once, and remembers an answer for as long as it cannot have changed much."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, cast

from ralex_core.clock import Clock

T = TypeVar("T")

THREADS = 4
"""DuckDB spreads one query over all cores by itself; a few at once keep them busy while Python reads rows."""


class Pool:
    """Threads for questions to the store; each has its own cursor there."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="question")

    def ask(self, question: Callable[[], T]) -> Future[T]:
        return self._executor.submit(question)

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


class Remembered:
    """Answers by key, each for `seconds`. Whoever asks while an answer is being made waits for that one."""

    def __init__(self, clock: Clock, seconds: float, entries: int = 64) -> None:
        self._clock = clock
        self._seconds = seconds
        self._entries = entries
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[float, Future[object]]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The remembered answer, or a new one. An error is not remembered."""
        with self._lock:
            found = self._answers.get(key)
            if found is not None and found[0] > self._clock.monotonic():
                future, mine = found[1], False
            else:
                self._drop_old()
                future, mine = Future[object](), True
                self._answers[key] = (self._clock.monotonic() + self._seconds, future)
                self._answers.move_to_end(key)
                while len(self._answers) > self._entries:
                    self._answers.popitem(last=False)
        if not mine:
            return cast(T, future.result())
        try:
            answer = make()
        except BaseException as error:
            with self._lock:
                self._answers.pop(key, None)
            future.set_exception(error)
            raise
        future.set_result(answer)
        return answer

    def _drop_old(self) -> None:
        """An answer that will not be given again need not be held: those of the costs page are megabytes."""
        now = self._clock.monotonic()
        for key in [key for key, (until, future) in self._answers.items() if until <= now and future.done()]:
            del self._answers[key]

    def forget(self) -> None:
        """Forget everything: the data behind it was changed on purpose."""
        with self._lock:
            self._answers.clear()
