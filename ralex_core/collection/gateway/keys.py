"""Provider keys on their way through: labelled, never kept; and the monitor's own key in the place of its token."""

from __future__ import annotations

from collections.abc import Mapping

from ralex_core.collection.gateway.answers import Refusal
from ralex_core.collection.gateway.headers import KEY_HEADERS, Passed
from ralex_core.collection.gateway.records import key_label
from ralex_core.collection.gateway.routes import Target


def label_of(own: Mapping[bytes, bytes]) -> str | None:
    """The label of the key a request carries; None when it has none."""
    for name in KEY_HEADERS:
        value = own.get(name)
        if value:
            return key_label(value.partition(b" ")[2].strip() if name == b"authorization" else value)
    return None


def with_key(passed: Passed, target: Target) -> Passed:
    """The provider's key in the place of the monitor's token, which never leaves. Raises `Refusal` without one."""
    if target.api_key is None:
        raise Refusal(
            401,
            "no_provider_key",
            f"The monitor's token came in place of a provider's key, and none is set for {target.name}: "
            f"set upstreams.{target.name}.api_key, or send the provider's key and the token in X-Ralex-Token.",
        )
    key = target.api_key.encode("ascii", "ignore")
    pair = (b"x-api-key", key) if target.flavour == "anthropic" else (b"authorization", b"Bearer " + key)
    kept = [header for header in passed.upstream if header[0] not in KEY_HEADERS]
    own = {name: value for name, value in passed.own.items() if name not in KEY_HEADERS}
    return passed._replace(upstream=[*kept, pair], own={**own, pair[0]: pair[1]})
