"""Twelve streams of each provider flavour: the same bytes come out, and the cost is the one worked out by hand."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.support.gateway import KEY, Front, front
from tests.support.gateway_streams import ANTHROPIC, OPENAI, OPENROUTER, Stream, cost_of
from tests.support.model_server import tokens

PATHS = {
    "openai": "openai/v1/chat/completions",
    "openrouter": "openrouter/v1/chat/completions",
    "anthropic": "anthropic/v1/messages",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front(tmp_path_factory.mktemp("gateway") / "home") as found:
        yield found


def through(front: Front, path: str, stream: Stream) -> tuple[bytes, str]:
    """What comes out, as far as it comes, and the id of what is recorded."""
    front.provider.say(stream.reply())
    body = {"model": "test-model", "stream": True, "messages": []}
    if stream.asked and "messages" not in path.split("/")[-1]:
        body["stream_options"] = {"include_usage": True}
    connection = http.client.HTTPConnection(front.at, timeout=30)
    try:
        connection.request("POST", f"/gateway/{path}", json.dumps(body).encode(), {"Authorization": f"Bearer {KEY}"})
        response = connection.getresponse()
        operation_id = response.headers["x-ralex-operation-id"]
        try:
            received = response.read()
        except http.client.IncompleteRead as cut:
            assert stream.cut
            return cut.partial, operation_id
        assert not stream.cut
        return received, operation_id
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("flavour", "streams"), [("openai", OPENAI), ("openrouter", OPENROUTER), ("anthropic", ANTHROPIC)]
)
def test_streams_pass_unchanged_and_cost_what_was_worked_out_by_hand(
    shared: Front, flavour: str, streams: list[Stream]
) -> None:
    assert len(streams) == 12
    ids: list[str] = []
    for stream in streams:
        received, operation_id = through(shared, PATHS[flavour], stream)
        assert received == stream.body, stream.what
        ids.append(operation_id)
    for stream, operation_id in zip(streams, ids, strict=True):
        operation = shared.commits.of(operation_id)
        assert (operation.status, operation.error_type) == (stream.status, stream.error_type), stream.what
        assert tokens(operation) == stream.tokens, stream.what
        assert operation.cost_usd == cost_of(stream), stream.what
        assert operation.cost_basis == ("unknown" if stream.cost is None else stream.basis), stream.what
        assert (operation.model, operation.provider) == ("test-model", flavour), stream.what
        assert "secret" not in repr(operation), stream.what
    shared.host.real.writer.flush()
    stored = dict(
        shared.host.own_store.query(
            "select operation_id, cost_usd from operations where operation_id in (select unnest($ids))", {"ids": ids}
        )
    )
    assert {id: stored[id] for id in ids} == {id: cost_of(stream) for id, stream in zip(ids, streams, strict=True)}


def test_without_asking_the_added_usage_is_taken_out_however_it_is_cut_into_pieces(shared: Front) -> None:
    for stream in OPENAI:
        if "compressed" in stream.what:
            continue  # its bytes cannot be edited; a provider is asked for plain ones
        received, operation_id = through(shared, PATHS["openai"], stream._replace(asked=False))
        events = [
            event for event in stream.body.replace(b"\r\n", b"\n").split(b"\n\n") if b'"choices": []' not in event
        ]
        assert received.replace(b"\r\n", b"\n") == b"\n\n".join(events), stream.what
        assert shared.provider.requests[-1].headers["accept-encoding"] == "identity"
        assert shared.commits.of(operation_id).cost_usd == cost_of(stream), stream.what
