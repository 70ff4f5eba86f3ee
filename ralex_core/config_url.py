"""What a setting that names a server must look like."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def base_url(value: str) -> str:
    """The URL without a slash at its end.

    Raises:
        ValueError: it is no plain http or https URL, saying what is wrong with it.
    """
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"{value!r} is not a URL such as https://api.openai.com/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{value!r} must begin with https:// or http:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        # what may be a password is not repeated
        raise ValueError(f"the URL of {parts.hostname} must be plain: no user, password, query or fragment")
    if not value.isascii() or any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError(f"{value!r} has characters that no URL has")
    return value.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(base_url)]
