"""What work would have cost at a baseline model, what it saved and what it was said to be worth, per group.

A **task** is a project and a workflow that begins with `task:`; a **run** of it is what shares a session (else a trace,
else is one operation). Where the baseline model itself has run a task, what it spent on it is the baseline of every
other run of the task (matched). Elsewhere the baseline is the same usage at the baseline model's price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from ralex_core.model.operation import TASK_PREFIX, UNSUCCESSFUL_OUTCOMES
from ralex_core.model.window import HOUR_US, Scope
from ralex_core.pricing.repricing import Breaks
from ralex_core.storage.queries.segments import conditions
from ralex_core.storage.queries.usage import UsedRow, used_rows, used_sql
from ralex_core.storage.schema import MONEY, SUCCESS
from ralex_core.storage.telemetry import Store

Only = tuple[str, Sequence[str | None]]
"""A column of operations and the values that it may have; None where it is not known."""

CLUSTER = (
    "case when o.session_id is not null then 's' || o.session_id "
    f"when starts_with(o.workflow, '{TASK_PREFIX}') then 't' || coalesce(o.project, '') || chr(31) || o.workflow "
    f"else 'u' || coalesce(o.user_id, '') || chr(31) || (o.started_at // {HOUR_US}) end"
)
"""What belongs together when an interval is drawn: a session, else a task, else an hour of a person's work."""

_BAD = ", ".join(f"'{outcome}'" for outcome in UNSUCCESSFUL_OUTCOMES)
DELIVERED = f"o.status = 'ok' and o.outcome not in ({_BAD})"
"""Operations of any kind whose result was not turned down."""
_RUN = "coalesce(session_id, trace_id, operation_id)"
_SUCCESS = SUCCESS.replace("kind", "o.kind").replace("status", "o.status").replace("outcome", "o.outcome")


@dataclass(frozen=True, slots=True)
class Asking:
    """How worth is judged."""

    baselines: Sequence[tuple[str | None, str]] = ()
    """(provider, model) as stored operations name the baseline model; empty when none used it."""
    stored: bool = True
    """Whether `baseline_usd` of the operations is of this baseline; else same usage is priced again by the caller."""
    saved: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    """Operation name → dollars that one success of it is worth (the value model `time_saved`)."""
    explicit: bool = False
    """Whether `value_usd` of operations is added up."""


class WorthRow(NamedTuple):
    """One group, counting calls to models. Amounts leave out operations whose cost is unknown."""

    group: tuple[Any, ...]
    calls: int
    priced: int
    cost_usd: Decimal
    successes: int
    successes_priced: int
    """Successful calls with a known cost: those whose worth is asked for."""
    matched: int
    """Calls in runs of tasks that the baseline model has run too."""
    matched_usd: Decimal
    matched_successes: int
    same: int
    """Successful calls outside of matched runs whose same-usage baseline is stored."""
    same_usd: Decimal
    valued: int
    """Operations of any kind that carry a value of their own (by `Asking.saved` or `Asking.explicit`)."""
    value_usd: Decimal


def has_tasks(store: Store) -> bool:
    """Whether any operation names a task."""
    return bool(store.query(f"select 1 from operations where starts_with(workflow, '{TASK_PREFIX}') limit 1"))


def stored_models(store: Store) -> list[tuple[str | None, str]]:
    """Every (provider, model) that a stored call names."""
    rows = store.query(
        "select distinct provider, model from operations where kind = 'llm' and model is not null order by all"
    )
    return [(row[0], row[1]) for row in rows]


def stored_names(store: Store) -> list[str]:
    """Every name of a stored operation."""
    return [row[0] for row in store.query("select distinct name from operations order by name")]


def worth(
    store: Store, scope: Scope, group: Mapping[str, str], asking: Asking, only: Only | None = None
) -> list[WorthRow]:
    """Rows per group (alias → expression over operations `o`), unordered; without a group exactly one row."""
    parameters: dict[str, Any] = {}
    tasks, joined, share = _tasks(store, asking, parameters)
    valued, value, saving = _value(asking, parameters)
    keys = "".join(f"{expression} as {alias}, " for alias, expression in group.items())
    kinds = "true" if asking.explicit or asking.saved else "o.kind = 'llm'"
    outside = f"{share} is null"
    paid = "o.cost_usd is not null"
    rows = store.query(
        f"""
        {tasks}
        select {keys}
            count(*) filter (o.kind = 'llm'),
            count(o.cost_usd) filter (o.kind = 'llm'),
            coalesce(sum(o.cost_usd), 0)::{MONEY},
            count(*) filter ({_SUCCESS}),
            count(*) filter ({_SUCCESS} and {paid}),
            count({share}) filter ({paid}),
            coalesce(sum({share}) filter ({paid}), 0)::{MONEY},
            count({share}) filter ({paid} and {_SUCCESS}),
            count(o.baseline_usd) filter ({outside} and {_SUCCESS} and {paid}),
            coalesce(sum(o.baseline_usd) filter ({outside} and {_SUCCESS} and {paid}), 0)::{MONEY},
            {valued},
            {value}
        from operations o {joined} {saving}
        where {_window(scope, parameters, only)} and {kinds}
        {f"group by {', '.join(group)}" if group else ""}
        """,
        parameters,
    )
    width = len(group)
    return [WorthRow(row[:width], *row[width:]) for row in rows]


