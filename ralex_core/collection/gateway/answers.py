"""What the gateway answers by itself, in the words the caller's SDK understands."""

from __future__ import annotations

from typing import Any

import orjson

from ralex_core.config_gateway import Flavour

_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    421: "invalid_request_error",
}
_ANTHROPIC_TYPES = {
    **_OPENAI_TYPES,
    402: "billing_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class Refusal(Exception):
    """Why a request is not passed on: status, a code for programs, and a sentence that says what to do."""

    def __init__(self, status: int, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        """Numbers a program may want, told beside the message."""


def error_body(refusal: Refusal, flavour: Flavour) -> bytes:
    """The JSON of an error, shaped as OpenAI or Anthropic shape theirs."""
    details = refusal.details or {}
    if flavour == "anthropic":
        kind = _ANTHROPIC_TYPES.get(refusal.status, "api_error")
        error: dict[str, Any] = {"type": kind, "message": refusal.message, "code": refusal.code, **details}
        return orjson.dumps({"type": "error", "error": error})
    kind = _OPENAI_TYPES.get(refusal.status, "api_error")
    return orjson.dumps(
        {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.code, **details}}
    )
