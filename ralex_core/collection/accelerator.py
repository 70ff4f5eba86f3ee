"""The compiled half of the SDK's hot paths, which is there where a C compiler was when the package was installed.

Everything works without it, several times slower (`bench/instruments.py`): the Python code beside it does the same.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

SWITCH = "RALEX_MONITOR_PURE_PYTHON"
"""An environment variable; 1 leaves the compiled half alone."""


def _found() -> ModuleType | None:
    if os.environ.get(SWITCH) == "1":
        return None
    try:
        from ralex_core.collection import _compiled
    except ImportError:
        return None
    return _compiled if _compiled.is_main() else None


compiled = _found()
"""The module; None where it is not to be used, or was not built."""
