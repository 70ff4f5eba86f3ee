"""Which question a query belongs to: the name of the function that asked, so that query times can be told apart."""

from __future__ import annotations

import sys

QUESTION_PACKAGES = ("ralex_core.storage.queries", "ralex_core.monitoring", "ralex_core.analytics")
"""Where functions that answer questions live."""
MAX_FRAMES = 12
OTHER = "other"


def asked_by(skip: int = 1) -> str:
    """The outermost public function of `QUESTION_PACKAGES` on the way to the caller; `other` when there is none.

    `totals` asks through `measured`, and is told as `totals`. Names come from this code and are therefore few. Costs a
    microsecond. `skip` is the number of frames to leave out, beside this one.
    """
    frame = sys._getframe(skip + 1)  # pyright: ignore[reportPrivateUsage] - there is no public way to the caller
    found = OTHER
    for _ in range(MAX_FRAMES):
        module = frame.f_globals.get("__name__", "")
        if module.startswith(QUESTION_PACKAGES):
            name = frame.f_code.co_qualname
            if "<" not in name and not name.startswith("_") and "._" not in name:
                found = name
        elif found != OTHER:
            break
        if frame.f_back is None:
            break
        frame = frame.f_back
    return found
