"""The gateway, as OpenAPI describes it. The routes themselves are never reached: the gateway stands before them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

_BODY: dict[str, Any] = {
    "description": "What the provider expects; it goes on as it came.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What the provider answered, as it came; a stream in the pieces it came in.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    },
    401: {"description": "The monitor's token is missing, or no provider's key is set for it."},
    402: {"description": "A budget has no room for the call; shaped as the provider's own errors are."},
    404: {"description": "There is no such upstream."},
    413: {"description": "The body is larger than `max_body_mb`."},
    502: {"description": "The upstream did not answer, or not in HTTP; shaped as the provider's own errors are."},
    504: {"description": "The upstream was silent for too long."},
}


def gateway_router() -> APIRouter:
    router = APIRouter(tags=["Gateway"])

    @router.post(
        "/gateway/{upstream}/v1/{path}",
        summary="Call a model through the monitor",
        response_class=Response,
        responses=_ANSWERS,
        openapi_extra={"requestBody": _BODY},
    )
    async def pass_on(upstream: str, path: str) -> Response:
        """Pass a call on to an upstream and record it: `openai`, `anthropic`, `openrouter`, or one of the settings.

        `path` is what follows the upstream's base URL, such as `chat/completions`, `responses`, `embeddings` or
        `messages`. `X-Ralex-User`, `-Session`, `-Project`, `-Operation` and others say whose call it is.
        `X-Ralex-Operation-Id` of the answer names what is recorded. GET and DELETE pass without a record.
        """
        raise NotImplementedError  # pragma: no cover - see the module's docstring

    return router
