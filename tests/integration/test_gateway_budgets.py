"""The budget gate: refused in the caller's own words, stepped down where that is allowed, and never past the limit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from ralex_core.budget import Budget
from ralex_core.collection.gateway.passage import Passage
from ralex_core.collection.gateway.records import key_label
from tests.support.gateway import Front, front
from tests.support.model_server import CHAT_USAGE, Raw, Whole, chat, message, openai_error

MESSAGES = "anthropic/v1/messages"
CHAT = "openai/v1/chat/completions"
PRICES = """
[[price]]
model = "dear-model"
input = 20
output = 100

[[price]]
model = "own-model*"
input = 20
output = 100

[[price]]
model = "cheap-*"
input = 1
output = 2
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    home = tmp_path_factory.mktemp("gateway") / "home"
    gateway = {"step_down": {"dear-*": "cheap-model"}, "max_output_tokens": 1000}
    with front(home, prices=PRICES, gateway=gateway) as found:
        yield found


@pytest.fixture
def budget(shared: Front) -> Iterator[Budget]:
    """A dollar a day for one project, until the end of the test."""
    made = shared.host.budgets.add(
        Budget("", "Shop", "day", scope="project", value="shop", hard_usd=Decimal(1), soft_usd=Decimal("0.1"))
    )
    yield made
    shared.host.budgets.delete(made.id)


def ask(model: str, **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "a secret"}], "max_tokens": 100, **more}


def used(prompt: int, completion: int) -> Whole:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return Whole(chat(usage, model="dear-model"))


def level(front: Front) -> tuple[Decimal, Decimal]:
    (found,) = front.host.budgets.guard.levels()
    return found.spent_usd, found.reserved_usd


def test_a_call_is_settled_at_its_cost_and_what_has_no_room_is_refused_or_steps_down(
    shared: Front, budget: Budget
) -> None:
    shop = {"X-Ralex-Project": "shop"}
    # 1,000 in at 20 and 9,700 out at 100 dollars per million: 0.99
    shared.provider.say(used(1000, 9700))
    first = shared.post(CHAT, ask("dear-model"), shop)
    assert first.status == 200
    assert shared.recorded(first).cost_usd == Decimal("0.99")
    assert level(shared) == (Decimal("0.99"), Decimal(0))  # settled and committed, and counted once

    # a cheaper model has room: at most about 1,100 in at 1 and 100 out at 2
    shared.provider.say(used(10, 10)._replace(body=chat(CHAT_USAGE, model="cheap-model")))
    body = b'{ "max_tokens":100, "metadata": {"model":"dear-model"},"model" : "dear-model","messages":[]}'
    second = shared.post(CHAT, body, shop)
    assert second.status == 200
    assert second.headers["x-ralex-stepped-down-to"] == "cheap-model"
    assert "warns at" in second.headers["x-ralex-budget-warning"]
    assert shared.provider.requests[-1].raw == body.replace(b'"model" : "dear-model"', b'"model" : "cheap-model"')
    stepped = shared.recorded(second)
    assert (stepped.requested_model, stepped.model) == ("cheap-model", "cheap-model")
    assert json.loads(stepped.attributes or "")["stepped_down_from"] == "dear-model"

    # nothing is cheaper than this one, and so much output has no room
    shared.provider.say(used(1, 1))
    third = shared.post(CHAT, ask("cheap-model", max_tokens=100_000), shop)
    assert third.status == 402
    error = third.json()["error"]
    assert (error["type"], error["code"], error["budget"]) == ("insufficient_quota", "budget_exceeded", "Shop")
    assert error["limit_usd"] == "1" and "Shop" in error["message"] and error["resets_at"] == "2026-01-02T00:00:00Z"
    assert shared.provider.requests == []
    refused = shared.recorded(third)
    assert (refused.status, refused.error_type, refused.cost_usd) == ("error", "budget_exceeded", Decimal(0))

    anthropic = shared.post(MESSAGES, ask("cheap-model", max_tokens=100_000), shop)
    assert anthropic.status == 402
    assert anthropic.json()["type"] == "error" and anthropic.json()["error"]["type"] == "billing_error"
    # others have no such budget
    assert shared.post(CHAT, ask("cheap-model", max_tokens=100_000), {"X-Ralex-Project": "other"}).status == 200


