"""Valid requests and log files, damaged in seeded ways: no source may answer 5xx, raise, or be late."""

from __future__ import annotations

import argparse
import copy
import gzip
import http.client
import json
import math
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.figure import Figure, report
from ralex_core.collection.importers.registry import all_importers
from ralex_core.errors import RalexError
from tests.support.importing import read_all
from tests.support.load import Batch, litellm_call, native_batch, native_row, otlp_batch, otlp_span, otlp_spans_batch
from tests.support.logs import claude, logs_json, logs_request
from tests.support.metrics import metrics_json, metrics_request, tokens
from tests.support.operations import make_operation
from tests.support.server import HOST, Server, ask

DEADLINE_S = 5.0
"""For one request or file of a few kilobytes; most take a millisecond."""
JSON_TYPE = {"Content-Type": "application/json"}
PROTOBUF_TYPE = {"Content-Type": "application/x-protobuf"}
DEPTHS = (10, 100, 254, 255, 256, 300, 600, 1023, 1024, 1500)
NUMBERS = (0, -1, 1e308, -1e308, 2**31, 2**53, 2**63, 2**64, 10**30, math.nan, math.inf, -math.inf, 0.1, 5e-324)
TEXTS = ("", "\0", "x" * 70_000, "\ud800", "<script>", "eyJ" + "a" * 2000, "NaN", "-", "a" * 200 + "@", "\U0010ffff")


class Case(NamedTuple):
    """What one damaged request or file came to."""

    source: str
    what: str
    outcome: str
    bad: bool


def damaged(rng: random.Random, value: Any) -> Any:
    """A copy of a JSON value with one to three things changed in it."""
    changed = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(changed))
        if not places:
            return _hostile(rng)
        holder, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                holder[key] = _hostile(rng)
            case 1 if isinstance(holder, dict):
                holder[rng.choice(TEXTS) + str(rng.randrange(9))] = holder.pop(key)
            case 2 if isinstance(holder, dict):
                del holder[key]
            case 3 if isinstance(holder, dict):
                holder.update({f"k{number}": rng.choice((0, "v", None)) for number in range(1500)})
            case 4:
                holder[key] = [holder[key]] * rng.choice((0, 1, 2, 50))
            case _:
                holder[key] = {"stringValue": _hostile(rng)} if rng.random() < 0.3 else {str(key): holder[key]}
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield value, key
        yield from _places(below)


def _hostile(rng: random.Random) -> Any:
    match rng.randrange(5):
        case 0:
            return rng.choice(NUMBERS)
        case 1:
            return rng.choice(TEXTS)
        case 2:
            return _Nested(rng.choice(DEPTHS), rng.choice("[{"))
        case 3:
            return rng.choice((None, True, False, [], {}, [[]], {"": {}}))
        case _:
            return [rng.choice((1, "a", None))] * rng.choice((1, 10, 2000))


class _Nested(NamedTuple):
    """Brackets too deep for Python's own writer; put into the text afterwards."""

    depth: int
    bracket: str

    def text(self) -> str:
        if self.bracket == "[":
            return "[" * self.depth + "]" * self.depth
        return '{"a":' * self.depth + "1" + "}" * self.depth


def to_text(value: Any) -> bytes:
    """JSON with NaN, lone surrogates and deep nesting where they were put."""
    if isinstance(value, _Nested):
        return value.text().encode()
    if isinstance(value, dict):
        return b"{" + b",".join(_quoted(key) + b":" + to_text(below) for key, below in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(to_text, value)) + b"]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value).encode()


def _quoted(text: str) -> bytes:
    return json.dumps(text).encode()


def twice(rng: random.Random, text: bytes) -> bytes:
    """Every key of a short object a second time, now and then: duplicates are for the reader to decide."""
    return text.replace(b'"name":', b'"name":7,"name":') if rng.random() < 0.05 else text


