"""User agents as they are seen in the wild."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection.instrument.clients import REMEMBERED, client_of, remembered

CLIENTS = ("bot", "probe", "mobile app", "terminal", "web", "program", None)


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36", "web"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605 Mobile Safari/604",
            "web",
        ),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 Version/4.0 Chrome/120 Mobile", "mobile app"),
        ("okhttp/4.12.0", "mobile app"),
        ("Ralex/2.1 CFNetwork/1568.200.51 Darwin/24.1.0", "mobile app"),
        ("Dart/3.5 (dart:io)", "mobile app"),
        ("ralex-ios/1.4", "mobile app"),
        ("RalexAndroid/1.4", "mobile app"),
        ("curl/8.5.0", "terminal"),
        ("claude-cli/1.0.44 (external, cli)", "terminal"),
        ("opencode/0.4.1", "terminal"),
        ("ralex/0.3", "terminal"),
        ("HTTPie/3.2.2", "terminal"),
        ("python-httpx/0.28.1", "program"),
        ("OpenAI/Python 1.99", "program"),
        ("Go-http-client/2.0", "program"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("kube-probe/1.29", "probe"),
        ("", None),
        ("<script>", None),
    ],
)
def test_a_user_agent_tells_its_client(agent: str, client: str | None) -> None:
    assert client_of(agent.encode()) == client


@given(st.binary(max_size=600))
def test_any_bytes_have_an_answer_and_few_are_remembered(agent: bytes) -> None:
    assert client_of(agent) in CLIENTS
    assert len(remembered) <= REMEMBERED
