"""Every setting, in one documented table.

`config.toml` in the data directory < environment `RALEX_MONITOR_*` < argument.
"""

from __future__ import annotations

import os
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from ralex_core.errors import ConfigError

ENV_PREFIX = "RALEX_MONITOR_"
CONFIG_FILE = "config.toml"


class Tier(BaseModel):
    """A named price class. A model belongs to the first tier that names it, else to the first it is under."""

    name: str = Field(min_length=1, max_length=40, description="What the tier is called everywhere.")
    max_usd_per_mtok: Decimal | None = Field(
        default=None,
        description="Highest blended price ((3 × input + output) ÷ 4, USD per million tokens); none is no ceiling.",
    )
    models: tuple[str, ...] = Field(
        default=(),
        description="Model names or `*` patterns that belong here whatever they cost.",
    )


DEFAULT_TIERS = (
    Tier(name="cheap", max_usd_per_mtok=Decimal("1.0")),
    Tier(name="standard", max_usd_per_mtok=Decimal("8.0")),
    Tier(name="premium"),
)


class ApdexTargets(BaseModel):
    """How long an operation of each kind may take before its user is no longer satisfied, in milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    llm: float = Field(default=5000, gt=0, description="Calls to models.")
    api: float = Field(default=500, gt=0, description="Requests to endpoints.")
    db: float = Field(default=100, gt=0, description="Database queries.")
    tool: float = Field(default=2000, gt=0, description="Tools.")
    task: float = Field(default=30_000, gt=0, description="Whole tasks.")

    def of(self, kind: str) -> float:
        """The target of a kind; one that has none is held to that of tasks."""
        found = getattr(self, kind, None) if kind in type(self).model_fields else None
        return self.task if found is None else float(found)


def default_home() -> Path:
    """`$RALEX_MONITOR_HOME`, else `~/.ralex-monitor`."""
    return Path(os.environ.get(f"{ENV_PREFIX}HOME") or "~/.ralex-monitor").expanduser()


class Settings(BaseSettings):
    """What the monitor can be told. Read it with `load_settings`, which turns mistakes into one clear sentence."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, env_nested_delimiter="__")

    home: Path = Field(
        default_factory=default_home,
        description="Data directory: stores, spool, quarantine files, config.toml.",
    )
    host: str = Field(default="127.0.0.1", description="Address to bind. Anything but loopback requires a token.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port of pages, API and OTLP.")
    token: str | None = Field(default=None, min_length=16, description="Bearer token; required off loopback.")
    timezone: str | None = Field(
        default=None,
        description="IANA zone of 'today' and of day boundaries; default: the machine's.",
    )
    daily_budget_usd: Decimal | None = Field(
        default=None,
        gt=0,
        description="Spend allowed per local day; shown on the overview.",
    )
    baseline_model: str = Field(
        default="anthropic/claude-opus-4-5",
        description="Premium model every operation is compared with, as provider/model.",
    )
    tiers: tuple[Tier, ...] = Field(default=DEFAULT_TIERS, min_length=1, description="Price classes, cheapest first.")
    quarantine_factor: Decimal = Field(
        default=Decimal(10), gt=1, description="A claim this many times off the price book is kept out of totals."
    )
    quarantine_min_usd: Decimal = Field(
        default=Decimal("0.05"), ge=0, description="… but only when the difference is more than this many dollars."
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        description="Days to keep single operations; default: for ever.",
    )
    minute_rollup_days: int = Field(
        default=3,
        ge=1,
        description="Days to keep per-minute rollups; hours and days stay.",
    )
    queue_operations: int = Field(
        default=100_000,
        ge=1000,
        description="Operations that may wait for a commit before doors answer 503.",
    )
    max_body_mb: int = Field(default=64, ge=1, description="Largest request body, after decompression, in MiB.")
    store_content: bool = Field(
        default=False,
        description="Keep prompt and answer text (redacted). Off: it is dropped at the door.",
    )
    follow_logs: bool = Field(
        default=True,
        description="While serving, follow the logs that were imported as they grow.",
    )
    resource_interval_s: float = Field(
        default=2.0,
        ge=0.5,
        description="Seconds between samples of host and process resources.",
    )

    apdex_ms: ApdexTargets = Field(
        default=ApdexTargets(),
        description="Per kind, how long an operation may take before its user is no longer satisfied (Apdex).",
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError(f"{value!r} is not an IANA time zone such as Europe/Berlin") from None
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = default_home() / CONFIG_FILE
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file))

    @property
    def telemetry_path(self) -> Path:
        return self.home / "telemetry.duckdb"

    @property
    def state_path(self) -> Path:
        return self.home / "state.sqlite"

    @property
    def demo_dir(self) -> Path:
        """Where demo data lives, apart from everything real."""
        return self.home / "demo"

    @property
    def spool_dir(self) -> Path:
        return self.home / "spool"

    @property
    def quarantine_dir(self) -> Path:
        """Where rejected lines are kept, one file per source."""
        return self.home / "quarantine"

    @property
    def overrides_path(self) -> Path:
        """Price overrides, see docs/prices.md."""
        return self.home / "prices.toml"


def load_settings(**arguments: Any) -> Settings:
    """Read all sources; arguments that are None are left to the file and the environment.

    Raises:
        ConfigError: naming the setting, what is wrong with it, and where it may be set.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        raise ConfigError(
            f"A setting is wrong: {problems}. Correct it in {default_home() / CONFIG_FILE}, "
            f"the environment ({ENV_PREFIX}…) or the command's options."
        ) from error
    except tomllib.TOMLDecodeError as error:
        message = f"{default_home() / CONFIG_FILE} is not valid TOML: {error}. Correct or remove it."
        raise ConfigError(message) from error
