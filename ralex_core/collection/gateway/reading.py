"""What passes by of an answer, read beside the bytes: its usage, its ids, and whether it got to its end.

Memory is bounded whatever comes: an event or a body that is very long is kept at both ends, which is where providers
put what is looked for.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any, cast

import orjson

from ralex_core.collection.llm_answer import Answer
from ralex_core.collection.request_body import GZIP_MEMBER

MAX_PARSED = 256 * 1024
"""Bytes of one event or one body that are parsed as a whole."""
HEAD_KEPT = 8 * 1024
TAIL_KEPT = 64 * 1024
_UNPACKED_AT_ONCE = 256 * 1024
_GZIP_OR_ZLIB = GZIP_MEMBER + 16
_decoder = json.JSONDecoder()
_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_STATUS = re.compile(rb'"status"\s*:\s*"(completed|incomplete|failed)"')
_END_OF_RESPONSE = re.compile(rb'"type"\s*:\s*"(response\.(?:completed|incomplete|failed))"')
_TEXT_FIELD = rb'"%s"\s*:\s*"((?:[^"\\]|\\.){1,256})"'
_NAMES = {name: re.compile(_TEXT_FIELD % name.encode()) for name in ("id", "model", "service_tier", "provider")}


class EventReader:
    """Tells an answer of the events of a stream (`text/event-stream`), whatever pieces they come in."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._rest = b""
        self._cut_out = False
        self.first_part = False
        """Whether a part of the answer itself has come."""

    def feed(self, data: bytes) -> None:
        """The next bytes. Costs about two microseconds an event."""
        if self._rest:
            data = self._rest + data
        if b"\r" in data:
            held = b"\r" if data.endswith(b"\r") else b""  # its newline may follow
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        events = data.split(b"\n\n")
        rest = events.pop()
        for event in events:
            self._event(event)
        if len(rest) > MAX_PARSED:
            rest = rest[:HEAD_KEPT] + rest[-TAIL_KEPT:]
            self._cut_out = True
        self._rest = rest

    def end(self) -> None:
        """There is no more; a last event that no blank line ended counts, if it is whole."""
        rest, self._rest = self._rest, b""
        if rest.strip():
            self._event(rest.replace(b"\r", b"\n"))

    def _event(self, event: bytes) -> None:
        cut_out, self._cut_out = self._cut_out, False
        if event[:5] == b"data:" and b"\n" not in event:
            payload = event[5:]
        else:
            lines = event.split(b"\n")
            payload = b"\n".join(line[5:] for line in lines if line[:5] == b"data:")
        payload = payload.strip()
        if payload[:1] != b"{":
            if payload == b"[DONE]":
                self._answer.is_complete = True
            return
        if cut_out:
            self._long_event(payload)
            return
        try:
            parsed: Any = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        if self._answer.add(parsed):
            self.first_part = True

    def _long_event(self, ends: bytes) -> None:
        """An event too long to be parsed: a large part of the answer, or the end of it with all of it inside."""
        self.first_part = True
        found = _ends(ends)
        if self._answer.flavour == "responses":
            kind = _END_OF_RESPONSE.search(ends[:HEAD_KEPT])
            if kind is not None:
                self._answer.add({"type": kind[1].decode(), "response": found})
        elif found.get("usage") is not None:
            self._answer.add({**found, "choices": []})


class BodyReader:
    """Tells an answer of a body that came in one piece of JSON, however large."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._parts: list[bytes] = []
        self._size = 0
        self._tail: bytes | None = None

    def feed(self, data: bytes) -> None:
        if self._tail is not None:
            self._tail = (self._tail + data)[-TAIL_KEPT:]
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_PARSED:
            whole = b"".join(self._parts)
            self._parts, self._tail = [whole[:HEAD_KEPT]], whole[-TAIL_KEPT:]

    def end(self) -> None:
        """The body is complete."""
        if self._tail is not None:
            self._answer.whole(_ends(self._parts[0] + self._tail))
            return
        try:
            parsed: Any = orjson.loads(b"".join(self._parts))
        except orjson.JSONDecodeError:
            return
        if isinstance(parsed, dict):
            self._answer.whole(parsed)

    @property
    def start(self) -> bytes:
        """The beginning of the body, all of a short one."""
        return b"".join(self._parts)


Reader = EventReader | BodyReader


class Unpacked:
    """A reader of a body that was compressed: the caller gets it as it came, and a copy is unpacked on the side."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._unpacking: Any = zlib.decompressobj(_GZIP_OR_ZLIB)

    def feed(self, data: bytes) -> None:
        try:
            while data:
                self.reader.feed(self._unpacking.decompress(data, _UNPACKED_AT_ONCE))
                data = self._unpacking.unconsumed_tail
                if self._unpacking.eof:
                    data = self._unpacking.unused_data
                    if data:
                        self._unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
        except zlib.error:
            self._unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)  # what cannot be unpacked is not known

    def end(self) -> None:
        self.reader.end()


class WithoutAddedUsage:
    """Takes the chunk that only came because the gateway asked for it out of a chat stream.

    Whole events go on as they came. What follows the last boundary waits for the rest of its event, unless it is
    longer than such a chunk ever is.
    """

    LONGEST = 16 * 1024

    def __init__(self) -> None:
        self._rest = b""
        self._passing = False

    def feed(self, data: bytes) -> bytes:
        """What of it is for the caller now; may be empty."""
        data = self._rest + data
        kept: list[bytes] = []
        at = 0
        for boundary in _BOUNDARY.finditer(data):
            event = data[at : boundary.end()]
            at = boundary.end()
            if self._passing or not _is_added(event):
                kept.append(event)
            self._passing = False
        rest = data[at:]
        if self._passing or len(rest) > self.LONGEST:
            kept.append(rest)
            self._passing, rest = True, b""
        self._rest = rest
        return kept[0] if len(kept) == 1 else b"".join(kept)

    def end(self) -> bytes:
        """What was still waiting."""
        rest, self._rest = self._rest, b""
        return b"" if rest and _is_added(rest) else rest


def _is_added(event: bytes) -> bool:
    if b'"usage"' not in event or _NO_CHOICES.search(event) is None:
        return False
    payload = b"".join(line[5:] for line in event.splitlines() if line[:5] == b"data:")
    try:
        parsed: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(parsed, dict):
        return False
    chunk = cast("dict[str, Any]", parsed)
    return chunk.get("choices") == [] and chunk.get("usage") is not None


def _ends(ends: bytes) -> dict[str, Any]:
    """What can be told from the beginning and the end of a very long object: its names, and its usage."""
    found: dict[str, Any] = {}
    head = ends[:HEAD_KEPT]
    for name, pattern in _NAMES.items():
        match = pattern.search(head)
        if match is not None:
            found[name] = match[1].decode("utf-8", "replace")
    usage = _last_object(ends[-TAIL_KEPT:].decode("utf-8", "replace"), '"usage"')
    if usage is not None:
        found["usage"] = usage
    status = _STATUS.findall(ends)
    if status:
        found["status"] = status[-1].decode()
    return found


def _last_object(text: str, key: str) -> Any:
    """The object behind the last place a key is written at; None when there is none that is whole."""
    at = text.rfind(key)
    while at >= 0:
        begin = text.find("{", at)
        if begin >= 0 and text[at + len(key) : begin].strip(" \t\r\n") == ":":
            try:
                return _decoder.raw_decode(text, begin)[0]
            except ValueError:
                pass
        at = text.rfind(key, 0, at)
    return None
