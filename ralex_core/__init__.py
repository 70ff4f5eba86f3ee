"""Ralex Monitor: a self-hosted monitor for AI coding assistants."""

__version__ = "0.1.0"
