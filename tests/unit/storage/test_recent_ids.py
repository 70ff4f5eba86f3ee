"""The ids written last: they may say "perhaps stored" of a new id, never "new" of a stored one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ralex_core.storage.recent_ids import RecentIds

batches = st.lists(
    st.dictionaries(st.integers(0, 60).map(lambda n: f"op-{n}"), st.integers(1, 50), min_size=1, max_size=8),
    max_size=30,
)


@given(floor=st.integers(0, 30), batches=batches)
def test_a_stored_id_is_never_ruled_out(floor: int, batches: list[dict[str, int]]) -> None:
    recent = RecentIds(floor, generation=10)
    started: dict[str, int] = {f"old-{floor}": floor}
    for batch in batches:
        # an id keeps its start; what is stored already comes again with it
        batch = {identifier: started.get(identifier, start) for identifier, start in batch.items()}
        if recent.rule_out(list(batch), min(batch.values())):
            assert not batch.keys() & started.keys()
        recent.add(list(batch), max(batch.values()))
        started |= batch
    for identifier, start in started.items():
        assert not recent.rule_out([identifier], start)


def test_new_ids_are_ruled_out_while_time_goes_on() -> None:
    recent = RecentIds(1_000, generation=100)
    for number in range(100):
        ids = [f"{number}-{index}" for index in range(40)]
        assert recent.rule_out(ids, 1_001 + number)
        recent.add(ids, 1_001 + number)


def test_what_started_before_the_store_was_opened_is_asked_for() -> None:
    recent = RecentIds(1_000)
    assert not recent.rule_out(["a"], 1_000)
    assert recent.rule_out(["a"], 1_001)
