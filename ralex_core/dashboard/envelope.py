"""Answers in one shape: `{"data": …}` or `{"error": {"code", "message", "request_id"}}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from ralex_core.dashboard.problems import RequestProblem
from ralex_core.render import to_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Envelope(Generic[T]):
    """What every successful answer of the API is wrapped in."""

    data: T


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What went wrong: a code for programs, a sentence that says what to do, and the id to look for in the log."""

    code: str
    message: str
    request_id: str


@dataclass(frozen=True, slots=True)
class ErrorEnvelope:
    error: ErrorBody


def json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json", headers={"Cache-Control": "no-store"})


def answer(data: object, status: int = 200) -> Response:
    """A success."""
    return json_response(b'{"data":' + to_json(data) + b"}", status)


def request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def error_answer(request: Request, problem: RequestProblem) -> Response:
    """A failure, with `Retry-After` when asking again makes sense."""
    body = ErrorEnvelope(ErrorBody(problem.code, problem.message, request_id(request)))
    response = json_response(to_json(body), problem.status)
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response
