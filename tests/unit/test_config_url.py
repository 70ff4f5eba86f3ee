"""What a setting that names a server must look like."""

from __future__ import annotations

import pytest

from ralex_core.config_url import base_url


def test_a_base_url_loses_the_slash_at_its_end() -> None:
    assert base_url("https://openrouter.ai/api/v1/") == "https://openrouter.ai/api/v1"
    assert base_url("http://127.0.0.1:4000") == "http://127.0.0.1:4000"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org", "must begin with"),
        ("example.org/v1", "must begin with"),
        ("https://", "must begin with"),
        ("https://example.org:0/v1", "must begin with"),
        ("https://example.org:http/v1", "is not a URL"),
        ("https://example.org/v1?x=1", "must be plain"),
        ("https://example.org/v 1", "no URL has"),
        ("https://example.org/\u00fc", "no URL has"),
    ],
)
def test_anything_else_is_refused_with_a_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        base_url(url)


def test_a_password_in_it_is_not_repeated() -> None:
    with pytest.raises(ValueError, match=r"example\.org must be plain") as refused:
        base_url("https://someone:hunter2@example.org/v1")
    assert "hunter2" not in str(refused.value)
