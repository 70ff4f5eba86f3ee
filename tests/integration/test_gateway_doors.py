"""The other two doors of calls that pass elsewhere: LiteLLM's own callback, and OpenRouter's Broadcast."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support.gateway import KEY, Front, front
from tests.support.gateway_streams import OPENAI
from tests.support.model_server import Whole, chat, openai_error, tokens
from tests.support.server import ask


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front(tmp_path_factory.mktemp("doors") / "home") as found:
        yield found


@pytest.mark.filterwarnings("ignore")
async def test_litellms_generic_api_callback_itself(shared: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its price list comes from the network otherwise
    import litellm
    from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    logger = GenericAPILogger(endpoint=f"http://{shared.at}/api/v1/litellm", flush_interval=3600)
    monkeypatch.setattr(litellm, "callbacks", [logger])
    given: dict[str, Any] = {"api_base": f"{shared.provider.url}/v1", "api_key": KEY, "num_retries": 0}
    given |= {"messages": [{"role": "user", "content": "a secret prompt"}], "user": "ann"}
    shared.provider.say(Whole(chat(model="gpt-4o", id="chatcmpl-whole")))
    await litellm.acompletion(model="openai/gpt-4o", **given)
    shared.provider.say(OPENAI[1].reply())
    async for _ in await litellm.acompletion(model="openai/no-such-model", stream=True, **given):
        pass
    shared.provider.say(openai_error(400, "invalid_request_error"))
    with pytest.raises(litellm.BadRequestError):
        await litellm.acompletion(model="openai/gpt-4o", max_retries=0, **given)
    await GLOBAL_LOGGING_WORKER.flush()
    await logger.async_send_batch()

    found = sorted(shared.commits.the(3), key=lambda operation: operation.started_at)
    assert [operation.status for operation in found] == ["ok", "ok", "error"]
    assert [tokens(operation)[0] for operation in found] == [1000, 1000, None]
    assert {(operation.door, operation.source) for operation in found} == {("webhook", "litellm")}
    whole, streamed, failed = found
    assert whole.reported_usd is not None and whole.reported_usd > 0
    assert streamed.reported_usd is None  # LiteLLM has no price of this model and says 0
    assert (failed.error_type, failed.http_status, failed.cost_usd) == ("BadRequestError", 400, None)
    assert all("secret" not in repr(operation) for operation in found)


def attribute(key: str, value: Any) -> dict[str, Any]:
    kind = {str: "stringValue", int: "intValue", float: "doubleValue"}[type(value)]
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


BROADCAST: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "anthropic/claude-sonnet-4.5",
    "gen_ai.response.model": "anthropic/claude-4.5-sonnet-20250929",
    "gen_ai.response.id": "gen-1700000000-abc",
    "gen_ai.response.finish_reasons": "stop",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 300,
    "gen_ai.usage.input_cost": 0.0036,
    "gen_ai.usage.output_cost": 0.0045,
    "gen_ai.usage.total_cost": 0.0081,
    "gen_ai.prompt": '[{"role":"user","content":"a secret prompt"}]',
    "gen_ai.completion": "a secret answer",
    "user.id": "ann",
    "session.id": "s-7",
    "trace.metadata.project": "shop",
    "trace.metadata.openrouter.api_key_name": "ci",
    "trace.metadata.openrouter.provider_slug": "anthropic",
    "trace.metadata.openrouter.input_unit_price": 0.000003,
    "trace.metadata.openrouter.output_unit_price": 0.000015,
    "trace.metadata.openrouter.first_token_ms": 412,
}


def test_a_broadcast_of_openrouter(shared: Front) -> None:
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "LLM Generation",
        "kind": 3,
        "startTimeUnixNano": "1767268800000000000",
        "endTimeUnixNano": "1767268802500000000",
        "attributes": [attribute(key, value) for key, value in BROADCAST.items()],
        "status": {"code": 1},
    }
    body = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}

    before = set(shared.commits.operations)
    connection = http.client.HTTPConnection(shared.at, timeout=30)
    answer = ask(connection, "POST", "/v1/traces", json.dumps(body).encode(), {"Content-Type": "application/json"})
    connection.close()
    assert (answer.status, answer.body) == (200, b"{}")
    (operation,) = [found for name, found in shared.commits.operations.items() if name not in before]
    assert (operation.provider, operation.billed_usd, operation.cost_usd) == (
        "openrouter",
        Decimal("0.0081"),
        Decimal("0.0081"),
    )
    assert (operation.cost_basis, operation.provider_request_id) == ("billed", "gen-1700000000-abc")
    assert (operation.user_id, operation.session_id, operation.project) == ("ann", "s-7", "shop")
    assert (operation.ttft_ms, operation.duration_ms) == (412, 2500)
    assert tokens(operation)[0] == 1200 and operation.output_tokens == 300
    assert "secret" not in repr(operation)
