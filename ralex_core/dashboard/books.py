"""Statements as they are asked for and shown: which period, its figures, and the links around them."""

from __future__ import annotations

from datetime import date
from typing import Literal, cast

from ralex_core.dashboard.contexts.books import (
    ComparedView,
    DayView,
    ExplanationView,
    LineView,
    QuarantinedView,
    StatementPage,
    StatementView,
    SumsView,
)
from ralex_core.dashboard.contexts.frame import Choice
from ralex_core.dashboard.params import Query, href, one_of
from ralex_core.dashboard.problems import bad_parameter
from ralex_core.dashboard.reconciliations import findings_within, reconciliations_view
from ralex_core.dashboard.rows import operation_href
from ralex_core.dashboard.site import Site
from ralex_core.model.window import HOUR_US
from ralex_core.monitoring.books.period import (
    BOUNDARIES,
    Boundary,
    Period,
    date_at,
    day_period,
    month_period,
    previous_and_next,
)
from ralex_core.monitoring.books.statement import (
    UNEXPLAINED_RATIO,
    UNEXPLAINED_USD,
    Explanation,
    Line,
    QuarantinedClaim,
    Statement,
    make_statement,
)
from ralex_core.render import count, percent, to_iso, usd
from ralex_core.storage.queries.statement import ROUNDING_RATIO, ROUNDING_USD, Compared, Sums

PATH = "/statement"
CSV_PATH = "/api/v1/costs/statement.csv"
STATEMENT_PARAMS = ("day", "month", "boundary")
EARLIEST, LATEST = date(1970, 1, 2), date(2099, 12, 30)

RULE = (
    f"Claims agree when they are no further from the computed cost than ${ROUNDING_USD:f} or "
    f"{percent(float(ROUNDING_RATIO))}. A line is flagged when what no known cause explains adds up to more than "
    f"${UNEXPLAINED_USD} and more than {percent(float(UNEXPLAINED_RATIO))} of what was compared."
)


def read_period(site: Site, query: Query) -> Period:
    """Which period is asked for: a day, a month, or without either the month of the newest operation.

    Raises:
        RequestProblem: 422, naming the parameter and what it can be.
    """
    given = {name: value for name, value in query if value}
    boundary = cast(Boundary, one_of(query, "boundary", BOUNDARIES, "local"))
    if "day" in given and "month" in given:
        raise bad_parameter("day", given["day"], "give a day or a month, not both.")
    if "day" in given:
        return day_period(_date("day", given["day"]), boundary, site.zone, site.zone_name)
    if "month" in given:
        return month_period(_date("month", given["month"]), boundary, site.zone, site.zone_name)
    held = site.extent()
    newest = site.host.clock.now_us() if held is None else min(held[1], site.host.clock.now_us())
    return month_period(date_at(newest, boundary, site.zone), boundary, site.zone, site.zone_name)


def _date(name: Literal["day", "month"], text: str) -> date:
    example = "2026-11-24" if name == "day" else "2026-11"
    if len(text) != len(example):
        raise bad_parameter(name, text, f"write it as {example}.")
    try:
        found = date.fromisoformat(text if name == "day" else f"{text}-01")
    except ValueError:
        raise bad_parameter(name, text, f"write it as {example}.") from None
    if not EARLIEST <= found <= LATEST:
        raise bad_parameter(name, text, "choose a year from 1970 to 2099.")
    return found


def statement_of(site: Site, period: Period) -> StatementView:
    """The statement of a period, of the data that is shown."""
    made = make_statement(site.host.active_store(), period, site.host.book)
    return statement_view(made, site.host.clock.now_us())


def statement_view(made: Statement, now_us: int) -> StatementView:
    period, window = made.period, made.period.window
    return StatementView(
        period="month" if period.is_month else "day",
        label=period.label,
        boundary=period.boundary,
        timezone=period.zone_name,
        start_at=to_iso(window.start_us) or "",
        end_at=to_iso(window.end_us) or "",
        complete=now_us >= window.end_us,
        made_at=to_iso(now_us) or "",
        total=_sums(made.total),
        lines=[_line(line, period) for line in made.lines],
        days=[
            DayView(
                one.day.date.isoformat(),
                to_iso(one.day.window.start_us) or "",
                one.day.window.length_us / HOUR_US,
                _sums(one.sums),
                period_href("day", one.day.date.isoformat(), period.boundary),
            )
            for one in made.days
        ],
        quarantined=[_quarantined(claim) for claim in made.quarantined],
        unexplained_usd=made.unexplained_usd,
        unexplained_lines=sum(line.state == "unexplained" for line in made.lines),
        not_examined_calls=made.not_examined,
        deleted_calls=made.deleted_calls,
        deleted_usd=made.deleted_usd,
        rule=RULE,
    )


def period_href(kind: str, label: str, boundary: str, path: str = PATH) -> str:
    return href(path, [(kind, label), ("boundary", boundary)])


