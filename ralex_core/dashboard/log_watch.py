"""Counts what the monitor logs, and keeps the last of it for its own page."""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

from ralex_core.collection.credentials import redact_text
from ralex_core.selfmetrics import SelfMetrics

WATCHED = ("ralex_core", "uvicorn.error")
"""The loggers of the monitor, and of the server it runs in."""
LINES_KEPT = 50
MAX_CHARACTERS = 400

_UNPRINTABLE = {code: "�" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class Line(NamedTuple):
    at_us: int
    level: str
    logger: str
    message: str


class LogWatch(logging.Handler):
    """A handler for warnings and errors. It prints nothing that would have been printed without it, and no less."""

    def __init__(self, metrics: SelfMetrics) -> None:
        super().__init__(logging.WARNING)
        self._metrics = metrics
        self._lines: deque[Line] = deque(maxlen=LINES_KEPT)

    def start(self) -> None:
        for name in WATCHED:
            logging.getLogger(name).addHandler(self)

    def stop(self) -> None:
        """Safe to call twice."""
        for name in WATCHED:
            logging.getLogger(name).removeHandler(self)

    def lines(self) -> list[Line]:
        """The last warnings and errors, newest first."""
        return list(reversed(self._lines))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._keep(record)
        except Exception:  # who logs must go on: the server logs a failure before it answers it
            self.handleError(record)

    def _keep(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._metrics.add("log_records_total", 1, (("level", level),))
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        if record.exc_info and record.exc_info[1] is not None:
            message += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        # a secret cut in two would no longer look like one
        text = redact_text(message[: 8 * MAX_CHARACTERS]).translate(_UNPRINTABLE)[:MAX_CHARACTERS]
        self._lines.append(Line(round(record.created * 1_000_000), level, record.name, text))
        last_resort = logging.lastResort
        if last_resort is not None and not self._is_handled_elsewhere(record.name):
            last_resort.handle(record)

    def _is_handled_elsewhere(self, name: str) -> bool:
        """Whether some other handler sees the record. Python prints warnings only when no handler at all does."""
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False
