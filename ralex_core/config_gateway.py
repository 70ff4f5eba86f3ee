"""Settings of the gateway: where calls to models may be passed on to. Only what stands here is ever called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ralex_core.config_url import BaseUrl

Flavour = Literal["openai", "anthropic"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
TAGS = ("project", "user", "session", "operation", "feature", "client")
"""What a path may say before the upstream, as `/gateway/project/shop/openai/v1`; no upstream is called like one."""


class Upstream(BaseModel):
    """A server that answers in OpenAI's or Anthropic's words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: BaseUrl = Field(
        description="Base URL that takes the place of `/gateway/NAME/v1`, such as https://openrouter.ai/api/v1."
    )
    flavour: Flavour = Field(default="openai", description="In whose words the gateway's own errors are put.")
    provider: str | None = Field(default=None, description="Who bills; by default told by the host.")
    ask_usage: bool = Field(
        default=True,
        description="Ask for the usage of chat streams whose caller did not, and keep the extra chunk from the caller.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="The provider's key, for callers that send the monitor's token in its place."
    )


UPSTREAMS: Mapping[str, Upstream] = {
    "openai": Upstream(url="https://api.openai.com/v1"),
    "anthropic": Upstream(url="https://api.anthropic.com/v1", flavour="anthropic"),
    "openrouter": Upstream(url="https://openrouter.ai/api/v1", ask_usage=False),
}
"""Known without a setting. OpenRouter always sends the usage."""


def completed_upstreams(given: Any) -> Any:
    """The upstreams of a setting beside those known; one that is given in part keeps the rest of what is known.

    Raises:
        ValueError: a name that cannot be part of a path.
    """
    if not isinstance(given, Mapping):
        return given
    found: dict[str, Any] = dict(UPSTREAMS)
    for name, part in cast("Mapping[str, Any]", given).items():
        if not _NAME.fullmatch(name) or name in TAGS:
            raise ValueError(f"an upstream cannot be called {name[:60]!r}: use lower-case letters, digits, '-' and '_'")
        known = UPSTREAMS.get(name)
        if known is not None and isinstance(part, Mapping):
            own = {"provider": None} if "url" in part and "provider" not in part else {}
            part = {**known.model_dump(), **own, **cast("Mapping[str, Any]", part)}
        found[name] = part
    return found


class Gateway(BaseModel):
    """How the gateway behaves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    silence_s: float = Field(
        default=600, gt=0, description="Seconds an upstream may say nothing before a call is given up."
    )
    max_output_tokens: int = Field(
        default=8192,
        ge=1,
        description="Output assumed when a budget has to hold the worst case of a call that names no limit of its own.",
    )
    step_down: dict[str, str] = Field(
        default={},
        description="Model (or `*` pattern) → cheaper one that takes its place when a budget has no room for it.",
    )
