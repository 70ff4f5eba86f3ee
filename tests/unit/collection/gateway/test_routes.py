"""Which paths call a model, however they are written."""

from __future__ import annotations

import pytest

from ralex_core.collection.gateway.routes import Route, Routes
from ralex_core.config_gateway import Upstream

ROUTES = Routes({"up": Upstream(url="https://up.example/v1")})


@pytest.mark.parametrize(
    ("tail", "name", "kind"),
    [
        ("chat/completions", "chat", "llm"),
        ("chat/comple%74ions", "chat", "llm"),
        ("chat//completions/", "chat", "llm"),
        ("responses/compact", "responses.compact", "llm"),
        ("responses/r_1/cancel", "responses", "api"),
        ("complete", "complete", "llm"),
        ("models/gemini-pro:generateContent", "models.gemini-pro:generateContent", "llm"),
        ("files", "files", "api"),
        ("images/generations", "images.generations", "llm"),
    ],
)
def test_a_path_that_calls_a_model_is_billed(tail: str, name: str, kind: str) -> None:
    route = ROUTES.read(f"/gateway/up/v1/{tail}")
    assert isinstance(route, Route)
    assert (route.call.name, route.call.kind) == (name, kind)
