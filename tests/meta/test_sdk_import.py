"""What an assistant loads when it imports the SDK."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "duckdb",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "starlette",
    "uvicorn",
    "pydantic",
    "numpy",
    "jinja2",
    "genai_prices",
)


@pytest.mark.parametrize(
    "statement",
    [
        "from ralex_core.monitoring import track, operation",
        "import ralex_core.monitoring as m; m.track; m.operation",
        "import ralex_core",
    ],
)
def test_importing_the_sdk_loads_neither_database_nor_web_framework(statement: str) -> None:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert loaded & set(HEAVY) == set()
