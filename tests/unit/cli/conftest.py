"""Fixtures of the command line's tests."""

from tests.support.command_line import command

__all__ = ["command"]
