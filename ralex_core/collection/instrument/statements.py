"""SQL statements as names: literals, comments and lists of values removed, so that equal work has an equal name.

A statement is read once, in one pass of a regular expression without backtracking, and remembered: programs execute
the same few texts over and over (`bench/instruments.py` prints both costs).
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, NamedTuple

from ralex_core.collection.prepared import Prepared

MAX_READ = 4096
"""Characters of a statement that are looked at: a longer one is a list of values."""
MAX_NAME = 200
MAX_SAMPLE = 1000
REMEMBERED = 2000
"""Statements remembered per database; a program that writes values into its statements has more, and reads each."""

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)|\#(?=\s)[^\n]*)
    | (?P<text>(?:[NnBb]|[UuEe]&?)?'[^']*(?:'|\Z))
    | (?P<blob>[xX]'[^']*(?:'|\Z))
    | (?P<dollar>\$(?:[A-Za-z_]\w*)?\$)
    | (?P<quoted>"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z))
    | (?P<value>%s|%\(\w+\)s|\?\d*|\$\d+|(?<![:\w]):\w+|@\w+)
    | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>::|->>?|\#>>?|[<>=!]=|<>|\|\||:=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BACKSLASH_TEXT = re.compile(r"'(?:[^'\\]|\\.)*(?:'|\\?\Z)", re.DOTALL)
"""A text in which a backslash escapes: PostgreSQL's E'…', and every text of MySQL."""
_LIST = re.compile(r"\(\?(?:, \?)+\)")
_ROWS = re.compile(r"\(\?\)(?:, \(\?\))+")
_CUT_LIST = re.compile(r"\(\?(?:, \?)*(?:, ?)?\Z")
_COMPARES = frozenset(("=", "==", "<", ">", "<=", ">=", "<>", "!=", "LIKE", "ILIKE", "GLOB"))
_VERBS = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "VALUES"))
_KINDS = {"text": "<text>", "blob": "<blob>", "number": "<number>", "value": "?"}
_NO_SPACE_BEFORE = frozenset((",", ")", ".", ";", "::", "]", "["))
_NO_SPACE_AFTER = frozenset(("(", ".", "::", "["))


class Statement(NamedTuple):
    """What is known of a statement from its text alone."""

    name: str
    """Normalised, at most `MAX_NAME` characters: cut ones end with their hash."""
    operation: str
    """SELECT, INSERT, …; the first word, or what a WITH leads to."""
    hash: str
    """Of the whole normalised text: 16 hexadecimal digits."""


class Known:
    """A statement of a database that was seen before: what every execution of it has in common."""

    __slots__ = ("affected", "attributes", "name", "returned")

    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        self.name = name
        self.attributes = attributes
        self.returned = Prepared(name, "db", {}, attributes, "db.response.returned_rows")
        self.affected = Prepared(name, "db", {}, attributes, "db.response.affected_rows")


class Database:
    """Statements of one database."""

    __slots__ = ("_shared", "backslash", "known")

    def __init__(self, system: str, namespace: str | None) -> None:
        self._shared: dict[str, Any] = {"db.system.name": system}
        if namespace:
            self._shared["db.namespace"] = namespace
        self.backslash = system in ("mysql", "mariadb")
        self.known: dict[str, Known] = {}

    def statement(self, text: str) -> Known:
        """What is known of a statement."""
        known = self.known.get(text)
        return known if known is not None else self._read(text)

    def _read(self, text: str) -> Known:
        key = text if len(text) <= MAX_READ else text[: MAX_READ + 1]  # no more of it is looked at
        known = self.known.get(key)
        if known is None:
            name, operation, digest = normalised(key, backslash=self.backslash)
            known = Known(name, {**self._shared, "db.operation.name": operation, "db.query.hash": digest})
            if len(self.known) >= REMEMBERED:
                self.known.clear()  # cheaper than keeping an order at every execution; what is used comes back at once
            self.known[key] = known
        return known


