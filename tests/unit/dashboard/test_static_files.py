"""Static files under one address per content."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from starlette.requests import Request

from ralex_core.clock import ManualClock
from ralex_core.dashboard.problems import RequestProblem
from ralex_core.dashboard.static_files import BUNDLES, CHECKED_S, FOR_EVER, STATIC, StaticFiles


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": pairs})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    static = tmp_path / "static"
    (static / "js").mkdir(parents=True)
    (static / "js" / "a.js").write_text("export const a = 1;\n" * 100)
    (static / "notes.md").write_text("not for browsers")
    (tmp_path / "secret.js").write_text("outside")
    return static


def test_the_address_changes_with_the_content_and_is_kept_for_ever(root: Path) -> None:
    clock = ManualClock()
    files = StaticFiles(root, clock)
    first = files.url("js/a.js")
    assert files.url("js/a.js") == first
    assert files.answer(request(), first.removeprefix("/static/")).headers["cache-control"] == FOR_EVER
    (root / "js" / "a.js").write_text("changed")
    clock.advance(CHECKED_S)
    second = files.url("js/a.js")
    assert second != first
    assert files.answer(request(), second.removeprefix("/static/")).body == b"changed"


def test_an_address_of_before_a_change_gets_the_file_but_is_not_kept(root: Path) -> None:
    answer = StaticFiles(root).answer(request(), "0123456789ab/js/a.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


def test_a_file_is_compressed_for_who_understands_it(root: Path) -> None:
    files = StaticFiles(root)
    plain = files.answer(request(), "js/a.js")
    small = files.answer(request(accept_encoding="gzip, br"), "js/a.js")
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert gzip.decompress(small.body) == plain.body
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"


def test_a_bundle_is_its_files_one_after_the_other() -> None:
    for name, parts in BUNDLES.items():
        body = StaticFiles().answer(request(), name).body
        assert body == b"\n".join((STATIC / part).read_bytes() for part in parts)


def test_a_file_that_did_not_change_is_not_sent_again(root: Path) -> None:
    files = StaticFiles(root)
    etag = files.answer(request(), "js/a.js").headers["etag"]
    assert files.answer(request(if_none_match=etag), "js/a.js").status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "js/none.js",
        "../secret.js",
        "js/../../secret.js",
        "notes.md",
        "",
        "js",
        "%2e%2e/secret.js",
        "/etc/passwd",
        "js//a.js",
        "js/./a.js",
        "\0.js",
    ],
)
def test_nothing_else_is_served(root: Path, path: str) -> None:
    with pytest.raises(RequestProblem) as caught:
        StaticFiles(root).answer(request(), path)
    assert caught.value.status == 404