def test_what_the_provider_refuses_is_free_again_and_what_stays_unknown_counts_at_its_worst(
    shared: Front, budget: Budget
) -> None:
    shop = {"X-Ralex-Project": "shop"}
    before, _ = level(shared)
    shared.provider.say(openai_error(429, "rate_limit_error"))
    refused = shared.post(CHAT, ask("dear-model"), shop)
    assert shared.recorded(refused).http_status == 429
    assert level(shared) == (before, Decimal(0))
    shared.provider.say(Raw([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"]))
    answer = shared.post(CHAT, ask("cheap-model"), shop)
    operation = shared.recorded(answer)
    assert operation.cost_usd is None
    held = Decimal(json.loads(operation.attributes or "")["reserved_usd"])
    assert held > 0
    assert level(shared) == (before + held, Decimal(0))


@pytest.fixture
def of_model(shared: Front) -> Iterator[Budget]:
    """A dollar a day for one model, until the end of the test."""
    made = shared.host.budgets.add(Budget("", "Own", "day", scope="model", value="own-model", hard_usd=Decimal(1)))
    yield made
    shared.host.budgets.delete(made.id)


def test_a_budget_of_a_model_counts_whoever_answers_for_it(shared: Front, of_model: Budget) -> None:
    before, _ = level(shared)
    shared.provider.say(used(1000, 100)._replace(body=chat(CHAT_USAGE, model="own-model-2025-08-06")))
    answer = shared.post(CHAT, ask("own-model"))
    assert shared.recorded(answer).model == "own-model-2025-08-06"
    spent, reserved = level(shared)
    assert spent > before and reserved == 0
    shared.host.budgets.reload()
    assert level(shared) == (spent, Decimal(0))  # the store says the same


def test_an_answer_that_names_no_model_counts_for_the_model_that_was_asked(shared: Front, of_model: Budget) -> None:
    before, _ = level(shared)
    shared.provider.say(Raw([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"]))
    operation = shared.recorded(shared.post(CHAT, ask("own-model")))
    held = Decimal(json.loads(operation.attributes or "")["reserved_usd"])
    assert level(shared) == (before + held, Decimal(0))
    shared.host.budgets.reload()
    assert level(shared) == (before + held, Decimal(0))


def test_no_spelling_of_a_request_goes_round_the_limit_of_a_model(shared: Front, of_model: Budget) -> None:
    shared.provider.say(used(1, 1))
    much = ask("own-model", max_tokens=100_000)
    assert shared.post(CHAT, much).status == 402
    assert shared.post("openai/v1/chat/comple%74ions", much).status == 402
    assert shared.post("openai/v1/chat//completions", much).status == 402
    assert shared.post(CHAT, ask("cheap-model", models=["own-model"], max_tokens=100_000)).status == 402
    prompts = {"model": "own-model", "prompt": ["a"] * 200, "max_tokens": 100}
    assert shared.post("openai/v1/completions", prompts).status == 402
    packed = shared.post(CHAT, gzip.compress(json.dumps(much).encode()), {"Content-Encoding": "gzip"})
    assert (packed.status, packed.json()["error"]["code"]) == (400, "unreadable_model")
    assert shared.provider.requests == []


def test_what_fails_after_it_was_sent_counts_at_its_worst(
    shared: Front, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    before, _ = level(shared)
    monkeypatch.setattr(Passage, "_note_answer", fail)
    shared.provider.say(used(10, 10))
    answer = shared.post(CHAT, ask("cheap-model"), {"X-Ralex-Project": "shop"})
    assert answer.status == 500
    operation = shared.recorded(answer)
    assert (operation.error_type, operation.input_tokens, operation.cost_usd) == ("gateway_failed", None, None)
    held = Decimal(json.loads(operation.attributes or "")["reserved_usd"])
    assert held > 0
    assert level(shared) == (before + held, Decimal(0))


def test_a_call_whose_output_nothing_bounds_goes_alone(shared: Front, budget: Budget) -> None:
    before, _ = level(shared)
    shared.provider.say(Raw([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"]))
    image = {"model": "dear-model", "prompt": "a cat"}
    answer = shared.post("openai/v1/images/generations", image, {"X-Ralex-Project": "shop"})
    held = Decimal(json.loads(shared.recorded(answer).attributes or "")["reserved_usd"])
    assert held == 1 - before


def test_callers_at_once_never_pass_a_limit(shared: Front) -> None:
    key = "sk-another-key-of-nobody"
    made = shared.host.budgets.add(
        Budget("", "Key", "day", scope="key", value=key_label(key.encode()), hard_usd=Decimal("0.05"))
    )
    given = {"Authorization": f"Bearer {key}"}
    try:
        shared.provider.say(Whole(message(model="cheap-model")))
        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(shared.post, MESSAGES, ask("cheap-model", max_tokens=4000), given) for _ in range(48)]
            answers = [one.result() for one in asked]
        passed = [answer for answer in answers if answer.status == 200]
        assert {answer.status for answer in answers} <= {200, 402}
        assert passed
        costs = [shared.recorded(answer).cost_usd for answer in passed]
        (found,) = shared.host.budgets.guard.levels()
        assert found.spent_usd <= Decimal("0.05") and found.reserved_usd == 0
        assert sum(cost for cost in costs if cost is not None) == found.spent_usd
    finally:
        shared.host.budgets.delete(made.id)


def test_a_call_that_reads_what_is_not_in_it_goes_alone(tmp_path: Path) -> None:
    """Its worst case is not known: it holds all that is left, and is refused where nothing is."""
    with front(tmp_path / "home", prices=PRICES) as found:
        found.host.budgets.add(Budget("", "All", "day", hard_usd=Decimal(1)))
        found.provider.say(used(10, 10))
        fetched = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b"}}]}]
        answer = found.post(CHAT, ask("dear-model", messages=fetched))
        assert answer.status == 200
        assert found.recorded(answer).cost_usd == Decimal("0.0012")
        assert level(found) == (Decimal("0.0012"), Decimal(0))