def normalised(text: str, *, backslash: bool = False) -> Statement:
    """Name, operation and hash of a statement; broken SQL has them too. Costs about 1 µs a word."""
    pieces, verb = _pieces(text, None, backslash)
    name = _joined(pieces)
    name = _ROWS.sub("(?)", _LIST.sub("(?)", name))
    if len(text) > MAX_READ:
        name = _CUT_LIST.sub("(?", name) + "…"
        name = _ROWS.sub("(?)", name)
    name = name or "(empty)"
    digest = blake2b(name.encode("utf-8", "replace"), digest_size=8).hexdigest()
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 10]}…#{digest[:8]}"
    return Statement(name.encode("utf-8", "replace").decode(), verb or "OTHER", digest)


def sample(text: str, *, backslash: bool = False) -> str:
    """The statement with its literals replaced by their kind (`<text>`, `<number>`, `<blob>`), to show a slow one."""
    pieces, _ = _pieces(text, _KINDS, backslash)
    shown = _joined(pieces).encode("utf-8", "replace").decode()
    return shown if len(shown) <= MAX_SAMPLE else shown[: MAX_SAMPLE - 1] + "…"


def _pieces(text: str, kinds: dict[str, str] | None, backslash: bool) -> tuple[list[str], str]:
    """The statement's tokens without space and comments, literals replaced; and its verb in capitals."""
    text = text[:MAX_READ]
    pieces: list[str] = []
    verb, in_values, depth, at = "", False, 0, 0
    end, match = len(text), _TOKEN.match
    while at < end:
        found = match(text, at)
        assert found is not None  # noqa: S101 - the last alternative takes any character
        kind, token, at = found.lastgroup or "other", found.group(), found.end()
        if kind in ("space", "comment") or (not token.isprintable() and kind == "other"):
            continue
        if kind == "dollar":
            close = text.find(token, at)
            at = end if close < 0 else close + len(token)
            kind = "text"
        elif kind == "text" and (backslash or token[0] in "eE"):
            quote = found.start() + token.index("'")
            escaped = _BACKSLASH_TEXT.match(text, quote)
            at = escaped.end() if escaped else end
        elif kind == "quoted" and _is_literal(pieces, in_values, text, at):
            kind = "text"
        elif kind == "word":
            upper = token.upper()
            if depth == 0:
                in_values = upper == "VALUES"
            if not verb or (verb == "WITH" and depth == 0 and upper in _VERBS):
                verb = upper[:30]
        else:
            depth += (token == "(") - (token == ")")  # noqa: S105 - a token of SQL
        if kind in _KINDS:
            token = kinds[kind] if kinds else "?"
            if kind == "text" and pieces and pieces[-1] == token and text[found.start() - 1 : found.start()] == "'":
                continue  # 'it''s': one text
        pieces.append(token)
    return pieces, verb


def _is_literal(pieces: list[str], in_values: bool, text: str, end: int) -> bool:
    """Whether what stands in double quotes is a text, as SQLite and MySQL allow, and not the name of something."""
    if in_values:
        return True
    return bool(pieces) and pieces[-1].upper() in _COMPARES and text[end : end + 1] != "."


def _joined(pieces: list[str]) -> str:
    """Tokens as text, single spaces between them where one reads better with."""
    parts: list[str] = []
    before = "("
    for piece in pieces:
        is_call = piece == "(" and before[-1].isalnum() and before.upper() not in _SPACED
        if before not in _NO_SPACE_AFTER and piece not in _NO_SPACE_BEFORE and not is_call:
            parts.append(" ")
        parts.append(piece)
        before = piece
    return "".join(parts).rstrip("; ")


_SPACED = frozenset(
    [
        "ALL",
        "AND",
        "ANY",
        "AS",
        "BY",
        "CASE",
        "ELSE",
        "EXISTS",
        "FROM",
        "IN",
        "INTO",
        "JOIN",
        "NOT",
        "ON",
        "OR",
        "SELECT",
        "SET",
        "THEN",
        "UNION",
        "USING",
        "VALUES",
        "WHEN",
        "WHERE",
    ]
)
"""Words that are followed by a parenthesis without being functions."""
