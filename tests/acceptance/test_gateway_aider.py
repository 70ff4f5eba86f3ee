"""The aider command line edits a file through the gateway, with nothing set but its base URL.

aider is large, so `make test` does not install it: `make aider` does, once, and runs this. `RALEX_AIDER` names another.
"""

from __future__ import annotations

import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import KEY, PRICES, upstreams_at
from tests.support.gateway_streams import ends, plain, says, used
from tests.support.model_server import Streamed, model_server
from tests.support.repository import ROOT
from tests.support.server import running

AIDER = Path(os.environ.get("RALEX_AIDER") or ROOT / ".cache" / "aider" / "bin" / "aider")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not AIDER.is_file(), reason="aider is not installed: make aider, or name it in RALEX_AIDER"),
]

EDIT = """greeting.py
```python
<<<<<<< SEARCH
    return "hello"
=======
    return "good morning"
>>>>>>> REPLACE
```
"""


def test_aider_edits_a_file_and_the_monitor_says_what_it_cost(tmp_path: Path) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    (home / "prices.toml").write_text(PRICES)
    (work / "greeting.py").write_text('def greeting():\n    return "hello"\n')
    words = [says(EDIT[at : at + 7]) for at in range(0, len(EDIT), 7)]
    reply = Streamed([*words, ends(), used(plain(1500, 60)), "[DONE]"])
    with (
        model_server(reply) as provider,
        running(home, extra_environment=upstreams_at(provider.url)) as server,
    ):
        command = [
            *(str(AIDER), "--model", "openai/test-model", "--openai-api-key", KEY),
            *("--openai-api-base", f"{server.url}/gateway/project/shop/client/aider/openai/v1"),
            *("--edit-format", "diff", "--yes-always", "--no-git", "--no-check-update", "--analytics-disable"),
            *("--no-show-model-warnings", "--no-show-release-notes", "--no-pretty", "--map-tokens", "0"),
            *("--message", "Greet in the morning.", "greeting.py"),
        ]
        environment = {**os.environ, "HOME": str(tmp_path), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        ended = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert 'return "good morning"' in (work / "greeting.py").read_text(), ended.stdout
        rows: list[dict[str, Any]] = []
        for _ in range(100):
            rows = server.request("GET", "/api/v1/operations").json()["data"]["rows"]
            if rows:
                break
            server.wait(0.1)
    (row,) = [row for row in rows if row["input_tokens"] is not None]
    # 1,500 in at 2 and 60 out at 10 dollars per million
    assert Decimal(row["cost_usd"]) == Decimal("0.0036")
    assert (row["client"], row["project"], row["door"], row["status"]) == ("aider", "shop", "gateway", "ok")
    assert row["ttft_ms"] is not None
    assert provider.requests[0].headers["authorization"] == f"Bearer {KEY}"
