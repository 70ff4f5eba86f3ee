from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import CommandLine, aider_log

CORRECTED = '[[price]]\nmodel = "gpt-4o-mini"\ninput = 0.30\noutput = 1.20\n'


def test_the_past_is_priced_again_without_a_server(command: CommandLine, tmp_path: Path) -> None:
    assert command("import", "aider", aider_log(tmp_path / "analytics.jsonl", 3)).code == 0
    before = command("status", "--json").json()["cost"]
    (command.home / "prices.toml").write_text(CORRECTED)
    seen = command("reprice", "--json").json()
    assert (seen["applied"], seen["examined_calls"], seen["changed_calls"]) == (False, 3, 3)
    assert command("status", "--json").json()["cost"] == before
    assert "ralex-monitor reprice --apply" in command("reprice").stdout
    done = command("reprice", "--apply", "--reason", "the list was old", "--json").json()
    assert (done["applied"], done["before_usd"], done["after_usd"]) == (True, seen["before_usd"], seen["after_usd"])
    # (3,003 tokens in × 0.30 + 300 out × 1.20) per million, twice what it was
    assert command("status", "--json").json()["cost"]["computed_usd"] == "0.0012609"
    assert command("reprice", "--json").json()["changed_calls"] == 0
    assert command("reprice", "--model", "gpt-5", "--json").json()["examined_calls"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("reconcile",), "RALEX_MONITOR_OPENROUTER__KEY"),
        (("reprice", "--from", "soon"), "2026-11-01T08:00"),
        (("reprice", "--from", "2026-02-01", "--to", "2026-01-01"), "later than --from"),
    ],
)
def test_mistakes_are_one_sentence(command: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    assert said in command(*arguments).sentence
