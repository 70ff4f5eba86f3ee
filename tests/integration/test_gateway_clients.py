"""The SDKs people use, through the gateway, by nothing but a base URL: what they get is what the provider said."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest

from ralex_core.model.operation import Operation
from tests.support.gateway import KEY, Front, front
from tests.support.gateway_streams import ANTHROPIC, OPENAI
from tests.support.model_server import (
    EMBEDDINGS,
    HUNG_UP,
    SOON,
    Raw,
    Streamed,
    Whole,
    anthropic_error,
    chat,
    message,
    openai_error,
    response,
    response_stream,
    text_completion,
    tokens,
)

ASK: dict[str, Any] = {"model": "test-model", "messages": [{"role": "user", "content": "a secret prompt"}]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front(tmp_path_factory.mktemp("gateway") / "home") as found:
        yield found


@pytest.fixture
def taken(shared: Front) -> Iterator[Front]:
    """The gateway with nothing recorded yet."""
    shared.commits.operations.clear()
    yield shared


def costs(operations: list[Operation]) -> list[Decimal | None]:
    """What operations cost, in ascending order, and None for each whose cost is not known."""
    known = sorted(operation.cost_usd for operation in operations if operation.cost_usd is not None)
    return [*known, *([None] * (len(operations) - len(known)))]


def test_openais_sdk_whole_streamed_and_failing(taken: Front) -> None:
    with openai.OpenAI(base_url=taken.url() + "/v1", api_key=KEY, default_headers={"X-Ralex-User": "ann"}) as client:
        taken.provider.say(Whole(chat(model="test-model")))
        assert client.chat.completions.create(**ASK).choices[0].message.content == "a secret answer"

        taken.provider.say(OPENAI[1].reply())
        chunks = list(client.chat.completions.create(stream=True, **ASK))
        assert all(chunk.choices for chunk in chunks)  # the usage it did not ask for is not there
        taken.provider.say(OPENAI[1].reply())
        options: Any = {"include_usage": True}
        (*_, last) = client.chat.completions.create(stream=True, stream_options=options, **ASK)
        assert last.usage is not None and last.usage.prompt_tokens == 1000

        taken.provider.say(
            openai_error(429, "rate_limit_error"), openai_error(503, "busy"), Whole(chat(model="test-model"))
        )
        client.chat.completions.create(**ASK)
        taken.provider.say(openai_error(401, "invalid_request_error", "invalid_api_key"))
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(**ASK)
        taken.provider.say(Raw([], close=True), Raw([], close=True))
        with pytest.raises(openai.InternalServerError, match="closed the connection"):
            client.with_options(max_retries=0).chat.completions.create(**ASK)

    found = sorted(taken.commits.the(8), key=lambda operation: operation.operation_id)
    assert {(operation.user_id, operation.client) for operation in found} == {("ann", "openai-sdk")}
    assert costs(found) == [Decimal("0.0038")] * 4 + [None] * 4
    assert sorted(operation.attempt for operation in found) == [1] * 6 + [2, 3]
    errors = sorted(operation.error_type for operation in found if operation.error_type)
    assert errors == ["busy", "invalid_request_error", "rate_limit_error", "upstream_closed"]


def test_openais_sdk_on_its_other_routes(taken: Front) -> None:
    with openai.OpenAI(base_url=taken.url() + "/v1", api_key=KEY) as client:
        taken.provider.say(Whole(response(model="test-model")))
        assert client.responses.create(model="test-model", input="a secret").output_text == "a secret answer"
        taken.provider.say(Streamed(response_stream(model="test-model")))
        events = list(client.responses.create(model="test-model", input="a secret", stream=True))
        assert events[-1].type == "response.completed"
        taken.provider.say(Whole(text_completion(model="test-model")))
        client.completions.create(model="test-model", prompt="a secret")
        taken.provider.say(Whole({**EMBEDDINGS, "model": "test-model"}))
        client.embeddings.create(model="test-model", input="a secret")
        taken.provider.say(Whole({"object": "list", "data": []}))
        assert list(client.models.list()) == []
    found = {operation.name: operation for operation in taken.commits.the(4)}
    assert set(found) == {"responses", "text_completion", "embeddings"}
    # 200 × 2 + 800 × 0.5 + 300 × 10; 7 × 2 + 5 × 10 (millionths of a dollar)
    assert costs([operation for operation in taken.commits.the(4) if operation.name == "responses"]) == [
        Decimal("0.0038"),
        Decimal("0.0038"),
    ]
    assert found["text_completion"].cost_usd == Decimal("0.000064")
    assert tokens(found["embeddings"])[0] == 8


async def test_openais_asynchronous_sdk_closing_a_stream_early(taken: Front) -> None:
    async with openai.AsyncOpenAI(base_url=taken.url() + "/v1", api_key=KEY) as client:
        taken.provider.hung_up.clear()
        begun = OPENAI[0].reply()
        taken.provider.say(Raw([*begun.parts[:2], HUNG_UP], close=True))
        async with await client.chat.completions.create(stream=True, **ASK) as stream:
            async for _ in stream:
                break
    assert taken.provider.hung_up.wait(20)
    (operation,) = taken.commits.the(1)
    assert (operation.status, operation.error_type, operation.cost_usd) == ("cancelled", "client_closed", None)


def test_anthropics_sdk_whole_streamed_and_failing(taken: Front) -> None:
    with anthropic.Anthropic(base_url=taken.url("anthropic"), api_key=KEY) as client:
        ask = {**ASK, "max_tokens": 50}
        taken.provider.say(Whole(message(model="test-model")))
        assert client.messages.create(**ask).usage.output_tokens == 50
        taken.provider.say(ANTHROPIC[0].reply())
        with client.messages.stream(**ask) as stream:
            assert stream.get_final_message().usage.output_tokens == 7
        taken.provider.say(anthropic_error(529, "overloaded_error"), Whole(message(model="test-model"), headers=SOON))
        client.messages.create(**ask)
        taken.provider.say(Whole({"input_tokens": 9}))
        assert client.messages.count_tokens(model="test-model", messages=ask["messages"]).input_tokens == 9
        taken.provider.say(anthropic_error(400, "invalid_request_error"))
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(**ask)
    found = taken.commits.the(6)
    assert costs(found) == [Decimal("0.00015"), Decimal("0.0019"), Decimal("0.0019"), None, None, None]
    assert {operation.error_type for operation in found} == {None, "overloaded_error", "invalid_request_error"}
    assert {(operation.provider, operation.client) for operation in found} == {("anthropic", "anthropic-sdk")}


@pytest.mark.filterwarnings("ignore")
def test_litellm_as_a_client(taken: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its price list comes from the network otherwise
    import litellm

    ask = {**ASK, "model": "openai/test-model", "api_base": taken.url() + "/v1", "api_key": KEY}
    taken.provider.say(Whole(chat(model="test-model")))
    assert litellm.completion(**ask).usage.prompt_tokens == 1000
    taken.provider.say(OPENAI[1].reply())
    chunks = list(litellm.completion(stream=True, **ask))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hi"
    taken.provider.say(ANTHROPIC[0].reply())
    ask = {**ASK, "model": "anthropic/test-model", "max_tokens": 9}
    list(litellm.completion(api_base=taken.url("anthropic"), api_key=KEY, stream=True, **ask))
    recorded = taken.commits.the(3)
    assert costs(recorded) == [Decimal("0.00015"), Decimal("0.0038"), Decimal("0.0038")]
