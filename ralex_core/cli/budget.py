"""`ralex-monitor budget`: what may be spent, and how it stands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ralex_core.cli.budget_desk import Desk, no_budget, open_desk
from ralex_core.cli.options import HomeOption, JsonOption
from ralex_core.cli.output import console, print_json

commands = typer.Typer(
    help="Budgets: limits by scope and period.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Its name, or its id.")]
_KEPT = ("name", "scope", "value", "period", "rolling_hours", "soft_usd", "hard_usd", "timezone")

CELL_CHARACTERS = 24
"""Of a name in a table of budgets; the whole name stands in its sentence and in JSON."""


@commands.command("list")
def list_budgets(json: JsonOption = False, home: HomeOption = None) -> None:
    """List the budgets with their limits."""
    del home
    with open_desk() as desk:
        found = desk.budgets()
    if json:
        print_json({"budgets": [{name: one[name] for name in ("id", *_KEPT, "built_in")} for one in found]})
        return
    if not found:
        _say_none()
        return
    table = _table("Name", "Counts", "Per", "Soft limit", "Hard limit", "Id")
    for one in found:
        limits = (_usd(one["soft_usd"]), _usd(one["hard_usd"]))
        table.add_row(_cell(one["name"]), _cell(_scope(one)), _period(one), *limits, one["id"])
    console().print(table)


@commands.command("status")
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this budget, in full.")] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Tell how all budgets stand, or one.

    Those in trouble come first; one is told with what would make its period cheaper.
    """
    del home
    with open_desk() as desk:
        if name is not None:
            detail = desk.detail(_found(desk, name)["id"])
            print_json(detail) if json else _show_one(detail)
            return
        found = desk.budgets()
    if json:
        print_json({"budgets": found})
        return
    if not found:
        _say_none()
        return
    table = _table("Name", "Counts", "Spent", "of", "Left", "Ends at", "State")
    for one in found:
        table.add_row(
            _cell(one["name"]),
            _cell(_scope(one)),
            _usd(one["spent_usd"]),
            f"{_usd(one['limit_usd'])} per {_period(one)}",
            _usd(one["remaining_usd"]),
            _usd(one["projection"]["mean_usd"]) if one["projection"] else "—",
            _state(one),
        )
    out = console()
    out.print(table)
    for one in found:
        if one["state"] != "ok":
            out.print(f"{one['name']}: {one['sentence']}")


@commands.command("set")
def set_budget(
    name: NameArgument,
    per: Annotated[
        str | None, typer.Option(metavar="PERIOD", help="hour, day, week, month, or hours such as 36h (rolling).")
    ] = None,
    hard: Annotated[str | None, typer.Option(metavar="USD", help="Limit calls are held to; 'none' ends it.")] = None,
    soft: Annotated[str | None, typer.Option(metavar="USD", help="Limit that warns; 'none' ends it.")] = None,
    project: Annotated[str | None, typer.Option(help="Count this project; * stands for any text.")] = None,
    user: Annotated[str | None, typer.Option(help="Count this user.")] = None,
    model: Annotated[str | None, typer.Option(help="Count this model.")] = None,
    tier: Annotated[str | None, typer.Option(help="Count this tier.")] = None,
    key: Annotated[str | None, typer.Option(help="Count the gateway credential of this label.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Count everything (again).")] = False,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="Zone of its days, as Europe/Berlin.")] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a budget, or change the one of that name.

    What is not given stays as it is; a new one counts everything, per day. At least one limit is needed.
    """
    del home
    scopes = {"project": project, "user": user, "model": model, "tier": tier, "key": key}
    given = [(scope, value) for scope, value in scopes.items() if value is not None]
    if len(given) + everything > 1:
        raise typer.BadParameter("a budget counts one of --project, --user, --model, --tier, --key and --everything.")
    with open_desk() as desk:
        known = _one(desk.budgets(), name)
        document: dict[str, Any] = {"name": name, "period": "day", "scope": "all"}
        if known is not None:
            document = {field: known[field] for field in _KEPT}
        document |= _period_of(per)
        document |= {f: _limit(v) for f, v in (("hard_usd", hard), ("soft_usd", soft)) if v is not None}
        if given or everything:
            scope, value = given[0] if given else ("all", None)
            document |= {"scope": scope, "value": value}
        if timezone is not None:
            document["timezone"] = timezone or None
        detail = desk.add(document) if known is None else desk.change(known["id"], document)
    if json:
        print_json(detail)
        return
    one = detail["budget"]
    done = "Made" if known is None else "Changed"
    out = console()
    out.print(f"{done} the budget {one['name']!r}: {_usd(one['limit_usd'])} per {_period(one)} for {_scope(one)}.")
    out.print(one["sentence"])


@commands.command("delete")
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Delete a budget. The last 100 deleted ones can be brought back."""
    del home
    with open_desk() as desk:
        one = _found(desk, name)
        if not yes:
            typer.confirm(f"Delete the budget {one['name']!r}?", abort=True, err=True)
        desk.delete(one["id"])
    if json:
        print_json({"id": one["id"], "name": one["name"]})
        return
    console().print(f"Deleted {one['name']!r}. Bring it back: ralex-monitor budget restore {one['id']}")