def flipped(rng: random.Random, data: bytes) -> bytes:
    """Bytes changed, cut out, repeated or cut off."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(5):
            case 0:
                found[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del found[at : at + rng.randrange(1, 40)]
            case 2:
                found[at:at] = found[max(0, at - 30) : at] * rng.randrange(1, 20)
            case 3:
                del found[at:]
            case _:
                found[at:at] = rng.randbytes(rng.randrange(1, 12))
    return bytes(found)


def samples(rng: random.Random) -> dict[str, Batch]:
    """One valid request for every HTTP source, by the source's name."""
    now_us = time.time_ns() // 1000 - rng.randrange(10**9)

    def call(**changed: Any) -> Any:
        return make_operation(
            f"{rng.getrandbits(128):032x}",
            started_at=now_us,
            trace_id=f"{rng.getrandbits(128):032x}",
            span_id=f"{rng.getrandbits(64):016x}",
            attributes='{"a":{"b":[1,2]},"c":"text"}',
            **changed,
        )

    rows = [native_row(call()) for _ in range(3)]
    table = {"common": {"name": "chat", "kind": "llm"}, "columns": ["started_at", "input_tokens", "attributes.x"]}
    used = {"model": "claude-sonnet-4-5", "input_tokens": 12, "output_tokens": 3, "cost_usd": 0.1, "prompt": "hello"}
    logs = logs_request(claude("api_request", used), claude("user_prompt", {"prompt": "hello"}))
    metrics = metrics_request(tokens("input", 5), tokens("output", 7))
    spans = [otlp_span(call()) for _ in range(3)]
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "stream": False, "max_tokens": 5}

    def batch(path: str, value: Any, headers: dict[str, str] = JSON_TYPE) -> Batch:
        return Batch(path, headers, value if isinstance(value, bytes) else to_text(value), ())

    lines = b"\n".join(map(to_text, rows))
    return {
        "native": batch("/api/v1/operations", rows),
        "native, one": batch("/api/v1/operations", rows[0]),
        "native, table": batch("/api/v1/operations", {**table, "rows": [[now_us, 5, "x"], [now_us, 6, None]]}),
        "native, lines": batch("/api/v1/operations", lines, {"Content-Type": "application/x-ndjson"}),
        "litellm": batch("/api/v1/litellm", [litellm_call(call()), litellm_call(call(status="error"))]),
        "otlp traces, JSON": otlp_spans_batch(spans, as_json=True),
        "otlp traces, protobuf": otlp_batch(rng, 3, now_us),
        "otlp logs, JSON": batch("/v1/logs", logs_json(logs)),
        "otlp logs, protobuf": batch("/v1/logs", logs.SerializeToString(), PROTOBUF_TYPE),
        "otlp metrics, JSON": batch("/v1/metrics", metrics_json(metrics)),
        "otlp metrics, protobuf": batch("/v1/metrics", metrics.SerializeToString(), PROTOBUF_TYPE),
        "gateway": batch("/gateway/openai/v1/chat/completions", chat),
        "budgets": batch("/api/v1/budgets", {"name": "b", "scope": "all", "period": "day", "hard_usd": "5"}),
    }


def mutated(rng: random.Random, sample: Batch) -> Batch:
    """The request with its JSON, its bytes or its compression damaged."""
    body, headers = sample.body, dict(sample.headers)
    if headers["Content-Type"] != "application/x-protobuf" and rng.random() < 0.75:
        lines = [json.loads(line) for line in body.split(b"\n")]
        body = b"\n".join(twice(rng, to_text(damaged(rng, line))) for line in lines)
    else:
        body = flipped(rng, body)
    if rng.random() < 0.15 and not sample.path.startswith("/gateway"):
        headers["Content-Encoding"] = "gzip"
        members = [gzip.compress(body, 1)] * rng.choice((1, 1, 2)) + [gzip.compress(b"")] * rng.choice((0, 0, 1, 500))
        body = b"".join(members) if rng.random() < 0.7 else flipped(rng, b"".join(members))
    return Batch(sample.path, headers, body, ())


