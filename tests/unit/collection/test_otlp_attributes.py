from __future__ import annotations

from typing import Any

import orjson
import pytest

from ralex_core.collection import otlp_attributes, semconv
from ralex_core.collection.otlp_attributes import MAX_SHAPES, NOTHING, Shape, attribute_of, shape_of
from ralex_core.collection.redaction import WITHOUT_TEXT, Redaction

SESSION = semconv.SLOTS.index("session_id")


def test_the_best_name_of_a_slot_says_it_and_the_others_are_its_rivals() -> None:
    shape = Shape(("gen_ai.conversation.id", "x", "session.id", "session.id"))
    assert shape.best == ((SESSION, 2),)
    assert shape.name_of(SESSION) == "session.id"
    assert shape.rivals == ((0, 2), (3, 2))
    assert shape.kept == (False, True, False, False)


def test_of_one_name_given_twice_the_last_stays() -> None:
    shape = Shape(("x", "y", "x"))
    assert shape.kept == (False, True, True)
    assert shape.named == {"y": 1, "x": 2}


def test_a_name_alone_in_a_tuple_and_nothing_are_of_no_slot() -> None:
    shape = Shape((("session.id",), NOTHING[0]))
    assert (shape.best, shape.kept) == ((), (True, False))
    assert attribute_of("session.id", ["a"]) == (("session.id",), ["a"], '"session.id":["a"]')
    assert attribute_of("session.id", "") == attribute_of("gen_ai.prompt", "tell me") == NOTHING


def test_orders_of_names_are_remembered_up_to_a_limit() -> None:
    assert shape_of(("a",)) is shape_of(("a",))
    for number in range(MAX_SHAPES + 10):
        shape_of((f"invented.{number}",))
    assert len(otlp_attributes._shapes) <= MAX_SHAPES


def test_what_decides_something_and_stays_readable_is_never_taken_for_content() -> None:
    for field in semconv.ALSO_KEPT:
        for key in (*semconv.TEXT_ALIASES.get(field, ()), *semconv.NUMBER_ALIASES.get(field, ())):
            assert WITHOUT_TEXT.member(key, "some text") == f'"{key}":"some text"'


@pytest.mark.parametrize("redaction", [Redaction(), Redaction(keep_text=True)], ids=["without text", "with text"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("plain", "text"),
        ("plain", 'quotes " and \u00fcmlauts'),
        ("my.prompt", "tell me"),
        ("my.prompt", 12),
        ("api_key", "hunter2"),
        ("api_key", 5),
        ("note", "use sk-abcdefghijklmnop1234 please"),
        ("nested", {"password": "hunter2", "n": [1, "Bearer abcdefghijklmnop12"]}),
        ("flag", True),
    ],
)
def test_one_attribute_is_redacted_as_all_of_them_are(key: str, value: Any, redaction: Redaction) -> None:
    for _ in range(2):  # not known yet, and remembered
        member = redaction.member(key, value)
        expected = redaction.attributes(orjson.dumps({key: value}).decode())
        assert expected == (None if member is None else "{" + member + "}")