@commands.command("restore")
def restore(
    budget_id: Annotated[str, typer.Argument(metavar="ID", help="As `delete` printed it.")],
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Bring a deleted budget back."""
    del home
    with open_desk() as desk:
        detail = desk.restore(budget_id)
    if json:
        print_json(detail)
        return
    console().print(f"The budget {detail['budget']['name']!r} is back.")


def _one(budgets: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    wanted = name.strip().casefold()
    return next((one for one in budgets if one["id"] == name or one["name"].strip().casefold() == wanted), None)


def _found(desk: Desk, name: str) -> dict[str, Any]:
    from ralex_core.errors import ConfigError

    found = _one(desk.budgets(), name)
    if found is None:
        raise ConfigError(no_budget(name))
    return found


def _period_of(per: str | None) -> dict[str, Any]:
    from ralex_core.budgeting.periods import PERIODS

    if per is None:
        return {}
    hours = per.removesuffix("h")
    if hours != per and hours.isascii() and hours.isdigit() and len(hours) < 7:
        return {"period": "rolling", "rolling_hours": int(hours)}
    if per not in PERIODS or per == "rolling":
        words = ", ".join(one for one in PERIODS if one != "rolling")
        raise typer.BadParameter(
            f"{per!r} is not one of {words}, or a number of hours such as 36h.", param_hint="--per"
        )
    return {"period": per, "rolling_hours": None}


def _limit(text: str) -> str | None:
    return None if text.lower() == "none" else text.removeprefix("$")


def _show_one(detail: dict[str, Any]) -> None:
    from ralex_core.render import percent

    one, out = detail["budget"], console()
    forecast = one["projection"]
    past = one["history"]
    rows = [
        ("Counts", f"{_scope(one)}, per {_period(one)}"),
        ("Spent", f"{_usd(one['spent_usd'])} of {_usd(one['limit_usd'])} ({percent(one['used_ratio'])})"),
        ("Held", f"{_usd(one['held_usd'])} for calls under way"),
        ("Left", _usd(one["remaining_usd"])),
        ("Rate", f"{_usd(one['burn_usd_per_hour'])} an hour"),
        ("Ends at", _forecast(forecast) if forecast else "—"),
        ("State", f"{_state(one)}: {one['sentence']}"),
        ("Past", f"{one['kept']} of {len(past)} kept" if past else "—"),
    ]
    table = _table()
    for title, value in rows:
        table.add_row(title, value)
    out.print(one["name"], style="bold")
    out.print(table)
    for alternative in detail["alternatives"]:
        out.print(f"· {alternative['sentence']}")


def _forecast(forecast: dict[str, Any]) -> str:
    return f"{_usd(forecast['mean_usd'])} ({_usd(forecast['low_usd'])} to {_usd(forecast['high_usd'])})"


def _say_none() -> None:
    console().print("No budgets yet. Make one: ralex-monitor budget set Team --per day --hard 5")


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=bool(columns))
    for title in columns:
        table.add_column(title, no_wrap=title not in ("Name", "Counts"))
    if not columns:
        table.add_column(style="dim")
        table.add_column()
    return table


def _cell(text: str) -> str:
    """A name as a cell holds it: cut, so that it takes two lines at most."""
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"


def _scope(one: dict[str, Any]) -> str:
    return "everything" if one["scope"] == "all" else f"{one['scope']} {one['value']}"


def _period(one: dict[str, Any]) -> str:
    return f"{one['rolling_hours']} h" if one["period"] == "rolling" else one["period"]


def _state(one: dict[str, Any]) -> str:
    return {"ok": "within", "warn": "at risk", "over": "used up"}[one["state"]]


def _usd(amount: str | None) -> str:
    from decimal import Decimal

    from ralex_core.model.money import format_usd

    return "—" if amount is None else format_usd(Decimal(amount))
