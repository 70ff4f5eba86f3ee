"""Every setting, in one documented table.

`config.toml` in the data directory < environment `RALEX_MONITOR_*` < argument.
"""

from __future__ import annotations

import os
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from ralex_core.config_gateway import UPSTREAMS, Gateway, Upstream, completed_upstreams
from ralex_core.config_openrouter import OpenRouterSettings
from ralex_core.errors import ConfigError
from ralex_core.private_files import tighten

ENV_PREFIX = "RALEX_MONITOR_"
CONFIG_FILE = "config.toml"
FINGERPRINT_KEY_FILE = "fingerprint.key"


TOKEN_CHARACTERS = 5
"""Different characters a token has at least: of random ones of 16 hex digits, one in two million has fewer."""


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


class Threshold(BaseModel):
    """When a resource is in trouble. A level is raised when the reading was at it or above for `for_s`, and taken back
    when it was more than `margin` below for `clear_s`: what moves about in between changes nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn: float = Field(gt=0, description="Level from which it is worth knowing.")
    critical: float = Field(gt=0, description="Level from which work suffers.")
    margin: float = Field(gt=0, description="How far below a level it must fall to be under it again.")
    for_s: float = Field(ge=0, description="Seconds at a level or above before it counts.")
    clear_s: float = Field(ge=0, description="Seconds below before it is over.")

    @model_validator(mode="after")
    def _in_order(self) -> Threshold:
        if not self.margin < self.warn <= self.critical:
            raise ValueError(f"margin ({self.margin}) < warn ({self.warn}) ≤ critical ({self.critical}) must hold")
        return self


def _threshold(warn: float, critical: float, margin: float, seconds: float) -> Threshold:
    return Threshold(warn=warn, critical=critical, margin=margin, for_s=seconds, clear_s=seconds)


class Thresholds(BaseModel):
    """One threshold per resource. What a setting leaves out of one stays as it is here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: Threshold = Field(default=_threshold(0.85, 0.95, 0.05, 60), description="CPU in use ÷ CPU there is")
    load: Threshold = Field(default=_threshold(1.5, 3.0, 0.3, 120), description="load average of a minute ÷ cores")
    throttling: Threshold = Field(
        default=_threshold(0.25, 0.5, 0.1, 60), description="periods in which a container used up its CPU quota ÷ all"
    )
    memory: Threshold = Field(default=_threshold(0.85, 0.95, 0.03, 30), description="memory in use ÷ memory there is")
    swap: Threshold = Field(default=_threshold(0.5, 0.8, 0.1, 60), description="swap in use ÷ swap there is")
    disk: Threshold = Field(
        default=_threshold(0.85, 0.95, 0.02, 60), description="use of the file system that holds the data directory"
    )
    open_files: Threshold = Field(
        default=_threshold(0.7, 0.9, 0.1, 30), description="open files ÷ limit, of the machine or of the monitor"
    )
    gpu_memory: Threshold = Field(
        default=_threshold(0.9, 0.97, 0.03, 60), description="GPU memory in use ÷ there is, of the fullest GPU"
    )

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, given: Any) -> Any:
        """A threshold that is given in part keeps the rest of its defaults."""
        if not isinstance(given, dict):
            return given
        completed: dict[str, Any] = dict(cast("dict[str, Any]", given))
        for name, part in completed.items():
            known = cls.model_fields.get(name)
            if known is not None and isinstance(part, dict):
                completed[name] = {**known.default.model_dump(), **part}
        return completed