def unmatched_usage(
    store: Store,
    scope: Scope,
    group: Mapping[str, str],
    asking: Asking,
    breaks: Breaks,
    only: Only | None = None,
) -> list[UsedRow]:
    """Usage of the successful calls outside of matched runs: what a baseline that is not stored is priced from."""
    parameters: dict[str, Any] = {}
    tasks, joined, share = _tasks(store, asking, parameters)
    keys = "".join(f", {expression} as {alias}" for alias, expression in group.items() if alias != expression[2:])
    source = (
        f"(select o.*{keys} from operations o {joined} "
        f"where {_window(scope, parameters, only)} and {share} is null and {_SUCCESS})"
    )
    return used_rows(store.query(f"{tasks}{used_sql(list(group), breaks, source, 'true')}", parameters), len(group))


def _window(scope: Scope, parameters: dict[str, Any], only: Only | None) -> str:
    parameters |= {"lo": scope.window.start_us, "hi": scope.window.end_us}
    condition = f"o.started_at >= $lo and o.started_at < $hi{conditions(scope.filters, parameters, 'o')}"
    if only is not None:
        parameters["only"] = [value or "" for value in only[1]]
        condition += f" and coalesce(o.{only[0]}, '') in (select unnest($only::VARCHAR[]))"
    return condition


def _tasks(store: Store, asking: Asking, parameters: dict[str, Any]) -> tuple[str, str, str]:
    """(CTEs, join, the share of its task's baseline cost that a call has), or nothing where no task can match.

    Runs are looked at whole, whatever the window and filters: a run that reaches over the edge of a window counts with
    the calls inside. All calls of a run have equal shares, of a run that failed 0. Several runs of the baseline model
    are averaged; runs whose cost is not fully known are left out of that.
    """
    if not asking.baselines or not has_tasks(store):
        return "", "", "null::DOUBLE"
    parameters["providers"] = [provider or "" for provider, _ in asking.baselines]
    parameters["models"] = [model for _, model in asking.baselines]
    ctes = f"""
        with baselines as (
            select unnest($providers::VARCHAR[]) as provider, unnest($models::VARCHAR[]) as model
        ),
        runs as (
            select coalesce(project, '') as project, workflow, {_RUN} as run,
                count(*) as calls,
                bool_or(status = 'ok') and not bool_or(outcome in ({_BAD})) as succeeded,
                count(cost_usd) = count(*) as priced,
                sum(cost_usd) as usd,
                bool_and((coalesce(provider, ''), model) in (select (provider, model) from baselines)) as at_baseline
            from operations
            where kind = 'llm' and starts_with(workflow, '{TASK_PREFIX}')
            group by all
        ),
        tasks as (
            select project, workflow,
                case when count(*) = 1 then max(usd) else (sum(usd) / count(*))::{MONEY} end as usd
            from runs
            where at_baseline and priced
            group by project, workflow
        ),
        shares as (
            select project, workflow, run,
                case when not runs.succeeded then 0 when runs.calls = 1 then tasks.usd
                    else (tasks.usd / runs.calls)::{MONEY} end::{MONEY} as share
            from runs join tasks using (project, workflow)
        )
        """
    joined = (
        "left join shares on o.kind = 'llm' and shares.workflow = o.workflow "
        "and shares.project = coalesce(o.project, '') "
        "and shares.run = coalesce(o.session_id, o.trace_id, o.operation_id)"
    )
    return ctes, joined, "shares.share"


def _value(asking: Asking, parameters: dict[str, Any]) -> tuple[str, str, str]:
    """(count of valued operations, their value, join) of the value models that need no baseline."""
    if asking.explicit:
        said = f"{DELIVERED} and o.value_usd is not null"
        return f"count(*) filter ({said})", f"coalesce(sum(o.value_usd) filter ({said}), 0)::{MONEY}", ""
    if asking.saved:
        parameters["saved_names"] = list(asking.saved)
        parameters["saved_usd"] = list(asking.saved.values())
        joined = (
            f"left join (select unnest($saved_names::VARCHAR[]) as name, unnest($saved_usd::{MONEY}[]) as usd) saved "
            "on saved.name = o.name"
        )
        said = f"{DELIVERED} and saved.usd is not null"
        return f"count(*) filter ({said})", f"coalesce(sum(saved.usd) filter ({said}), 0)::{MONEY}", joined
    return "0", f"0::{MONEY}", ""
