"""What every instrument's tests need: somewhere to record to, and a server to talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.recorded import Recorded, recording
from tests.support.web import Web, serving


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as recorded:
        yield recorded


@pytest.fixture(scope="module")
def shared_web() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture
def web(shared_web: Web) -> Web:
    shared_web.seen.clear()
    shared_web.flaky = 0
    return shared_web