def statement_page(site: Site, shown: StatementView, period: Period) -> StatementPage:
    """The links around a statement, and what a reader of it has to know."""
    first = period.days[0].date
    before, after = previous_and_next(period)
    kind = shown.period
    text = (lambda day: f"{day:%Y-%m}") if period.is_month else date.isoformat  # pyright: ignore[reportUnknownLambdaType, reportUnknownVariableType]
    reconciliations = reconciliations_view(site)
    return StatementPage(
        statement=shown,
        reconciliations=reconciliations,
        findings=findings_within(reconciliations, period.window),
        reprice={"from": shown.start_at, "to": shown.end_at},
        title=f"{first:%B %Y}" if period.is_month else f"{first:%A}, {first.day} {first:%B %Y}",
        subtitle=f"{'UTC days' if period.boundary == 'utc' else f'local days ({shown.timezone})'}, "
        f"{_minute(shown.start_at)} to {_minute(shown.end_at)} UTC",
        periods=[
            Choice("month", "Month", period_href("month", f"{first:%Y-%m}", period.boundary), period.is_month),
            Choice("day", "Day", _a_day(shown, period), not period.is_month),
        ],
        boundaries=[
            Choice("local", "Local", period_href(kind, shown.label, "local"), period.boundary == "local"),
            Choice("utc", "UTC", period_href(kind, shown.label, "utc"), period.boundary == "utc"),
        ],
        previous_href=period_href(kind, text(before), period.boundary),
        next_href=period_href(kind, text(after), period.boundary) if shown.complete else None,
        csv_href=period_href(kind, shown.label, period.boundary, CSV_PATH),
        input_type="month" if period.is_month else "date",
        hidden=[("boundary", period.boundary)],
        notes=_notes(shown),
    )


def _a_day(shown: StatementView, period: Period) -> str:
    """The last day of the period with calls; its last day when there are none."""
    used = [day.date for day in shown.days if day.sums.calls]
    return period_href("day", used[-1] if used else period.days[-1].date.isoformat(), period.boundary)


def _minute(iso: str) -> str:
    return iso[:16].replace("T", " ")


def _notes(shown: StatementView) -> list[str]:
    notes: list[str] = []
    if not shown.complete:
        notes.append(f"This {shown.period} is not over: the figures are those of {_minute(shown.made_at)} UTC.")
    total = shown.total
    if total.basis["unknown"]:
        notes.append(
            f"The cost of {count(total.basis['unknown'])} of {_calls(total.calls)} is not known and in no sum."
        )
    if total.quarantined_claims:
        notes.append(
            f"{count(total.quarantined_claims)} claim{'s' if total.quarantined_claims > 1 else ''} of "
            f"{usd(total.quarantined_usd)} in quarantine: more than ten times off, kept, and left out of every sum."
        )
    if total.silent_calls:
        notes.append(
            f"{_calls(total.silent_calls)} with a reported cost of 0 for tokens that were used. Clients write 0 for "
            "prices they do not know, so nothing is compared with it."
        )
    if shown.not_examined_calls:
        notes.append(
            f"{count(shown.not_examined_calls)} more calls differ, each by less than the thousands that were looked at "
            "one by one; their differences are in the sums, without a cause."
        )
    if shown.deleted_calls:
        notes.append(
            f"{count(shown.deleted_calls)} calls of this {shown.period} ({usd(shown.deleted_usd)}) were deleted after "
            "retention_days. Other pages keep their sums; a statement itemises what is still there."
        )
    return notes


def _calls(number: int) -> str:
    return f"{count(number)} call{'' if number == 1 else 's'}"


def _sums(sums: Sums) -> SumsView:
    return SumsView(
        calls=sums.calls,
        priced_calls=sums.priced,
        coverage_ratio=sums.coverage_ratio,
        basis={
            "billed": sums.basis_billed,
            "computed": sums.basis_computed,
            "reported": sums.basis_reported,
            "unknown": sums.basis_unknown,
        },
        input_tokens=sums.input_tokens,
        cache_read_tokens=sums.cache_read_tokens,
        cache_write_tokens=sums.cache_write_tokens,
        output_tokens=sums.output_tokens,
        reasoning_tokens=sums.reasoning_tokens,
        cost_usd=sums.cost_usd if sums.priced else None,
        billed_usd=sums.billed_usd if sums.billed_calls else None,
        computed_usd=sums.computed_usd if sums.computed_calls else None,
        reported_usd=sums.reported_usd if sums.reported_calls else None,
        billed_minus_computed=_compared(sums.billed),
        reported_minus_computed=_compared(sums.reported),
        quarantined_claims=sums.quarantined,
        quarantined_usd=sums.quarantined_usd,
        silent_calls=sums.silent,
    )


def _compared(compared: Compared) -> ComparedView:
    return ComparedView(compared.calls, compared.claimed_usd, compared.computed_usd, compared.difference_usd)


def _line(line: Line, period: Period) -> LineView:
    window = period.window
    pairs = [("range", "custom"), ("from", to_iso(window.start_us) or ""), ("to", to_iso(window.end_us) or "")]
    return LineView(
        provider=line.provider,
        model=line.model,
        state=line.state,
        unexplained_usd=line.unexplained_usd,
        explanations=[_explanation(one) for one in line.explanations],
        sums=_sums(line.sums),
        href=href("/operations", [*pairs, ("model", line.model or ""), ("kind", "llm")]),
    )


def _explanation(one: Explanation) -> ExplanationView:
    return ExplanationView(one.witness, one.cause, one.sentence, one.calls, one.difference_usd, one.distance_usd)


def _quarantined(claim: QuarantinedClaim) -> QuarantinedView:
    operation = claim.operation
    witness = cast('Literal["billed", "reported"]', operation.quarantine)
    return QuarantinedView(
        operation_id=operation.operation_id,
        started_at=to_iso(operation.started_at) or "",
        model=operation.model,
        claim=witness,
        usd=claim.usd,
        sentence=claim.sentence or f"the {witness} claim was far off the price book when it came in",
        href=operation_href(operation.operation_id),
    )
