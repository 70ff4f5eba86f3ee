"""Which of the watched programs a process is."""

from __future__ import annotations

import pytest

from ralex_core.collection.program_names import watched_as

WATCHED = ("claude", "codex", "gemini", "aider", "litellm", "a-very-long-program-name", "Ralex")


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("claude", ["claude"], "claude"),
        ("claude", [], "claude"),
        ("Claude.exe", [], "claude"),
        ("codex", ["/opt/bin/codex", "exec"], "codex"),
        ("node", ["node", "--no-warnings", "/usr/bin/gemini", "-p", "hello"], "gemini"),
        ("node", ["/usr/bin/node", "/usr/lib/node_modules/@google/gemini-cli/dist/index.js"], "gemini"),
        ("MainThread", ["node", "/x/node_modules/@anthropic-ai/claude-code/cli.js"], "claude"),
        ("python3.11", ["/usr/bin/python3.11", "-m", "aider", "--model", "x"], "aider"),
        ("python3", ["python3", "-m", "aider.main"], "aider"),
        ("python", ["python", "-X", "dev", "/home/me/.venv/bin/aider"], "aider"),
        ("python", ["python", "C:\\tools\\aider.py"], "aider"),
        ("bash", ["bash", "/usr/local/bin/ralex"], "Ralex"),
        ("a-very-long-pro", [], "a-very-long-program-name"),
        ("litellm", ["/venv/bin/python", "/venv/bin/litellm", "--config", "x"], "litellm"),
    ],
)
def test_a_program_is_known_by_its_name_or_by_the_script_it_runs(
    name: str, arguments: list[str], expected: str
) -> None:
    assert watched_as(name, arguments, WATCHED) == expected


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vim", ["vim", "claude.md"]),
        ("grep", ["grep", "codex", "/var/log"]),
        ("node", ["node", "server.js", "claude"]),
        ("node", ["node", "-e", "claude"]),
        ("python", ["python", "-c", "import aider"]),
        ("python", ["python", "-W", "aider", "script.py"]),
        ("python", ["python", "/home/me/claude/run.py"]),
        ("node", ["node", "/home/me/claude-code/index.js"]),
        ("bash", ["bash", "-c", "claude"]),
        ("claude-helper", []),
        ("", []),
        ("python", ["python", "-m"]),
    ],
)
def test_a_file_or_word_that_is_only_mentioned_does_not_count(name: str, arguments: list[str]) -> None:
    assert watched_as(name, arguments, WATCHED) is None
