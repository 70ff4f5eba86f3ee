"""The drawing of a forecast: spend so far as a line, the course as a dashed one with a soft band around it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ralex_core.dashboard.contexts.forecast import ForecastFigure, ForecastView

WIDTH, HEIGHT = 320.0, 120.0
_HEADROOM = 1.06
"""The topmost point stays inside the box."""

Point = tuple[float, float]


def figure_of(view: ForecastView) -> ForecastFigure:
    """Paths in a box of `WIDTH` × `HEIGHT`, time to the right, dollars up from zero."""
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
    top = max(now[1], *(value for _, value in high), naive or 0.0) * _HEADROOM or 1.0
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
    )


def _point(at: str, usd: object, start: float, end: float) -> Point:
    return (_seconds(at) - start) / (end - start), float(str(usd))


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _path(points: Sequence[Point], top: float) -> str:
    drawn = [f"{x * WIDTH:.1f} {HEIGHT * (1 - y / top):.1f}" for x, y in points]
    return "M" + "L".join(drawn)
