"""Which of the watched programs a process is: by its name, or by the script an interpreter runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

_INTERPRETER = re.compile(r"^(node|nodejs|bun|deno|python[\d.]*|pypy[\d.]*|ruby|sh|bash|zsh|dash|npx|uv|MainThread)$")
_INLINE = ("-c", "-e", "-p", "--eval", "--print")
"""What follows is program text, not a script."""
_WITH_VALUE = ("-W", "-X", "-r", "--require", "--import", "--loader", "--env-file")
_SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".py", ".rb", ".sh", ".exe")
_PACKAGED = ("", "-cli", "-code", "-ai")
"""How a program's package may be called: `gemini` is in `@google/gemini-cli`."""
_NAME_LIMIT = 15
"""Linux keeps this many bytes of a process's name."""


def watched_as(name: str, arguments: Sequence[str], watched: Sequence[str]) -> str | None:
    """The watched name that fits a process, or None. Names compare without case.

    A file that is only mentioned (`vim claude.md`, `grep codex`) does not count: an argument is looked at when the
    program is an interpreter and the argument its script.
    """
    called = {name.lower().removesuffix(".exe")}
    if arguments:
        called.add(_base(arguments[0]))
    script = _script(arguments)
    if script is not None:
        called.add(_base(script))
        called.update(_packages(script))
    for candidate in watched:
        wanted = candidate.lower()
        if wanted in called or wanted[:_NAME_LIMIT] == name.lower():
            return candidate
    return None


def _script(arguments: Sequence[str]) -> str | None:
    if not arguments or not _INTERPRETER.match(PurePosixPath(arguments[0]).name):
        return None
    rest = iter(arguments[1:])
    for argument in rest:
        if argument == "-m":
            return next(rest, "").partition(".")[0] or None
        if argument.startswith(_INLINE):
            return None
        if argument in _WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return None


def _base(path: str) -> str:
    name = re.split(r"[/\\]", path)[-1].lower()
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)


def _packages(script: str) -> set[str]:
    """The npm package a script is part of, and the names it may be known by."""
    _, found, inside = script.lower().rpartition("node_modules/")
    if not found:
        return set()
    parts = inside.split("/")
    package = parts[1] if parts[0].startswith("@") and len(parts) > 1 else parts[0]
    return {package.removesuffix(ending) for ending in _PACKAGED}
