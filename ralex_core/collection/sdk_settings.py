"""The SDK's settings as people write them: what can be repaired is, and what cannot is said once and replaced.

Nothing here raises. What is said names the setting, what is wrong with it, what is used in its place and how to correct
it; never a token, a password or a query.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from ralex_core.collection.guard import guard

ENV_PREFIX = "RALEX_MONITOR_"
EXAMPLE = "http://127.0.0.1:8000"
OPERATIONS_PATH = "/api/v1/operations"
OFF = ("off", "0", "false", "no")
ON = ("on", "1", "true", "yes")
NAMES = ("ENDPOINT", "TOKEN", "SPOOL_MB", "HOME", "SDK", "SERVICE", "PROJECT", "CLIENT", "USER", "SESSION")
"""What the SDK reads; the server reads names of its own."""
MAX_SPOOL_MB = 2.0**20
MAX_SHOWN = 100
LOOPBACK = ("localhost", "::1")


def env(variable: str) -> str:
    """A variable of the environment without blanks around it; "" when it is not set."""
    return os.environ.get(ENV_PREFIX + variable, "").strip()


def shown(value: object) -> str:
    """A value as a line may show it: short, printable, and without what may be a password."""
    text = value if isinstance(value, str) else type(value).__name__
    text = re.split(r"[?#]", text, maxsplit=1)[0].rpartition("@")[2] or "…"
    return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


def say(setting: str, problem: str) -> None:
    """Say once per process what is wrong with a setting."""
    guard.say(f"setting {setting}", f"{setting} {problem}")


def endpoint_of(value: Any, setting: str) -> str | None:
    """The address of a monitor, repaired where it can be; None, said on stderr, where it cannot."""
    try:
        return _endpoint_of(value, setting)
    except (TypeError, ValueError):
        say(
            setting,
            f"is {shown(value)}, which is not the address of a monitor. Operations wait in the spool until a right "
            f"one is there. Set it to one such as {EXAMPLE}.",
        )
        return None


def _endpoint_of(value: Any, setting: str) -> str:
    if not isinstance(value, str):
        raise TypeError
    given = text = value.strip()
    if "://" not in text:
        text = "http://" + text.lstrip("/")
    parts = urlsplit(text)
    host, port = parts.hostname, parts.port
    if parts.scheme not in ("http", "https") or not host or port == 0 or not re.fullmatch(r"[\w.:%-]+", host):
        raise ValueError
    if given.startswith("/") or not text.isascii() or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError
    path = parts.path.rstrip("/").removesuffix(OPERATIONS_PATH)
    name = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{name}{'' if port is None else f':{port}'}{path}"
    problems: list[str] = []
    if text != given:
        problems.append("names no http:// or https://")
    if parts.username or parts.password:
        problems.append(f"has a user or password, which are not used (a token goes in {ENV_PREFIX}TOKEN)")
    if parts.query or parts.fragment:
        problems.append("has a query or fragment, which is not used")
    if path != parts.path.rstrip("/"):
        problems.append("names the path of the API, which is added anyway")
    if problems:
        say(setting, f"is {shown(given)}: it {', '.join(problems)}. {url} is used. Set it to {url}.")
    return url


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    return host in LOOPBACK or host.startswith("127.")


def number_of(value: Any, setting: str, default: float, *, least: float, most: float) -> float:
    """A number between bounds; the default, said on stderr, for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if least <= number <= most and not isinstance(value, bool):
        return number
    say(
        setting,
        f"is {shown(str(value) if isinstance(value, int | float) else value)}, which is not a number from {least:g} "
        f"to {most:g}. {default:g} is used. Correct it or leave it out.",
    )
    return default


def switch_of(value: Any, setting: str, *, default: bool) -> bool:
    """On or off, also in words; the default, said on stderr, for other words."""
    word = str(value).strip().lower() if isinstance(value, str | bool | int) else ""
    if word in OFF or word in ON:
        return word in ON
    if value is not None and value != "":
        used = "on" if default else "off"
        say(setting, f"is {shown(value)}, neither on nor off. {used} is used. Set it to on or off.")
    return default


def directory_of(value: Any, setting: str, default: Path) -> Path:
    """A path; the default, said on stderr, for what is none."""
    try:
        text = value if isinstance(value, str) else str(value) if isinstance(value, PurePath) else ""
        if "\0" in text or not text.strip():
            raise ValueError(value)
        return Path(text).expanduser()
    except (TypeError, ValueError, RuntimeError):
        say(setting, f"is {shown(value)}, which is not the path of a directory. {default} is used. Correct it.")
        return default


def home_of() -> Path:
    """The data directory: `RALEX_MONITOR_HOME`, else `~/.ralex-monitor`."""
    try:
        usual = Path("~/.ralex-monitor").expanduser()
    except RuntimeError:  # nobody knows this user's home
        usual = Path(".ralex-monitor").absolute()
    given = env("HOME")
    return directory_of(given, ENV_PREFIX + "HOME", usual) if given else usual


def token_of(value: Any, setting: str) -> str | None:
    """A bearer token; None, said on stderr, for what cannot stand in a header."""
    token = value.strip() if isinstance(value, str) else value
    if isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token:
        return token or None
    say(
        setting,
        "is not a token: one is a text without blanks, line breaks and letters beyond ASCII. None is sent. Set it to "
        "the token the monitor was started with.",
    )
    return None


def say_unknown_names(environment: Mapping[str, str]) -> None:
    """Say which names look like a misspelt setting of the SDK. What the server or nobody knows is left alone."""
    unknown = sorted(
        name
        for name in environment
        if name.upper().startswith(ENV_PREFIX) and "__" not in name and name.removeprefix(ENV_PREFIX) not in NAMES
    )
    if not unknown:
        return
    from difflib import get_close_matches  # only a program that has such names pays for it

    for name in unknown[:20]:
        close = get_close_matches(name.upper().removeprefix(ENV_PREFIX), NAMES, n=1, cutoff=0.75)
        if close:
            say(name[:MAX_SHOWN], f"is not a setting and is not used. Is {ENV_PREFIX}{close[0]} meant?")
