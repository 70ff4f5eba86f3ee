"""What an address means, and what it is told when it means nothing."""

from __future__ import annotations

from datetime import UTC
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.dashboard import params
from ralex_core.dashboard.problems import RequestProblem
from ralex_core.model.window import DAY_US, HOUR_US, Filters

NOW = 1_767_268_800_000_000
SOON = NOW + 1_000_000
"""The second that `NOW` is in ends here, and so do ranges that end now."""


def view(query: str, *, held: tuple[int, int] | None = (NOW - HOUR_US, NOW), zone=UTC) -> params.View:
    pairs = parse_qsl(query, keep_blank_values=True)
    return params.read_view(pairs, now_us=NOW, zone=zone, extent=lambda: held)


@pytest.mark.parametrize(
    ("key", "length"),
    [("live", HOUR_US // 4), ("1h", HOUR_US), ("24h", DAY_US), ("7d", 7 * DAY_US), ("30d", 30 * DAY_US)],
)
def test_a_named_range_ends_now_and_begins_with_a_whole_bucket(key: str, length: int) -> None:
    found = view(f"range={key}")
    assert found.range.explicit
    assert 0 <= found.range.end_us - SOON < 60_000_000
    assert 0 <= (SOON - length) - found.range.start_us < found.bucket_us
    assert found.range.start_us % found.bucket_us == 0
    assert length / found.bucket_us <= 180


def test_without_a_range_the_smallest_that_holds_data_is_shown() -> None:
    assert view("", held=(NOW - 400 * DAY_US, NOW - HOUR_US)).range.key == "24h"
    assert view("", held=(NOW - 400 * DAY_US, NOW - 3 * DAY_US)).range.key == "7d"
    assert view("", held=(NOW - 400 * DAY_US, NOW - 20 * DAY_US)).range.key == "30d"
    assert view("", held=(NOW - 400 * DAY_US, NOW - 90 * DAY_US)).range.key == "all"
    assert view("", held=None).range.key == "24h"
    assert not view("").range.explicit


def test_all_time_of_an_old_log_ends_with_its_last_operation() -> None:
    found = view("range=all", held=(NOW - 400 * DAY_US, NOW - 300 * DAY_US)).range
    assert 0 <= NOW - 400 * DAY_US - found.start_us < DAY_US
    assert 0 < found.end_us - (NOW - 300 * DAY_US) <= 60_000_000


def test_all_time_of_one_operation_is_still_a_range() -> None:
    found = view("range=all", held=(NOW - 9 * DAY_US, NOW - 9 * DAY_US)).range
    assert found.end_us > found.start_us


def test_a_custom_range_without_an_offset_is_local_time() -> None:
    found = view("range=custom&from=2025-07-01&to=2025-07-02T12:00", zone=ZoneInfo("Europe/Berlin"))
    assert found.range.start_at == "2025-06-30T22:00:00.000000Z"
    assert found.range.end_at == "2025-07-02T10:00:00.000000Z"
    assert found.pairs() == [("range", "custom"), ("from", "2025-07-01"), ("to", "2025-07-02T12:00")]


def test_a_start_alone_is_a_custom_range_until_now() -> None:
    assert view("from=2025-12-31T00:00Z").range.end_us == SOON


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("range=yesterday", "24h"),
        ("range=custom", "start"),
        ("range=custom&from=soon", "2026-11-01T08:00"),
        ("range=custom&from=2025-02-01&to=2025-01-01", "later"),
        ("range=custom&from=20250-01-01", "write a date"),
        ("range=custom&from=2500-01-01", "year"),
        ("project=" + "x" * 501, "longer"),
        ("&".join(f"project={n}" for n in range(51)), "at most 50"),
    ],
)
def test_a_mistake_is_answered_with_what_can_be_given(query: str, word: str) -> None:
    with pytest.raises(RequestProblem) as caught:
        view(query)
    assert caught.value.status == 422
    assert word in caught.value.message


def test_filters_may_be_repeated_and_empty_means_not_known() -> None:
    found = view("project=a&project=b&project=a&user=&model=x%26y").filters
    assert found == Filters(project=("a", "b"), user_id=("",), model=("x&y",))


@given(
    st.fixed_dictionaries(
        {
            "project": st.lists(st.text(min_size=0, max_size=20), max_size=3, unique=True),
            "model": st.lists(st.text(min_size=1, max_size=20), max_size=3, unique=True),
            "user": st.lists(st.text(min_size=1, max_size=20), max_size=3, unique=True),
        }
    )
)
def test_a_view_survives_its_own_address(values: dict[str, list[str]]) -> None:
    pairs = [("range", "7d"), *((name, value) for name, chosen in values.items() for value in chosen)]
    first = params.read_view(pairs, now_us=NOW, zone=UTC, extent=lambda: None)
    assert view(first.query) == first


def test_the_list_request_survives_its_own_address() -> None:
    selection = "kind=llm&status=error&basis=unknown&quarantined=1&q=%3Cb%3E&provider=&name=a%26b"
    first = params.read_list_request(
        parse_qsl(f"{selection}&sort=name&dir=asc&page=3&size=100", keep_blank_values=True)
    )
    assert first.exactly == (("provider", ""), ("name", "a&b"))
    assert params.read_list_request(first.pairs()) == first
    assert params.ListRequest().pairs() == []


@pytest.mark.parametrize(
    "query",
    [
        "kind=cat",
        "status=",
        "sort=attributes",
        "dir=up",
        "page=0",
        "page=-1",
        "page=1e3",
        "size=0",
        "size=9999",
        "page=٣",
    ],
)
def test_a_wrong_list_parameter_is_refused_and_an_empty_one_ignored(query: str) -> None:
    pairs = parse_qsl(query, keep_blank_values=True)
    if query.endswith("="):
        assert params.read_list_request(pairs) == params.ListRequest()
        return
    with pytest.raises(RequestProblem):
        params.read_list_request(pairs)


def test_paging_ends_where_nobody_pages_any_more() -> None:
    with pytest.raises(RequestProblem, match="narrow the filters"):
        params.read_list_request([("page", "4000"), ("size", "200")])


def test_a_misspelt_parameter_is_named() -> None:
    with pytest.raises(RequestProblem, match="projekt"):
        params.require_known([("projekt", "x")], params.SCOPE_PARAMS)
