"""The drawing of a forecast: spend so far as a line, the course as a dashed one with a soft band around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from ralex_core.dashboard.contexts.forecast import DollarMark, ForecastFigure, ForecastView, TimeMark

WIDTH, HEIGHT = 320.0, 150.0
"""The height is that of the page's drawing in pixels, so that grid lines and their words meet."""
_HEADROOM = 1.06
"""The topmost point stays inside the box."""
_WORDS_HEIGHT = 14.0
"""The words of a grid line stand above it and stay inside the box too."""

Point = tuple[float, float]


def figure_of(view: ForecastView, zone: tzinfo) -> ForecastFigure:
    """Paths in a box of `WIDTH` × `HEIGHT`, time on the clock of `zone` to the right, dollars up from zero."""
    start, end = _seconds(view.start_at), _seconds(view.end_at)
    running, spent = 0.0, [(0.0, 0.0)]
    for step in view.spent:
        running += float(step.cost_usd)
        spent.append(((_seconds(step.end_at) - start) / (end - start), running))
    now = spent[-1]
    course = [now, *(_point(step.end_at, step.total_mean_usd, start, end) for step in view.course)]
    low = [now, *(_point(step.end_at, step.total_low_usd, start, end) for step in view.course)]
    high = [now, *(_point(step.end_at, step.total_high_usd, start, end) for step in view.course)]
    naive = None if view.naive_usd is None else float(view.naive_usd)
    top = max(now[1], *(value for _, value in high), naive or 0.0) * _HEADROOM
    top_known, top = top > 0, top or 1.0
    foretold = bool(view.course)
    return ForecastFigure(
        width=WIDTH,
        height=HEIGHT,
        spent=_path(spent, top),
        course=_path(course, top) if foretold else "",
        band=f"{_path(high, top)}{_path(low[::-1], top).replace('M', 'L', 1)}Z" if foretold else "",
        now_x=round(now[0] * WIDTH, 1),
        naive_y=None if naive is None else round(HEIGHT * (1 - naive / top), 1),
        top_usd=top,
        dollars=_dollars(top) if top_known else [],
        times=_times(view, zone),
    )


def _dollars(top: float) -> list[DollarMark]:
    """Round amounts above zero, four at most."""
    power = 10.0 ** math.floor(math.log10(top))
    step = next(power * part for part in (0.25, 0.5, 1.0, 2.5) if top / (power * part) < 5)
    places = 0 if step >= 1 and step == round(step) else max(2, -math.floor(math.log10(step)) + 1)
    marks = [step * number for number in range(1, int(top / step) + 1)]
    lines = [DollarMark(round(HEIGHT * (1 - usd / top), 1), f"${usd:,.{places}f}") for usd in marks]
    return [line for line in lines if line.y >= _WORDS_HEIGHT]


def _times(view: ForecastView, zone: tzinfo) -> list[TimeMark]:
    """Hours of a day, days of a week, every seventh day of a month. The first stands right of its point."""
    start, end = (datetime.fromisoformat(at).astimezone(zone) for at in (view.start_at, view.end_at))
    if view.horizon == "day":
        moments = [(start.replace(hour=hour, minute=0), f"{hour:02d}:00") for hour in (0, 6, 12, 18)]
        moments = [(start, moments[0][1]), *moments[1:], (end, "24:00")]
    else:
        days = range(7) if view.horizon == "week" else range(0, 28, 7)
        each = [start + timedelta(days=number) for number in days]
        moments = [(at, f"{at:%a}" if view.horizon == "week" else f"{at.day} {at:%b}") for at in each]
    length = end.timestamp() - start.timestamp()
    shares = [(at.timestamp() - start.timestamp()) / length for at, _ in moments]
    return [
        TimeMark(round(100 * share, 2), label, "start" if share <= 0 else "end" if share >= 1 else "middle")
        for share, (_, label) in zip(shares, moments, strict=True)
    ]


def _point(at: str, usd: object, start: float, end: float) -> Point:
    return (_seconds(at) - start) / (end - start), float(str(usd))


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _path(points: Sequence[Point], top: float) -> str:
    drawn = [f"{x * WIDTH:.1f} {HEIGHT * (1 - y / top):.1f}" for x, y in points]
    return "M" + "L".join(drawn)
