"""Statements as names: nothing of what was written into them stays, and equal work has an equal name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection.instrument.statements import (
    MAX_NAME,
    MAX_READ,
    MAX_SAMPLE,
    REMEMBERED,
    Database,
    normalised,
    sample,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("select id from users where id = ?", "select id from users where id = ?"),
        ("select id\n  from users -- of it\n where id=42", "select id from users where id = ?"),
        ("select /* a * b **/ 1", "select ?"),
        ("select 'it''s', 'a'", "select ?, ?"),
        ("select x'00ff', b'101', N'n', E'a\\'b', 1", "select ?, ?, ?, ?, ?"),
        ("select $$a'b$$, $q$ $$ $q$, $1", "select ?, ?, ?"),
        ("select * from t where a in (1, 2,3) and b in (?,?)", "select * from t where a in (?) and b in (?)"),
        ("insert into t (a, b) values (1, 'x'), (2, 'y')", "insert into t(a, b) values (?)"),
        ('insert into t values ("secret")', "insert into t values (?)"),
        ('select * from "t" where "t"."a" = "u"."b"', 'select * from "t" where "t"."a" = "u"."b"'),
        ('select * from t where a = "secret"', "select * from t where a = ?"),
        ("select * from t where a = :id and b = %(name)s and c = %s and d = @x", None),
        ("select a::int, t1.c2, -5, .5e3, 0xff from t1", "select a::int, t1.c2, - ?, ?, ? from t1"),
        ("select count(*) from t;", "select count(*) from t"),
        ("pragma journal_mode=wal", "pragma journal_mode = wal"),
        ("", "(empty)"),
        (" ;; ", "(empty)"),
        ("select 'never closed", "select ?"),
        ("select /* never closed", "select"),
    ],
)
def test_literals_comments_and_lists_are_left_out(text: str, name: str | None) -> None:
    assert normalised(text).name == (name or "select * from t where a = ? and b = ? and c = ? and d = ?")


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("select 1", "SELECT"),
        ("  /* x */ Insert into t values (1)", "INSERT"),
        ("with a as (select 1) delete from t", "DELETE"),
        ("with recursive a as (select 1) select * from a", "SELECT"),
        ("COMMIT", "COMMIT"),
        ("", "OTHER"),
        ("123", "OTHER"),
    ],
)
def test_the_verb_is_the_first_word_or_what_a_with_leads_to(text: str, verb: str) -> None:
    assert normalised(text).operation == verb


def test_a_backslash_escapes_in_mysql_only() -> None:
    assert normalised(r"select 'it\'s secret', 2", backslash=True).name == "select ?, ?"
    assert normalised(r"select 'C:\', 2").name == "select ?, ?"


def test_long_statements_are_cut_with_a_hash_and_keep_apart() -> None:
    columns = ", ".join(f"column_{n}" for n in range(60))
    one, other = normalised(f"select {columns} from a"), normalised(f"select {columns} from b")
    assert len(one.name) == len(other.name) == MAX_NAME
    assert one.name != other.name
    assert one.hash != other.hash
    assert one.name.endswith("…#" + one.hash[:8])


def test_a_list_of_ten_thousand_values_is_the_list_of_twenty_thousand() -> None:
    names = {normalised(f"select * from t where a in ({', '.join(map(str, range(n)))})").name for n in (10_000, 20_000)}
    assert names == {"select * from t where a in (?…"}


def test_a_sample_keeps_the_shape_and_says_what_kind_each_literal_was() -> None:
    shown = sample("select * from t where a = 'hunter2' and b in (1, 2) and c = x'ff' and d = ?")
    assert shown == "select * from t where a = <text> and b in (<number>, <number>) and c = <blob> and d = ?"
    assert len(sample("select " + "a, " * 3000)) <= MAX_SAMPLE


@given(
    st.text(alphabet="q7'\"\\-", max_size=12),
    st.sampled_from(["select {} from t", "update t set a = {} where b = 1", "insert into t values (1, {})"]),
)
def test_what_is_written_as_a_text_is_in_neither_name_nor_sample(text: str, around: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    statement = around.format(quoted)
    assert "q" not in normalised(statement).name.replace("(empty)", "")
    assert "7" not in sample(statement)


@given(st.text(max_size=300))
def test_any_text_has_a_name_that_can_be_stored(text: str) -> None:
    found = normalised(text)
    assert 0 < len(found.name) <= MAX_NAME
    found.name.encode()
    assert found.name.isprintable() or not text.isprintable()
    sample(text).encode()


def test_statements_are_remembered_within_a_bound() -> None:
    known = Database("sqlite", "app.db")
    first = known.statement("select 1")
    assert known.statement("select 1") is first
    for number in range(REMEMBERED * 2):
        known.statement(f"select * from t{number}")
    assert len(known.known) <= REMEMBERED
    known.statement("select " + "1, " * MAX_READ)
    assert max(map(len, known.known)) <= MAX_READ + 1


def test_attributes_name_the_database() -> None:
    known = Database("sqlite", "app.db").statement("select 1")
    assert known.attributes == {
        "db.system.name": "sqlite",
        "db.namespace": "app.db",
        "db.operation.name": "SELECT",
        "db.query.hash": normalised("select 1").hash,
    }
