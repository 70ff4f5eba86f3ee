"""What OpenRouter's API says of money: of a key, of one generation, of an account's days. One file knows its shapes.

Answers are read with every decimal. A busy service (429, 5xx, no answer) is asked again after the time it names, or
after ever longer ones; a generation that is not there yet (404) is an answer, and for the caller to ask again later.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, cast

from pydantic import SecretStr

from ralex_core import __version__
from ralex_core.collection.llm_usage import count_of, usd_of
from ralex_core.errors import RalexError

logger = logging.getLogger(__name__)

TRIES = 5
"""Of one request; the waits between them add up to half a minute where the service names none."""
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 60.0
TIMEOUT_S = 20.0
MAX_ANSWER_BYTES = 16 * 2**20
MAX_ID = 200

Wait = Callable[[float], bool]
"""Waits so many seconds; True: it was told to stop."""


class OpenRouterRefused(RalexError):
    """OpenRouter does not take the key, or does not let it ask this. Trying again does not help."""


class OpenRouterBusy(RalexError):
    """OpenRouter did not answer, however often it was asked; what was learnt so far is kept, and later goes on."""


class Interrupted(RalexError):
    """The monitor is shutting down."""


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """What one key has used, in dollars: ever, and in the UTC day, week and month it was asked in."""

    usage: Mapping[str, Decimal | None]
    """By window: `day`, `week`, `month`, `ever`; charged to OpenRouter credits."""
    byok: Mapping[str, Decimal | None]
    """… and to keys of one's own at the providers."""
    limit_usd: Decimal | None
    is_free_tier: bool
    is_management_key: bool


@dataclass(frozen=True, slots=True)
class Generation:
    """What OpenRouter knows of one call. Tokens are the provider's own counts; None is not said."""

    generation_id: str
    model: str | None
    provider_name: str | None
    total_usd: Decimal | None
    """What OpenRouter charged: all of it, or with a key of one's own (`is_byok`) its fee."""
    upstream_usd: Decimal | None
    """What the provider behind it asks."""
    is_byok: bool
    cancelled: bool
    input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cached_tokens: int | None

    @property
    def true_usd(self) -> Decimal | None:
        """What the call cost: with a key of one's own the fee and the provider's charge; None when either is unsaid."""
        if not self.is_byok or self.total_usd is None:
            return self.total_usd
        return None if self.upstream_usd is None else self.total_usd + self.upstream_usd


@dataclass(frozen=True, slots=True)
class Activity:
    """One UTC day of one model at one host. `usd` is charged to credits, `byok_usd` to keys of one's own."""

    day: date
    model: str
    permaslug: str | None
    provider_name: str | None
    usd: Decimal
    byok_usd: Decimal
    requests: int
    input_tokens: int | None
    output_tokens: int | None

    @property
    def true_usd(self) -> Decimal:
        return self.usd + self.byok_usd