WATCHED_PROGRAMS = (
    "claude",
    "codex",
    "gemini",
    "opencode",
    "aider",
    "ralex",
    "copilot",
    "cursor-agent",
    "goose",
    "qwen",
    "litellm",
    "ollama",
    "llama-server",
)


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
    value_model: Literal["baseline", "time_saved", "explicit"] = Field(
        default="baseline",
        description="What work is worth: its `baseline` cost, `time_saved`, or what callers report (`explicit`).",
    )
    minutes_saved: dict[str, Decimal] = Field(
        default={},
        description="For `time_saved`: minutes one success saves, by operation name or `*` pattern.",
    )
    hourly_rate_usd: Decimal | None = Field(
        default=None, gt=0, description="For `time_saved`: what an hour of a person's work costs."
    )
    efficiency_goal: float = Field(
        default=50.0, gt=0, description="Dollars of work per dollar that the Costs page proves or refutes."
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
    stuck_after_s: float = Field(
        default=60.0,
        ge=1,
        description="A decoder or commit that runs longer is stuck: health says so, for a supervisor to restart.",
    )
    engine_memory_mb: int | None = Field(
        default=None,
        ge=64,
        le=1 << 20,
        description="MiB the store's engine (DuckDB) may use before it spills to disk; default: an eighth of the "
        "memory of the machine or container, from 128 to 512.",
    )
    max_names: int = Field(
        default=2000,
        ge=1,
        description="Distinct operation names of a kind that are kept apart; later ones become `(other)`.",
    )
    max_body_mb: int = Field(default=64, ge=1, description="Largest request body, after decompression, in MiB.")
    store_content: bool = Field(
        default=False,
        description="Keep text such as prompts and answers, without credentials. Off: it is dropped where it comes in.",
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
    watch_processes: tuple[str, ...] = Field(
        default=WATCHED_PROGRAMS,
        max_length=100,
        description="Programs whose processes are measured, with all they start.",
    )
    watch_pids: tuple[int, ...] = Field(
        default=(),
        max_length=20,
        description="Processes to measure as well, by pid, until they end.",
    )
    thresholds: Thresholds = Field(
        default=Thresholds(),
        description="When a resource is in trouble, see [Resources](resources.md#thresholds).",
    )

    apdex_ms: ApdexTargets = Field(
        default=ApdexTargets(),
        description="Per kind, how long an operation may take before its user is no longer satisfied (Apdex).",
    )

    gateway: Gateway = Field(default=Gateway(), description="How the gateway behaves, see [The gateway](gateway.md).")
    upstreams: dict[str, Upstream] = Field(
        default=dict(UPSTREAMS),
        description="Where the gateway may pass calls on to, see [The gateway](gateway.md#upstreams).",
    )

    openrouter: OpenRouterSettings = Field(
        default=OpenRouterSettings(),
        description="How bills are fetched from OpenRouter, see [Closing the books](statement.md#settings).",
    )

    @field_validator("token")
    @classmethod
    def _hard_to_guess(cls, value: str | None) -> str | None:
        if value is None:
            return value
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ValueError("may hold letters, digits and punctuation of ASCII only, and no spaces")
        if len(set(value)) < TOKEN_CHARACTERS:
            raise ValueError(
                f"has fewer than {TOKEN_CHARACTERS} different characters, so it can be guessed; "
                "make one with: openssl rand -hex 24"
            )
        return value

    @field_validator("upstreams", mode="before")
    @classmethod
    def _with_known(cls, value: Any) -> Any:
        return completed_upstreams(value)

    @field_validator("minutes_saved")
    @classmethod
    def _minutes(cls, value: dict[str, Decimal]) -> dict[str, Decimal]:
        for name, minutes in value.items():
            if not minutes.is_finite() or not 0 < minutes <= 10_000:
                raise ValueError(f"{name!r} saves {minutes} minutes; give more than 0 and at most 10,000")
        return value

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

    A data directory of ours that others may read is closed to them.

    Raises:
        ConfigError: naming the setting, what is wrong with it, and where it may be set.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        raise ConfigError(
            f"A setting is wrong: {problems}. Correct it in {default_home() / CONFIG_FILE}, "
            f"the environment ({ENV_PREFIX}…) or the command's options."
        ) from error
    except tomllib.TOMLDecodeError as error:
        message = f"{default_home() / CONFIG_FILE} is not valid TOML: {error}. Correct or remove it."
        raise ConfigError(message) from error
    tighten(settings.home)
    return settings
