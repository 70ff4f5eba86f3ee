"""What a simulated service is made of, by seed: its routes, names, loads and durations."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from ralex_core.simulate.seeds import derived_random

_VERBS = ("load", "fetch", "sync", "build", "check", "merge", "rank", "index", "quote", "scan", "plan", "render")
_NOUNS = ("basket", "ledger", "ticket", "branch", "report", "review", "invoice", "session", "diff", "prompt", "asset")
_PROVIDERS = ("nimbus", "vertexa", "orion", "quill", "lumen")
ELEMENTS = {
    "n_plus_one": "list",
    "lock": "section",
    "slow_provider": "model",
    "retry_storm": "flaky",
    "serial_fan_out": "fan_out",
    "cpu_starvation": "work",
}
"""The element in which each fault is planted."""


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """One service. Times are milliseconds, typical ones; the real ones spread log-normally around them."""

    name: str
    rate_per_s: float
    routes: list[Route]
    route_weights: list[float]
    spread: float
    cores: int
    connections: int
    burst_ms: float
    query_ms: float
    list_query: str
    item_query: str
    batch_query: str
    items: int
    item_ms: float
    row_ms: float
    step: str
    section: str
    section_query: str
    slots: int
    """How many may be in the section at once, when it is guarded."""
    hold_ms: float
    hold_query_ratio: float
    """Of the time in the section, how much is a query below it."""
    nested: bool
    """Whether the parts of a request run below a step of it."""
    calls: list[str]
    call_ms: float
    flaky_kind: str
    flaky: str
    flaky_ms: float
    failing_ms: float
    pause_ms: float
    usual_failure_chance: float
    failure_chance: float
    tells_attempts: bool
    providers: list[str]
    model_of: dict[str, str]
    model_ms: float
    slow_provider: str
    slowness: float
    slow_from_ratio: float
    background_workers: int
    background_demand: float
    starved_from_ratio: float
    starved_until_ratio: float


def shape_of(seed: int, element: str | None) -> Shape:
    """The service of a seed. `element` names a fault: most requests then use the part in which it is planted."""
    rng = derived_random(seed, "shape")
    needed = ELEMENTS.get(element or "")
    rate_per_s, cores = rng.uniform(3, 8), rng.randint(2, 6)
    routes, weights = _routes(rng, needed)
    bursts = sum(
        weight * sum(part == "work" for part in route.elements) for route, weight in zip(routes, weights, strict=True)
    )
    asking = sum(weight for route, weight in zip(routes, weights, strict=True) if "section" in route.elements)
    load = rng.uniform(0.3, 0.45) if needed == "work" else rng.uniform(0.2, 0.4)
    spread = rng.uniform(0.25, 0.5)
    items, list_table = rng.randint(14, 45), rng.choice(_NOUNS)
    same_call = rng.random() < 0.5
    calls = rng.randint(4, 8)
    providers: list[str] = rng.sample(_PROVIDERS, 3)
    # slow all the time shows against peers with the same model, slow from some time on against the time before
    always = rng.random() < 0.4
    models = [f"m-{rng.randint(10, 99)}" for _ in providers]
    # a queue for several slots is short unless they are nearly always taken
    slots = rng.choice((1, 1, 1, 2, 3))
    hold_load = rng.uniform(0.6, 0.82) if slots == 1 else rng.uniform(0.82, 0.9)
    return Shape(
        name=f"{rng.choice(_NOUNS)}-service",
        rate_per_s=rate_per_s,
        routes=routes,
        route_weights=weights,
        spread=spread,
        cores=cores,
        connections=rng.randint(8, 24),
        burst_ms=load * cores * 1000 / rate_per_s / max(bursts, 0.1),
        query_ms=rng.uniform(2, 12),
        list_query=f"select id from {list_table} where owner = ?",
        item_query=f"select * from {list_table}_item where id = ?",
        batch_query=f"select * from {list_table}_item where id in (?)",
        items=items,
        item_ms=rng.uniform(200, 500) / items,
        row_ms=rng.uniform(0.05, 0.3),
        step=f"{rng.choice(_VERBS)} all",
        section_query=f"update {rng.choice(_NOUNS)} set n = ? where id = ?",
        section=f"{rng.choice(_VERBS)} {rng.choice(_NOUNS)}",
        slots=slots,
        hold_query_ratio=rng.choice((0.0, 0.0, 0.7)),
        nested=rng.random() < 0.4,
        hold_ms=slots * hold_load / (rate_per_s * max(asking, 0.1)) * 1000 / math.exp(spread**2 / 2),
        calls=[f"GET {'parts' if same_call else f'{noun}s'}.internal" for noun in rng.sample(_NOUNS, calls)],
        call_ms=rng.uniform(40, 160),
        flaky_kind=rng.choice(("api", "tool")),
        flaky=f"{rng.choice(_VERBS)} {rng.choice(_NOUNS)} remote",
        flaky_ms=rng.uniform(60, 250),
        failing_ms=rng.uniform(80, 500),
        pause_ms=rng.uniform(50, 250),
        usual_failure_chance=0.005,
        failure_chance=rng.uniform(0.3, 0.6),
        tells_attempts=rng.random() < 0.5,
        providers=providers,
        model_of=dict(zip(providers, models[:1] * 3 if always else models, strict=True)),
        model_ms=rng.uniform(400, 1600) if needed == "model" else rng.uniform(300, 800),
        slow_provider=rng.choice(providers),
        slowness=rng.uniform(2.2, 5),
        slow_from_ratio=0.0 if always else rng.uniform(0.25, 0.65),
        background_workers=rng.randint(3 * cores // 2, 3 * cores),
        background_demand=rng.uniform(0.5, 0.9),
        starved_from_ratio=(begin := rng.uniform(0.1, 0.5)),
        starved_until_ratio=begin + rng.uniform(0.25, 0.45),
    )


def _routes(rng: random.Random, needed: str | None) -> tuple[list[Route], list[float]]:
    """Three to five routes; the needed element is on the first two, which most requests take."""
    count = rng.randint(3, 5)
    routes: list[Route] = []
    tables = rng.sample(_NOUNS, count)
    for number in range(count):
        parts = ["work", *(f"query:select * from {tables[number]} where k{n} = ?" for n in range(rng.randint(1, 3)))]
        parts += [part for part in ("list", "section", "fan_out", "flaky") if rng.random() < 0.4]
        if rng.random() < 0.35:
            parts.append("model")
        if needed is not None and number < 2 and needed not in parts:
            parts.append(needed)
        parts += ["work"] * rng.randint(1, 3)
        body = parts[1:-1]
        rng.shuffle(body)
        name = f"{rng.choice(('GET', 'POST'))} /{tables[number]}s/{{id}}/{rng.choice(_VERBS)}"
        routes.append(Route(name, ("work", *body, "work")))
    weights = [rng.uniform(2, 4), rng.uniform(1.5, 3), *(rng.uniform(0.3, 1) for _ in routes[2:])]
    total = sum(weights)
    return routes, [weight / total for weight in weights]
