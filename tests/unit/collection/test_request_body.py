"""Request bodies are unpacked within their limit, whole, or not at all."""

from __future__ import annotations

import gzip
import zlib

import pytest

from ralex_core.collection.request_body import BodyBudget, BodyProblem, decompressed

MAX = 1000


def test_a_body_without_an_encoding_is_itself() -> None:
    assert decompressed(b"plain", "identity", max_bytes=MAX) == b"plain"


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_gzip_is_unpacked_up_to_the_limit(size: int) -> None:
    assert decompressed(gzip.compress(b"x" * size), "gzip", max_bytes=MAX) == b"x" * size


@pytest.mark.parametrize("size", [1001, 5_000_000])
def test_more_than_the_limit_is_413(size: int) -> None:
    with pytest.raises(BodyProblem, match="max_body_mb") as problem:
        decompressed(gzip.compress(b"x" * size), "gzip", max_bytes=MAX)
    assert problem.value.status == 413


def test_several_gzip_members_are_one_body() -> None:
    body = gzip.compress(b"one") + gzip.compress(b"two")
    assert decompressed(body, "gzip", max_bytes=MAX) == b"onetwo"
    with pytest.raises(BodyProblem, match="larger"):
        decompressed(gzip.compress(b"x" * 600) * 2, "gzip", max_bytes=MAX)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"whole body")[:-5],
        gzip.compress(b"whole body")[:3],
        b"not gzip at all",
        zlib.compress(b"zlib is not gzip"),
        gzip.compress(b"good") + b"trailing",
        gzip.compress(b"good")[:-8] + b"\x00" * 8,
    ],
    ids=["cut at the end", "cut in the head", "text", "zlib", "something behind it", "a wrong checksum"],
)
def test_what_is_not_whole_gzip_is_400(body: bytes) -> None:
    with pytest.raises(BodyProblem) as problem:
        decompressed(body, "gzip", max_bytes=MAX)
    assert problem.value.status == 400


def test_large_bodies_are_unpacked_in_pieces() -> None:
    content = bytes(range(256)) * 40_000
    assert decompressed(gzip.compress(content, 1), "gzip", max_bytes=len(content)) == content


def test_a_budget_that_is_used_up_refuses_until_something_is_given_back() -> None:
    budget = BodyBudget(100)
    budget.take(80)
    with pytest.raises(BodyProblem) as problem:
        budget.take(30)
    assert problem.value.status == 503
    budget.give_back(80)
    budget.take(100)