class OpenRouter:
    """One connection to the API. For use by one thread; a context manager.

    Every method raises `OpenRouterRefused`, `OpenRouterBusy`, or `Interrupted` when `wait` says so.
    """

    def __init__(self, base_url: str, key: SecretStr, *, wait: Wait, now: Callable[[], float]) -> None:
        """`now` is wall time in seconds since the epoch: a service may name a date to wait for."""
        import httpx2  # takes a tenth of a second, and only a monitor with a key needs it

        self._errors = httpx2.HTTPError
        self._base_url = base_url
        self._wait = wait
        self._now = now
        self._client = httpx2.Client(
            timeout=TIMEOUT_S,
            follow_redirects=False,  # a key goes to the host it was meant for and to no other
            headers={
                "Authorization": f"Bearer {key.get_secret_value()}",
                "User-Agent": f"ralex-monitor/{__version__}",
                "Accept": "application/json",
            },
        )

    def __enter__(self) -> OpenRouter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def key_usage(self) -> KeyUsage:
        """What this key has used; works with every key."""
        data = _object(self._get("/key", {}))
        windows = {"day": "_daily", "week": "_weekly", "month": "_monthly", "ever": ""}
        return KeyUsage(
            usage={name: usd_of(data.get(f"usage{suffix}")) for name, suffix in windows.items()},
            byok={name: usd_of(data.get(f"byok_usage{suffix}")) for name, suffix in windows.items()},
            limit_usd=usd_of(data.get("limit")),
            is_free_tier=data.get("is_free_tier") is True,
            is_management_key=data.get("is_management_key") is True or data.get("is_provisioning_key") is True,
        )

    def generation(self, generation_id: str) -> Generation | None:
        """One call; None while OpenRouter does not know it (yet)."""
        answer = self._get("/generation", {"id": generation_id}, absent=True)
        if answer is None:
            return None
        data = _object(answer)
        return Generation(
            generation_id=generation_id,
            model=_text(data.get("model")),
            provider_name=_text(data.get("provider_name")),
            total_usd=usd_of(data.get("total_cost")),
            upstream_usd=usd_of(data.get("upstream_inference_cost")),
            is_byok=data.get("is_byok") is True,
            cancelled=data.get("cancelled") is True,
            input_tokens=count_of(data.get("native_tokens_prompt")),
            output_tokens=count_of(data.get("native_tokens_completion")),
            reasoning_tokens=count_of(data.get("native_tokens_reasoning")),
            cached_tokens=count_of(data.get("native_tokens_cached")),
        )

    def activity(self, day: date | None = None) -> list[Activity]:
        """An account's UTC day (all of the last 30 without one) per model and host; needs a management key."""
        answer = self._get("/activity", {} if day is None else {"date": day.isoformat()})
        rows: Any = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise OpenRouterBusy("OpenRouter answered /activity with something that is no list of days.")
        return [found for row in cast("list[Any]", rows) if (found := _activity(row)) is not None]

    # --- asking ------------------------------------------------------------------------------------------------

    def _get(self, path: str, parameters: dict[str, str], *, absent: bool = False) -> dict[str, Any] | None:
        said = "it did not answer"
        for attempt in range(TRIES):
            pause: float | None = None
            try:
                response = self._client.get(f"{self._base_url}{path}", params=parameters)
                status, body = response.status_code, response.content
                pause = self._retry_after(response.headers.get("retry-after"))
            except self._errors as error:
                said = f"it cannot be reached ({type(error).__name__})"
            else:
                if status == 200 and len(body) <= MAX_ANSWER_BYTES:
                    found = _parsed(body)
                    if found is not None:
                        return found
                    said = "its answer is not JSON"
                elif status == 404 and absent:
                    return None
                elif status not in (408, 425, 429) and status < 500:
                    raise OpenRouterRefused(_refusal(path, status))
                else:
                    said = f"it answered {status}"
            if attempt + 1 < TRIES:
                logger.info("OpenRouter %s: %s; asked again", path, said)
                if self._wait(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt if pause is None else pause)):
                    raise Interrupted("The monitor is shutting down; the next reconciliation goes on.")
        raise OpenRouterBusy(f"OpenRouter was asked {TRIES} times for {path}, {said}. The next reconciliation goes on.")

    def _retry_after(self, text: str | None) -> float | None:
        """Seconds a `Retry-After` asks for: a number, or a date."""
        if not text:
            return None
        try:
            return max(0.0, float(text))
        except ValueError:
            pass
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - self._now())


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        found: Any = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _object(answer: dict[str, Any] | None) -> dict[str, Any]:
    data = None if answer is None else answer.get("data")
    if not isinstance(data, dict):
        raise OpenRouterBusy("OpenRouter answered with something that has no data in it.")
    return cast("dict[str, Any]", data)


def _refusal(path: str, status: int) -> str:
    """What a person can do about it. The words of the answer are not passed on: they might repeat the key."""
    if status == 401:
        return "OpenRouter does not know this key (401). Set openrouter.key to one of https://openrouter.ai/keys."
    if status == 403:
        return (
            f"OpenRouter does not let this key ask for {path} (403). Activity needs a management key "
            "(openrouter.management_key)."
        )
    if status == 402:
        return "OpenRouter wants credits first (402), and answers nothing until then."
    if 300 <= status < 400:
        return (
            f"{path} was answered with a redirection ({status}), which is not followed with a key. See openrouter.url."
        )
    if status == 404:
        return f"There is no {path} at openrouter.url (404). Check the setting; it ends with /api/v1."
    return f"OpenRouter refused {path} with status {status}."


def _activity(row: Any) -> Activity | None:
    if not isinstance(row, dict):
        return None
    fields = cast("dict[str, Any]", row)
    try:
        day = datetime.fromisoformat(str(fields.get("date"))[:10]).date()
    except ValueError:
        return None
    model = _text(fields.get("model"))
    if model is None:
        return None
    return Activity(
        day=day,
        model=model,
        permaslug=_text(fields.get("model_permaslug")),
        provider_name=_text(fields.get("provider_name")),
        usd=usd_of(fields.get("usage")) or Decimal(0),
        byok_usd=usd_of(fields.get("byok_usage_inference")) or Decimal(0),
        requests=count_of(fields.get("requests")) or 0,
        input_tokens=count_of(fields.get("prompt_tokens")),
        output_tokens=count_of(fields.get("completion_tokens")),
    )


def _text(value: Any) -> str | None:
    return value[:MAX_ID] if isinstance(value, str) and value else None
