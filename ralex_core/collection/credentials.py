"""What credentials look like: names of attributes that hold one, and text that contains one.

The formats of keys come from detect-secrets; those it does not know stand beside them. All of them run as one pattern
on RE2, whose time is linear in the length of the text, whatever the text is.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Protocol, cast

REDACTED = "[redacted]"
MAX_KEY = 200
"""Characters of an attribute's name. A longer one is no name."""

_LATER_FORMATS = (
    # First the ones that take more of the text than a format of detect-secrets would.
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[^-]*(?:-----END [A-Z0-9 ]*-----)?",
    r"(?:\b[a-zA-Z][a-zA-Z0-9+.-]*)?://[^\s/@:]*:[^\s/@]+@",
    r"(?i:\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{12,})",
    r"(?i:\b(?:password|passwd|passphrase|pwd|secret|api[_-]?key|(?:access|auth|refresh|session)[_-]?token)"
    r"[\"']?\s*[:=]\s*[\"']?[^\s\"',;&]{6,})",
    r"\bsk-[A-Za-z0-9_-]{16,}",
    r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?",
    r"\b(?:gh[pousr]|github_pat)_[A-Za-z0-9_]{20,}",
    r"\b(?:gsk|hf|npm|r8|fw|ntn|phc|phx|whsec|sbp|lin_api|[prs]k_(?:live|test)|secret)_[A-Za-z0-9]{16,}",
    r"\blsv2_[ps][tk]_[a-f0-9]{16,}(?:_[a-f0-9]+)?",
    r"\b(?:tvly|xai|pplx|csk|nvapi|voyage)-[A-Za-z0-9_-]{20,}",
    r"\b(?:glsa|pul|sntrys|dop_v1|doo_v1|shpat|shpss|dckr_pat)_[A-Za-z0-9_-]{20,}",
    r"\bhv[sb]\.[A-Za-z0-9_-]{20,}",
    r"\bgl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[A-Za-z0-9_.-]{16,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\bxapp-[A-Za-z0-9-]{20,}",
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
    r"\bAIza[0-9A-Za-z_-]{30,}",
    r"\bya29\.[0-9A-Za-z_-]{20,}",
    r"\bdapi[0-9a-f]{32}",
    r"\bAGE-SECRET-KEY-1[0-9A-Z]{50,}",
)
"""Formats detect-secrets does not know, knows in one length only, or ends too early."""
_NOT_CREDENTIALS = frozenset({"IPPublicDetector", "ArtifactoryDetector"})
"""Detectors of detect-secrets that are left out: public addresses are none, and `AP…` is how many class names begin."""


class _Pattern(Protocol):
    """What is used of a pattern of RE2, which has no type stubs."""

    def search(self, text: str) -> object | None: ...

    def sub(self, repl: str, text: str) -> str: ...


@cache
def _pattern() -> _Pattern:
    """Compiled at first use: the SDK imports this module and seldom needs it."""
    import re2  # pyright: ignore[reportMissingTypeStubs]

    options: Any = re2.Options()
    options.max_mem = 64 << 20
    options.log_errors = False
    formats = [*_LATER_FORMATS, *_formats_of_detect_secrets()]
    return cast("_Pattern", re2.compile("|".join(f"(?:{pattern})" for pattern in formats), options))  # pyright: ignore[reportUnknownMemberType]


def _formats_of_detect_secrets() -> list[str]:
    """Its patterns, in RE2's syntax."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    return [
        _for_re2(pattern)
        for detector in get_mapping_from_secret_type_to_class().values()
        if issubclass(detector, RegexBasedDetector) and detector.__name__ not in _NOT_CREDENTIALS
        for pattern in cast("list[re.Pattern[str]]", cast("Any", detector()).denylist)
    ]


def _for_re2(pattern: re.Pattern[str]) -> str:
    """RE2 looks neither ahead nor behind. What stands before or after a credential is not needed to hide it."""
    text = pattern.pattern
    if pattern.flags & re.VERBOSE:
        text = re.sub(r"\s+|#.*", "", text)
    text = text.replace(r"(?:(?<=\W)|(?<=^))", r"(?:\W|^)").replace("{50,1024}", "{50,}")
    text = re.sub(r"\(\?!(?:\\w|\[[^\]]*\])\)", "", text)
    return f"(?i:{text})" if pattern.flags & re.IGNORECASE else text


def redact_text(text: str) -> str:
    """The text with everything that looks like a credential replaced."""
    pattern = _pattern()
    return text if pattern.search(text) is None else pattern.sub(REDACTED, text)


def holds_credential(text: str) -> bool:
    """Whether anything in a text looks like a credential."""
    return _pattern().search(text) is not None


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NAMES = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase|code)?s?|pwd|pw|secrets?|credentials?|creds|cookies?|authorization|bearer|jwt|otp|dsn"
    r"|(?:api|private|signing|encryption|access|account|service|ssh|secret|master|license)_?keys?"
    r"|connection_string|conn_str|(?:database|postgres|mongo|redis|amqp)_ur[il]|mnemonic|seed_phrase"
    r"|(?:access|refresh|auth|session|id|api|bearer|csrf|xsrf|bot|oauth|security|service|push|device|deploy|personal)"
    r"_?token)(?:_|$)"
)
_LAST_PART = re.compile(r"[./:]")
_NAMES_NONE = frozenset(
    ("count", "counts", "length", "size", "bytes", "ms", "type", "tokens", "enabled", "used", "expires", "id")
)
"""Last words of names that hold a fact about a credential."""


def words_of(key: str) -> list[str]:
    """The words of an attribute's name in lower case, however it joins them. Looks at `MAX_KEY` characters."""
    return [word.lower() for word in _WORD.findall(key[:MAX_KEY])]


def names_credential(key: str) -> bool:
    """Whether an attribute of this name holds a credential."""
    words = words_of(key)
    if not words or words[-1] in _NAMES_NONE:
        return False
    return _LAST_PART.split(key[-MAX_KEY:].lower())[-1] == "token" or _NAMES.search("_".join(words)) is not None
