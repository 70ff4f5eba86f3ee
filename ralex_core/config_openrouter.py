"""Settings of the reconciliation with OpenRouter: where, with which keys, how often. Off until a key is set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from ralex_core.config_url import BaseUrl


class OpenRouterSettings(BaseModel):
    """How bills are fetched. Keys are held in memory only: never stored, logged or shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: SecretStr | None = Field(
        default=None, description="An API key: its usage, and the bill of single calls made with it."
    )
    management_key: SecretStr | None = Field(
        default=None, description="A management key: the account's activity per day and model, of the last 30 days."
    )
    url: BaseUrl = Field(
        default="https://openrouter.ai/api/v1", description="Base URL, such as of a proxy of your own."
    )
    every_h: float = Field(default=6, ge=0, description="Hours between reconciliations while serving; 0 is never.")
    days: int = Field(default=7, ge=1, le=30, description="Days back that calls without a bill are looked up.")
    lookups: int = Field(default=500, ge=1, le=100_000, description="Most calls looked up in one reconciliation.")

    @field_validator("key", "management_key")
    @classmethod
    def _is_sendable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value().strip()
        if not text:
            return None
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("it has characters that no key has; copy it again")
        return SecretStr(text)

    @property
    def is_on(self) -> bool:
        """Whether there is a key to ask with."""
        return self.key is not None or self.management_key is not None
