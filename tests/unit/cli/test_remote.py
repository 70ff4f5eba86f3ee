"""Talking to a server: every way it can answer, or not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ralex_core.cli.remote import RunningServer, ServerDoor, running_server
from ralex_core.collection.redaction import Redaction
from ralex_core.config import Settings
from ralex_core.errors import ConfigError, IntakeFull, RalexError, ServerUnreachable
from ralex_core.model.operation import Operation
from ralex_core.runtime.server_file import write_server_file


class Scripted(HTTPServer):
    """Answers every request with the next of `answers`: (status, body, headers). Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes, dict[str, str]]] = []
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def will_answer(self, status: int, document: Any, **headers: str) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, body, dict(self.headers)))
        status, answer, headers = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(scripted: Scripted) -> Iterator[RunningServer]:
    client = RunningServer(scripted.url, "secret-secret-secret")
    yield client
    client.close()


def operation(number: int) -> Operation:
    return Operation(f"op-{number}", "llm", "chat", 1_790_000_000_000_000 + number)


def test_an_answer_is_taken_out_of_its_envelope(scripted: Scripted, client: RunningServer) -> None:
    scripted.will_answer(200, {"data": {"a": 1}})
    scripted.will_answer(200, {"operations": 3})
    assert client.get("/x") == {"a": 1}
    assert client.get("/y") == {"operations": 3}
    assert [asked[:2] for asked in scripted.asked] == [("GET", "/x"), ("GET", "/y")]
    assert scripted.asked[0][3]["Authorization"] == "Bearer secret-secret-secret"


def test_a_refusal_is_the_server_s_own_sentence(scripted: Scripted, client: RunningServer) -> None:
    scripted.will_answer(400, {"error": {"code": "x", "message": "Send less."}})
    with pytest.raises(RalexError, match=r"^Send less\.$"):
        client.get("/x")


def test_a_missing_token_says_which_variable(scripted: Scripted, client: RunningServer) -> None:
    scripted.will_answer(401, {"error": {"code": "x", "message": "A token is needed."}})
    with pytest.raises(RalexError, match="RALEX_MONITOR_TOKEN"):
        client.get("/x")


@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff"])
def test_something_that_is_no_monitor_is_recognised(scripted: Scripted, client: RunningServer, body: bytes) -> None:
    scripted.will_answer(200, body)
    with pytest.raises(RalexError, match="Is it a Ralex Monitor"):
        client.get("/x")


@pytest.mark.parametrize("document", [{}, [], {"error": "text"}, None])
def test_an_error_of_another_shape_names_the_status(scripted: Scripted, client: RunningServer, document: Any) -> None:
    scripted.will_answer(500, document)
    with pytest.raises(RalexError, match="500"):
        client.get("/x")


def test_a_full_server_says_when_to_come_back(scripted: Scripted, client: RunningServer) -> None:
    scripted.will_answer(503, {"error": {"message": "Full."}}, Retry_After="7")
    with pytest.raises(IntakeFull) as caught:
        client.send(b"{}\n")
    assert caught.value.retry_after_s == 7


def test_nobody_listening_says_how_to_start_one() -> None:
    with pytest.raises(ServerUnreachable, match="ralex-monitor serve"):
        RunningServer("http://127.0.0.1:1").get("/x")


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http:///path"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ServerUnreachable, match="is not an address"):
        RunningServer(url)


def test_operations_are_sent_as_an_importer_s(scripted: Scripted, client: RunningServer) -> None:
    door = ServerDoor(client, Redaction())
    scripted.will_answer(200, {"data": {"accepted": 1, "duplicates": 1, "rejected": []}})
    result = door.submit([operation(1), operation(2)]).result()
    assert (result.inserted, result.duplicates, result.expired) == (1, 1, 0)
    method, path, body, headers = scripted.asked[0]
    assert (method, path, headers["X-Ralex-Door"]) == ("POST", "/api/v1/operations", "importer")
    assert [json.loads(line)["operation_id"] for line in body.splitlines()] == ["op-1", "op-2"]
    assert door.submit([]).result().inserted == 0
    door.close()


def test_a_full_server_is_waited_for(scripted: Scripted, client: RunningServer) -> None:
    door = ServerDoor(client, Redaction())
    scripted.will_answer(503, {"error": {"message": "Full."}}, Retry_After="0")
    scripted.will_answer(200, {"data": {"accepted": 1, "duplicates": 0, "rejected": []}})
    assert door.submit([operation(1)]).result().inserted == 1
    door.close()


def test_a_refused_operation_is_an_error_and_an_expired_one_is_not(scripted: Scripted, client: RunningServer) -> None:
    door = ServerDoor(client, Redaction())
    expired = {"index": 0, "reason": "started_at: it is older than what is kept (retention_days)"}
    scripted.will_answer(200, {"data": {"accepted": 1, "duplicates": 0, "rejected": [expired]}})
    assert door.submit([operation(1), operation(2)]).result().expired == 1
    wrong = {"index": 1, "reason": "name: too long"}
    scripted.will_answer(200, {"data": {"accepted": 0, "duplicates": 0, "rejected": [expired, wrong]}})
    with pytest.raises(RalexError, match=r"op-2: name: too long"):
        door.submit([operation(1), operation(2)]).result()
    door.close()


def test_a_download_appears_only_when_it_is_complete(scripted: Scripted, client: RunningServer, tmp_path: Path) -> None:
    scripted.will_answer(200, b"archive" * 1000)
    client.download("/backup", tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == b"archive" * 1000
    scripted.will_answer(507, {"error": {"message": "The disk is full."}})
    with pytest.raises(RalexError, match="disk is full"):
        client.download("/backup", tmp_path / "c.zip")
    with pytest.raises(ConfigError, match="exists already"):
        client.download("/backup", tmp_path / "b.zip")
    assert [file.name for file in tmp_path.iterdir()] == ["b.zip"]


def test_the_owner_of_a_data_directory_is_found(scripted: Scripted, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert running_server(settings) is None
    write_server_file(tmp_path, "127.0.0.1", scripted.server_port)
    scripted.will_answer(200, {"operations": 0})
    found = running_server(settings)
    assert found is not None
    assert found.url == scripted.url
    found.close()


def test_a_file_that_a_killed_server_left_does_not_count(tmp_path: Path) -> None:
    write_server_file(tmp_path, "127.0.0.1", 1)
    assert running_server(Settings(home=tmp_path)) is None
