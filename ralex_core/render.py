"""Turns numbers into text for people, and owns the Jinja environment that every page and report is rendered with.

`static/js/format.js` formats the same way in the browser; both are tested against `tests/js/format_cases.json`.
Every formatter writes an em dash for None: unknown is never shown as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from ralex_core.model.money import decimal_text, format_usd

UNKNOWN = "—"
COMPACT_FROM = 100_000
"""From here on a count is written with three digits and a unit: nobody reads the rest."""

_COUNT_UNITS = (("B", 1e9), ("M", 1e6), ("K", 1e3))
_BYTE_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_PACKAGE = Path(__file__).resolve().parent


def usd(amount: Decimal | float | str | None) -> str:
    """Money with the precision that matters; a decimal string is read as one."""
    return format_usd(Decimal(amount) if isinstance(amount, str) else amount)


def duration(milliseconds: float | None) -> str:
    """340 ms, 2.1 s, 4 m 10 s, 1 h 05 m."""
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < 999.5:
        return f"{milliseconds:.1f} ms" if 0 < milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m"


def count(number: float | None) -> str:
    """12,345; from 100,000 on three digits and a unit: 103 K, 69.0 M."""
    if number is None:
        return UNKNOWN
    if abs(number) < COMPACT_FROM:
        return f"{number:,.0f}"
    return _with_unit(number, _COUNT_UNITS, " ")


def size(number_of_bytes: float | None) -> str:
    """Bytes in decimal units: 512 B, 1.40 GB."""
    if number_of_bytes is None:
        return UNKNOWN
    if abs(number_of_bytes) < 1000:
        return f"{number_of_bytes:.0f} B"
    return _with_unit(number_of_bytes, _BYTE_UNITS, " ")


def _with_unit(number: float, units: Sequence[tuple[str, float]], space: str) -> str:
    for place, (unit, factor) in enumerate(units):
        # 999,950 rounds to 1.00 M, not to 1,000 K: the unit is chosen after rounding
        if abs(number) >= factor * 0.9995 or place == len(units) - 1:
            value = number / factor
            decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
            return f"{value:,.{decimals}f}{space}{unit}"
    raise AssertionError("unreachable: the last unit takes everything")


def percent(ratio_0_to_1: float | None) -> str:
    """A ratio as 12.3 %; what is not zero does not round to 0 %, what is not all does not round to 100 %."""
    if ratio_0_to_1 is None:
        return UNKNOWN
    value = ratio_0_to_1 * 100
    if value in (0, 100):
        return f"{value:.0f} %"
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    return f"{value:.1f} %"


def ratio(times: float | None) -> str:
    """A factor: 4.52×, 52.3×, 123×."""
    if times is None:
        return UNKNOWN
    decimals = 2 if abs(times) < 9.995 else 1 if abs(times) < 99.95 else 0
    return f"{times:,.{decimals}f}×"


def rate(per_minute: float | None) -> str:
    """Operations per minute without the unit: 0, <0.1, 0.4, 12, 1,234."""
    if per_minute is None:
        return UNKNOWN
    if 0 < per_minute < 0.05:
        return "<0.1"
    return f"{per_minute:.1f}" if 0 < per_minute < 9.95 else count(per_minute)


def to_iso(time_us: int | None) -> str | None:
    """UTC microseconds as ISO-8601 with Z and microseconds; None stays None."""
    if time_us is None:
        return None
    return (
        datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{time_us % 1_000_000:06d}Z"
    )


def _to_us(moment: int | str) -> int:
    if isinstance(moment, int):
        return moment
    return round(datetime.fromisoformat(moment).timestamp() * 1_000_000)


def exact(moment: int | str | None, zone: tzinfo) -> str:
    """UTC microseconds or ISO text as wall time of `zone`: 2026-11-23 14:03:09."""
    if moment is None:
        return UNKNOWN
    return datetime.fromtimestamp(_to_us(moment) / 1_000_000, zone).strftime("%Y-%m-%d %H:%M:%S")


def ago(moment: int | str | None, now_us: int) -> str:
    """How long ago: just now, 12 s ago, 3 min ago, 2 h ago, 5 days ago; later moments count as now."""
    if moment is None:
        return UNKNOWN
    seconds = (now_us - _to_us(moment)) / 1_000_000
    if seconds < 5:
        return "just now"
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h ago"
    days = seconds // 86_400
    return "1 day ago" if days == 1 else f"{days:,.0f} days ago"


def sparkline(values: Sequence[float | None], width: float = 100, height: float = 24) -> str:
    """The `d` of an SVG path through the values, oldest left; a gap where a value is None, empty without values.

    The scale starts at zero, so a flat line is flat and not noise.
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    top = max(max(known), 0.0) or 1.0
    step = width / max(1, len(values) - 1)
    parts: list[str] = []
    pen_down = False
    for place, value in enumerate(values):
        if value is None:
            pen_down = False
            continue
        parts.append(
            f"{'L' if pen_down else 'M'}{place * step:.1f} {height - 1 - max(0.0, value) / top * (height - 2):.1f}"
        )
        pen_down = True
    return "".join(parts)


def to_json(value: object) -> bytes:
    """JSON as every answer carries it: dataclasses as objects, money as decimal strings, not-a-number as null."""
    return orjson.dumps(value, default=_encode, option=orjson.OPT_NON_STR_KEYS)


def _encode(value: object) -> object:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def json_block(value: object) -> Markup:
    """JSON that is safe inside `<script type="application/json">`: nothing in it can end the element."""
    text = to_json(value).decode()
    return Markup(  # noqa: S704 - every character that means something in HTML is escaped just here
        text.replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def templates_dir() -> Path:
    """Where the templates are: `templates/` of the checkout, `ralex_core/_templates/` of the wheel.

    Raises:
        FileNotFoundError: neither is there; the installation is incomplete.
    """
    for place in (_PACKAGE / "_templates", _PACKAGE.parent / "templates"):
        if (place / "dashboard").is_dir():
            return place
    raise FileNotFoundError("The page templates are missing from this installation; install ralex-monitor again.")


def environment(
    *,
    zone: tzinfo,
    now_us: Callable[[], int],
    static_url: Callable[[str], str],
    extra: Mapping[str, object] | None = None,
) -> Environment:
    """The Jinja environment: autoescape on, an undefined name is an error, numbers formatted by the filters above.

    Args:
        zone: of the times people read.
        now_us: what `ago` counts from.
        static_url: the URL of a static file, by its path under `static/`.
        extra: further globals.
    """
    loaded = Environment(
        loader=FileSystemLoader(templates_dir()),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., object]] = {
        "usd": usd,
        "ms": duration,
        "duration_ms": duration,
        "count": count,
        "tokens": count,
        "percent": percent,
        "ratio": ratio,
        "rate": rate,
        "bytes": size,
        "iso": to_iso,
        "sparkline": sparkline,
        "json_block": json_block,
        "exact": lambda moment: exact(moment, zone),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        "when": lambda moment: exact(moment, zone),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        "ago": lambda moment: ago(moment, now_us()),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    }
    loaded.filters.update(filters)
    shared: dict[str, Any] = {"asset": static_url, "static": static_url, **(extra or {})}
    loaded.globals.update(shared)
    return loaded