class Sender:
    """Sends damaged requests on one connection, and says what came of each."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(HOST, self._server.port, timeout=DEADLINE_S)

    def close(self) -> None:
        self._connection.close()

    def send(self, source: str, batch: Batch, number: int) -> Case:
        """An upstream that cannot be reached is the gateway's 502, and no fault of it."""
        try:
            answer = ask(self._connection, "POST", batch.path, batch.body, batch.headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._server.close_process()  # one that hangs answers nothing more: the rest is sent to another
            self._server.start()
            self._connection = self._connect()
            return Case(source, f"number {number}", type(error).__name__, bad=True)
        fine = answer.status < 500 or (source == "gateway" and answer.status == 502)
        return Case(source, f"number {number}: {answer.body[:200]!r}", str(answer.status), bad=not fine)


def http_cases(server: Server, seed: int, each: int) -> Iterator[Case]:
    """`each` damaged requests for every source. Case n of a source depends on the seed and n alone."""
    with closing(Sender(server)) as sender:
        for source in samples(random.Random(seed)):
            for number in range(each):
                rng = random.Random(f"{seed} {source} {number}")
                yield sender.send(source, mutated(rng, samples(rng)[source]), number)


def import_cases(directory: Path, seed: int, each: int) -> Iterator[Case]:
    """`each` damaged files for every importer."""
    whole = native_batch(random.Random(seed), 5, 1_790_000_000_000_000).body
    rows = json.loads(whole if whole[:1] == b"[" else gzip.decompress(whole).splitlines()[0])
    rows = rows if isinstance(rows, list) else [rows]
    claude = {
        "type": "assistant", "uuid": "u", "sessionId": "s", "timestamp": "2026-09-21T14:13:20.000Z", "cwd": "/w",
        "message": {"id": "m", "model": "claude-sonnet-4-5", "role": "assistant",
                    "usage": {"input_tokens": 5, "output_tokens": 7}, "content": [{"type": "text", "text": "hi"}]},
    }  # fmt: skip
    aider = {
        "event": "message_send", "properties": {"main_model": "gpt-4o", "prompt_tokens": 5, "completion_tokens": 7,
        "total_tokens": 12, "cost": 0.1, "total_cost": 0.1}, "user_id": "u", "time": 1_790_000_000,
    }  # fmt: skip
    for importer in all_importers():
        for number in range(each):
            rng = random.Random(f"{seed} {importer.name} {number}")
            if importer.name == "tabular":
                header, values = ",".join(rows[0]), ",".join(str(value) for value in rows[0].values())
                suffix, body = ".csv", flipped(rng, f"{header}\n{values}\n{values}\n".encode())
            else:
                known = {"claude-code": claude, "aider": aider}.get(importer.name, rows[0])
                body = b"\n".join(to_text(damaged(rng, known)) for _ in range(3)) + b"\n"
                suffix, body = ".jsonl", body if rng.random() < 0.7 else flipped(rng, body)
            path = directory / f"{importer.name}{suffix}"
            path.write_bytes(body)
            yield _read(importer, path, number)


def _read(importer: Any, path: Path, number: int) -> Case:
    what = f"number {number}"
    try:
        with deadline(DEADLINE_S):
            operations, rejects = read_all(importer, path)
    except RalexError as error:
        return Case(f"import {importer.name}", what, type(error).__name__, bad=False)
    except Exception as error:  # whatever else comes out is the fault that is looked for
        return Case(f"import {importer.name}", f"{what}: {error!r}"[:300], type(error).__name__, bad=True)
    outcome = "taken" if operations else "rejected" if rejects else "nothing"
    return Case(f"import {importer.name}", what, outcome, bad=False)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the main thread when the block takes longer."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


UNREACHABLE = {"RALEX_MONITOR_UPSTREAMS": json.dumps({"openai": {"url": "http://127.0.0.1:9/v1"}})}


def attack(directory: Path, seed: int, each: int, note: Callable[[Case], object]) -> None:
    """Everything there is to damage, `each` times, against a server of its own."""
    server = Server(directory / "home", extra_environment=UNREACHABLE)
    try:
        server.start()
        for case in http_cases(server, seed, each):
            note(case)
        assert server.request("GET", "/readyz").status == 200, server.log()
    finally:
        server.close()
    for case in import_cases(directory, seed, each):
        note(case)


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.mutate", description=__doc__)
    parser.add_argument("--each", type=int, default=20_000, help="damaged inputs per source")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}")
    outcomes: dict[str, Counter[str]] = {}
    bad: list[Case] = []

    def note(case: Case) -> None:
        outcomes.setdefault(case.source, Counter())[case.outcome] += 1
        if case.bad:
            bad.append(case)

    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        attack(Path(directory), given.seed, given.each, note)
    for source, counts in outcomes.items():
        print(f"{source:<26} {dict(counts.most_common())}")
    for case in bad[:30]:
        print(case)
    figures = [
        Figure("damaged inputs", sum(sum(counts.values()) for counts in outcomes.values()), ""),
        Figure("damaged inputs, 5xx, hangs and exceptions", len(bad), ""),
    ]
    report(figures, given.json)
    if bad:
        raise SystemExit(f"{len(bad)} inputs were not answered as they must be.")
    return figures


if __name__ == "__main__":
    run()
