"""Switching on and off: everything is put back exactly, whoever else was there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ralex_core.collection.guard import guard
from ralex_core.collection.instrument.imports import forget, when_imported
from ralex_core.collection.instrument.switch import Switch, all_off, switch_on, switches


class Base:
    def greet(self) -> str:
        return "hello"


class Client(Base):
    def send(self) -> str:
        return "sent"


@pytest.fixture(autouse=True)
def nothing_left_on() -> Iterator[None]:
    yield
    all_off()
    forget()


def louder(switch: Switch) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        def replacement(self: Any) -> str:
            answer = original(self)
            return answer.upper() if switch.on else answer

        return replacement

    return make


def install(switch: Switch) -> None:
    switch.replace(Client, "send", louder(switch))
    switch.replace(Client, "greet", louder(switch))


def test_off_puts_back_what_was_there_and_removes_what_was_inherited() -> None:
    before = dict(vars(Client))
    switch = switch_on(install, "client")
    assert (Client().send(), Client().greet(), bool(switch)) == ("SENT", "HELLO", True)
    switch.off()
    assert dict(vars(Client)) == before
    assert Client().greet() == "hello"
    assert not switch
    switch.off()
    assert dict(vars(Client)) == before


def test_switching_on_twice_is_switching_on_once() -> None:
    first = switch_on(install, "client", settings=(1,))
    assert switch_on(install, "client", settings=(1,)) is first
    first.off()
    assert Client().send() == "sent"


def test_other_settings_take_the_place_of_those_before() -> None:
    first = switch_on(install, "client", settings=(1,))
    second = switch_on(install, "client", settings=(2,))
    assert (first.on, second.on) == (False, True)
    second.off()
    assert Client().send() == "sent"


def test_a_block_ends_what_it_began() -> None:
    with switch_on(install, "client"):
        assert Client().send() == "SENT"
    assert Client().send() == "sent"


def test_targets_are_switched_one_by_one() -> None:
    one, other = Client(), Client()

    def on_instance(switch: Switch) -> None:
        switch.replace(switch.target, "send", lambda original: lambda: original().upper() if switch.on else original())

    switch = switch_on(on_instance, "client", target=one)
    switch_on(on_instance, "client", target=other)
    assert (one.send(), other.send(), len(switches("client"))) == ("SENT", "SENT", 2)
    switch.off()
    assert (one.send(), other.send()) == ("sent", "SENT")
    assert vars(one) == {}
    all_off()
    assert other.send() == "sent"


def test_a_wrapper_put_around_ours_meanwhile_stays_and_ours_passes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = switch_on(install, "client")
    ours = Client.send
    monkeypatch.setattr(Client, "send", lambda self: f"<{ours(self)}>")
    assert Client().send() == "<SENT>"
    switch.off()
    assert Client().send() == "<sent>"


def test_an_instrument_that_fails_to_install_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    guard.raise_errors = False
    try:

        def broken(switch: Switch) -> None:
            install(switch)
            raise ImportError("No module named 'wonder'")

        switch = switch_on(broken, "wonder")
    finally:
        guard.raise_errors = None
    assert not switch
    assert Client().send() == "sent"
    assert switches() == []
    assert "instrument wonder was not switched on" in caplog.text


def test_under_pytest_a_failing_instrument_raises() -> None:
    def broken(switch: Switch) -> None:
        raise ImportError("No module named 'wonder'")

    with pytest.raises(ImportError):
        switch_on(broken, "wonder")


def test_switching_from_many_threads_leaves_one_layer() -> None:
    barrier = threading.Barrier(8)
    got: list[Switch] = []

    def turn() -> None:
        barrier.wait()
        for _ in range(50):
            got.append(switch_on(install, "client"))
            got[-1].off()

    threads = [threading.Thread(target=turn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    all_off()
    assert Client().send() == "sent"
    assert "greet" not in vars(Client)


def test_an_instrument_waits_for_the_import_of_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_library.py").write_text("def ready():\n    return 'ready'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "late_library", raising=False)
    seen: list[object] = []
    meta_path = list(sys.meta_path)
    when_imported("late_library", lambda: seen.append(sys.modules["late_library"].ready()))
    assert seen == []
    import late_library  # type: ignore[import-not-found]

    assert seen == ["ready"]
    assert type(late_library.__spec__.loader).__name__ == "SourceFileLoader"
    assert late_library.__loader__ is late_library.__spec__.loader
    assert sys.meta_path == meta_path, "nothing of ours stays in the way of later imports"
    when_imported("late_library", lambda: seen.append("at once"))
    assert seen == ["ready", "at once"]
    monkeypatch.delitem(sys.modules, "late_library")


def test_a_library_that_is_missing_is_still_missing() -> None:
    when_imported("no_such_library_at_all", lambda: None)
    with pytest.raises(ModuleNotFoundError):
        import no_such_library_at_all  # type: ignore[import-not-found]  # noqa: F401
