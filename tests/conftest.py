"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # no test asserts a duration: a busy machine is no fault
settings.load_profile("untimed")
