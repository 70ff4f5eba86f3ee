"""`python -m ralex_core`: the command line, or one sentence on a Python that is too old for it.

This file and `ralex_core/__init__.py` must stay readable for every Python there is.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be started with any Python
    here = ".".join(str(part) for part in sys.version_info[:2])
    sys.exit("Ralex Monitor needs Python 3.11 or newer, this is " + here + ". Install one and try again.")

from ralex_core.cli import main

main()
