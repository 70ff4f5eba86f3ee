"""Programs that are run: by `subprocess` and by asyncio, on any event loop.

Recorded are the program, its subcommand where it is one of a few known ones, the exit code and the duration. Arguments
are not: they hold prompts, secrets and paths.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.leaf import Leaf

if TYPE_CHECKING:
    from ralex_core.collection.instrument.switch import Switch

VARIABLE = "TRACEPARENT"
MAX_NAME = 80
_VALUED: dict[str, frozenset[str]] = {
    "git": frozenset(("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path")),
    "docker": frozenset(("-H", "--host", "--context", "--config", "-l", "--log-level")),
    "kubectl": frozenset(("-n", "--namespace", "--context", "--kubeconfig", "-s", "--server")),
    "cargo": frozenset(("-C", "--config", "-Z", "--color")),
    "npm": frozenset(("--prefix", "-C", "-w", "--workspace")),
    "opencode": frozenset(("--log-level", "-m", "--model", "--port", "--hostname")),
    "ralex-monitor": frozenset(),
}
"""Programs whose first word says what they do, and their options before it that take a value."""
_SUBCOMMANDS = frozenset(_VALUED) | {
    *("apt", "apt-get", "brew", "bun", "bundle", "claude", "codex", "composer", "conda", "deno", "dotnet", "gemini"),
    *("gh", "go", "gradle", "helm", "hg", "mvn", "npx", "nx", "pip", "pip3", "pipenv", "pnpm", "podman", "poetry"),
    *("ralex", "rustup", "svn", "systemctl", "terraform", "uv", "yarn"),
}
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_:")
_PYTHONS = ("python", "pypy")

_by_asyncio: ContextVar[bool] = ContextVar("ralex_monitor_asyncio_spawns", default=False)
"""asyncio's own loop starts programs through `subprocess.Popen`: that one is recorded already."""
_RUN = "_ralex_run"


def program_of(args: object, *, shell: bool = False) -> tuple[str, str]:
    """Program and name (`git`, `git commit`) of what is to be run; nothing of its other arguments."""
    try:
        if isinstance(args, str | bytes):
            text = args.decode("utf-8", "replace") if isinstance(args, bytes) else args
            words = _words(text[:500]) if shell else [text]
        elif isinstance(args, list | tuple):
            words = [_word(arg) for arg in cast("list[object]", args)[:12]]
        else:
            words = [_word(args)]
        return _named(tuple(words))
    except Exception:  # a path object of the host's own that fails
        return "unknown", "unknown"


def _word(argument: object) -> str:
    text = argument.decode("utf-8", "replace") if isinstance(argument, bytes) else str(argument)
    return text[:500]


def _words(command: str) -> list[str]:
    """The words of a shell's first command, without the variables set before it."""
    words = command.split()
    while words and "=" in words[0] and not words[0].startswith(("/", ".", "=")):
        del words[0]
    return [word.strip("'\"();&|") for word in words]


@lru_cache(maxsize=512)
def _named(words: tuple[str, ...]) -> tuple[str, str]:
    first = words[0] if words else ""
    program = PurePath(first.replace("\\", "/")).name.removesuffix(".exe")[:MAX_NAME] or "unknown"
    program = "".join(c for c in program if c.isprintable()) or "unknown"
    rest = words[1:]
    if program.startswith(_PYTHONS):
        if len(rest) > 1 and rest[0] == "-m" and rest[1].replace(".", "").replace("_", "").isalnum():
            return _named(rest[1:])
        return program, program
    if program in _SUBCOMMANDS:
        valued, skip = _VALUED.get(program, frozenset()), False
        for word in rest:
            if skip or word.startswith("-"):
                skip = not skip and word in valued
            elif 0 < len(word) <= 30 and _WORD.issuperset(word) and word[0].isalpha():
                return program, f"{program} {word}"
            else:
                break
    return program, program


class Run(Leaf):
    """A program that runs. Recorded when its end is noticed, or when nobody can notice it any more."""

    __slots__ = ()

    def ended(self, code: int | None) -> None:
        """It ended with this exit code; a negative one is the signal that ended it."""
        if self.end_ns or code is None:
            return
        self.fields["exit_code"] = code
        if code:
            self.fields["status"] = "error"
            self.fields["error_type"] = f"exit code {code}" if code > 0 else f"signal {-code}"
        self.finish()

    def __del__(self) -> None:
        if not self.end_ns:
            self.finish()  # how it ended is not known: its exit code stays out


def install(switch: Switch, programs: Collection[str] | None, traceparent: bool) -> None:
    """Time all programs, or those named: `git`, or `git commit` for one subcommand."""

    def begin(args: object, shell: bool) -> Run | None:
        if not switch.on:
            return None
        try:
            program, name = program_of(args, shell=shell)
            if programs is not None and program not in programs and name not in programs:
                return None
            return Run(name, "tool", {"process.executable.name": program})
        except Exception:
            guard.swallow("instrument subprocess")
            return None

    def make_init(original: Callable[..., None]) -> Callable[..., None]:
        def __init__(self: Any, args: Any, *rest: Any, **kwargs: Any) -> None:
            shell = bool(kwargs.get("shell", rest[7] if len(rest) > 7 else False))
            run = None if _by_asyncio.get() else begin(args, shell)
            if run is None:
                original(self, args, *rest, **kwargs)
                return
            if traceparent:
                if len(rest) > 9:
                    rest = (*rest[:9], with_trace(rest[9], run), *rest[10:])
                else:
                    kwargs["env"] = with_trace(kwargs.get("env"), run)
            try:
                original(self, args, *rest, **kwargs)
            except BaseException as error:
                run.finish(error)
                raise
            setattr(self, _RUN, run)

        return __init__

    def make_step(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(self, *args, **kwargs)
            finally:
                run: Run | None = getattr(self, _RUN, None)
                if run is not None and self.returncode is not None:
                    run.ended(self.returncode)

        return step

    switch.replace(subprocess.Popen, "__init__", make_init)
    for step in ("wait", "poll", "communicate"):
        switch.replace(subprocess.Popen, step, make_step)
    _asyncio_too(switch, begin, traceparent)


def with_trace(env: Mapping[Any, Any] | None, run: Run) -> Mapping[Any, Any]:
    """The environment with our `TRACEPARENT`: a copy, the host's own is not touched."""
    try:
        import os

        return {**(os.environ if env is None else env), VARIABLE: run.traceparent}
    except Exception:
        guard.swallow("instrument subprocess")
        return env  # type: ignore[return-value]


def _asyncio_too(switch: Switch, begin: Callable[[object, bool], Run | None], traceparent: bool) -> None:
    """Programs started with `asyncio.create_subprocess_exec` and `_shell`."""
    import asyncio
    import asyncio.subprocess

    def make_start(original: Callable[..., Any], shell: bool) -> Callable[..., Any]:
        async def start(*args: Any, **kwargs: Any) -> Any:
            run = begin((args[0] if args else kwargs.get("cmd")) if shell else args, shell)
            if run is None:
                return await original(*args, **kwargs)
            if traceparent:
                kwargs["env"] = with_trace(kwargs.get("env"), run)
            token = _by_asyncio.set(True)
            try:
                process = await original(*args, **kwargs)
            except BaseException as error:
                run.finish(error)
                raise
            finally:
                _by_asyncio.reset(token)
            process._protocol.__dict__[_RUN] = run
            run.ended(process.returncode)  # it may be over already
            return process

        return start

    def make_exited(original: Callable[..., Any]) -> Callable[..., Any]:
        def process_exited(self: Any) -> None:
            run: Run | None = getattr(self, _RUN, None)
            if run is not None:
                run.ended(self._transport.get_returncode())
            original(self)

        return process_exited

    for module in (asyncio, asyncio.subprocess):
        switch.replace(module, "create_subprocess_exec", lambda original: make_start(original, False))
        switch.replace(module, "create_subprocess_shell", lambda original: make_start(original, True))
    switch.replace(asyncio.subprocess.SubprocessStreamProtocol, "process_exited", make_exited)
