"""Everything the monitor knows of itself, read for its page, the API and nobody else: a few milliseconds."""

from __future__ import annotations

import platform
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

from ralex_core import __version__
from ralex_core.dashboard.contexts.monitor import (
    Amounts,
    GatewayView,
    ImportsView,
    LiveView,
    LogLine,
    MemoryView,
    MonitorView,
    NamedTiming,
    PricesView,
    QueueView,
    RouteTiming,
    SelfCheck,
    SelfHistory,
    ThreadView,
    Timing,
    WritingView,
)
from ralex_core.dashboard.health import HealthDesk
from ralex_core.dashboard.host import Host
from ralex_core.dashboard.self_checks import reason, self_checks
from ralex_core.dashboard.self_levels import (
    disk_space,
    file_sizes,
    levels,
    losses,
    resident_bytes,
    started_at,
    uptime_s,
)
from ralex_core.dashboard.self_watch import INTERVAL_S, Sample, SelfWatch
from ralex_core.errors import RalexError
from ralex_core.render import to_iso
from ralex_core.selfmetrics import Distribution, Labels, Observed, SelfMetrics
from ralex_core.storage.queries.engine import engine_memory

if TYPE_CHECKING:
    from ralex_core.dashboard.site import Site

MAX_ROUTES = 60
MAX_QUESTIONS = 60


def monitor_view(site: Site) -> MonitorView:
    """The whole view, as of now."""
    host, watch, metrics = site.host, site.watch, site.host.metrics
    latest = watch.take() if not watch.samples() else watch.samples()[-1]
    checks = site.checks()
    wrong = reason(checks)
    free, total = disk_space(host)
    logged = {dict(labels).get("level"): value for labels, value in _labelled(metrics, "log_records_total").items()}
    began = started_at()
    return MonitorView(
        generated_at=to_iso(host.clock.now_us()) or "",
        status="ok" if wrong is None else "degraded",
        sentence=wrong or "Everything works as it should.",
        version=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        started_at=to_iso(round(began * 1_000_000)) or "",
        started_us=round(began * 1_000_000),
        uptime_s=round(uptime_s(), 1),
        cpu_ratio=_cpu_ratio(watch),
        disk_free_bytes=free,
        disk_total_bytes=total,
        checks=checks,
        reasons=site.health_desk.reasons(),
        queue=QueueView(host.writer.waiting, host.settings.queue_operations, round(host.writer.oldest_wait_s, 3)),
        writing=_writing(host),
        questions=_questions(metrics),
        routes=_routes(metrics),
        live=_live(metrics),
        imports=_imports(host),
        gateway=_gateway(site),
        losses=losses(metrics),
        prices=_prices(host),
        files=file_sizes(host.settings),
        memory=_memory(host),
        threads=_threads(watch, latest),
        warnings_logged=int(logged.get("warning", 0)),
        errors_logged=int(logged.get("error", 0)),
        log=[
            LogLine(to_iso(line.at_us) or "", line.at_us, line.level, line.logger, line.message)
            for line in site.log.lines()
        ],
        history=_history(watch.samples()),
    )


def checks_of(host: Host, watch: SelfWatch, health: HealthDesk) -> list[SelfCheck]:
    """The checks, judged now: first the reasons why data cannot be taken."""
    found = health.reasons()
    urgent = [
        SelfCheck(one.code, one.code.replace("_", " ").capitalize(), "bad", "now", f"{one.sentence} {one.advice}")
        for one in found
        if one.code not in ("store_unavailable", "queue_full")  # told by the checks of the store and the queue
    ]
    return [*urgent, *self_checks(levels(host, watch, health.store_problem()))]


def timing(observed: Observed | None) -> Timing:
    """Seconds that were observed, as milliseconds people read."""
    if observed is None:
        return Timing(0, None, None, None, None, 0.0, 0, None, 0.0)
    ever, recent = observed.ever, observed.recent
    return Timing(
        count=ever.count,
        mean_ms=_ms(ever.mean),
        p50_ms=_ms(ever.percentile(0.5)),
        p95_ms=_ms(ever.percentile(0.95)),
        max_ms=_ms(ever.largest) if ever.count else None,
        total_s=round(ever.total, 3),
        recent_count=recent.count,
        recent_p95_ms=_ms(recent.percentile(0.95)),
        recent_per_minute=round(recent.count / observed.recent_s * 60, 2),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _amounts(found: Distribution) -> Amounts:
    p50, p95 = found.percentile(0.5), found.percentile(0.95)
    return Amounts(
        count=found.count,
        mean=found.mean,
        p50=None if p50 is None else round(p50),
        p95=None if p95 is None else round(p95),
        max=round(found.largest) if found.count else None,
    )


def _labelled(metrics: SelfMetrics, counter: str) -> dict[Labels, float]:
    return metrics.all_counters().get(counter, {})


def _cpu_ratio(watch: SelfWatch) -> float | None:
    ends = watch.minute()
    if ends is None or ends[1].at_s <= ends[0].at_s:
        return None
    return round(max(0.0, ends[1].cpu_s - ends[0].cpu_s) / (ends[1].at_s - ends[0].at_s), 4)


def _writing(host: Host) -> WritingView:
    metrics = host.metrics
    counters = metrics.counters()
    batches = metrics.observed("commit_operations").get(())
    return WritingView(
        commits=timing(metrics.observed("commit_seconds").get(())),
        batch_operations=_amounts(batches.ever if batches else Distribution()),
        failures=int(counters.get("commit_failures_total", 0)),
        stored=int(counters.get("operations_stored_total", 0)),
        replaced=int(counters.get("operations_replaced_total", 0)),
        duplicates=int(counters.get("operations_duplicate_total", 0)),
        rollups=timing(metrics.observed("rollup_seconds").get(())),
        rollup_lag_s=round(host.writer.rollup_lag_s, 1),
    )


def _questions(metrics: SelfMetrics) -> list[NamedTiming]:
    """The ones that took most time in all, first."""
    found = [
        NamedTiming(dict(labels)["question"], timing(seen))
        for labels, seen in metrics.observed("query_seconds").items()
    ]
    return sorted(found, key=lambda one: (-one.timing.total_s, one.name))[:MAX_QUESTIONS]


def _routes(metrics: SelfMetrics) -> list[RouteTiming]:
    """The ones asked for most often, first."""
    answers = _labelled(metrics, "http_requests_total")
    found: list[RouteTiming] = []
    for labels, seen in metrics.observed("http_request_seconds").items():
        named = dict(labels)
        errors = {status: int(answers.get((*labels, ("status", status)), 0)) for status in ("4xx", "5xx")}
        found.append(RouteTiming(named["method"], named["route"], timing(seen), errors["4xx"], errors["5xx"]))
    return sorted(found, key=lambda one: (-one.timing.count, one.route, one.method))[:MAX_ROUTES]


def _live(metrics: SelfMetrics) -> LiveView:
    counters = metrics.counters()
    return LiveView(
        clients=int(metrics.gauges().get("live_clients", 0)),
        messages=int(counters.get("live_messages_total", 0)),
        replaced=int(counters.get("live_messages_replaced_total", 0)),
        refused=int(counters.get("live_refused_total", 0)),
        lag=timing(metrics.observed("live_lag_seconds").get(())),
    )


def _gateway(site: Site) -> GatewayView:
    if site.gateway is None:
        return GatewayView(0, 0, 0, 0, 0, 0)
    metrics, counts = site.host.metrics, site.gateway.recorder.counts()
    return GatewayView(
        calls=int(sum(_labelled(metrics, "gateway_calls_total").values())),
        in_flight=site.gateway.in_flight,
        refused=int(sum(_labelled(metrics, "gateway_refused_total").values())),
        spooled=counts.spooled,
        in_spool=counts.in_spool,
        lost=counts.lost,
    )


def _imports(host: Host) -> ImportsView:
    states = [job.state for job in host.import_jobs()]
    cursors = host.state.cursors()
    return ImportsView(
        running=states.count("running"),
        queued=states.count("queued"),
        done=states.count("done"),
        failed=states.count("failed"),
        files=len(cursors),
        followed=sum(cursor.follow for cursor in cursors) if host.settings.follow_logs else 0,
        last_read_at=to_iso(max((cursor.updated_at for cursor in cursors), default=None)),
        follower_errors=int(host.metrics.counters().get("follower_errors_total", 0)),
    )


def _prices(host: Host) -> PricesView:
    state = host.book.state()
    return PricesView(state.version, state.models, state.overrides)


def _memory(host: Host) -> MemoryView:
    try:
        engine = engine_memory(host.own_store)
    except RalexError:
        engine = None  # the check of the store says what is wrong
    return MemoryView(
        resident_bytes=resident_bytes(host),
        engine_bytes=None if engine is None else engine.used_bytes,
        engine_spilled_bytes=None if engine is None else engine.spilled_bytes,
        python_blocks=sys.getallocatedblocks(),
    )


def _threads(watch: SelfWatch, latest: Sample) -> list[ThreadView]:
    """Busiest of the last minute first."""
    ends = watch.minute()
    found: list[ThreadView] = []
    for name, spent in latest.threads.items():
        ratio = None
        if ends is not None and ends[1].at_s > ends[0].at_s:
            before = ends[0].threads.get(name)
            grown = spent.cpu_s - (before.cpu_s if before else 0.0)
            # a thread that ended took its seconds with it
            ratio = round(max(0.0, grown) / (ends[1].at_s - ends[0].at_s), 4)
        found.append(ThreadView(name, spent.threads, round(spent.cpu_s, 2), ratio))
    return sorted(found, key=lambda one: (-(one.cpu_ratio or 0), -one.cpu_s, one.name))


def _history(samples: list[Sample]) -> SelfHistory:
    rates: list[tuple[float | None, float | None, float | None, float | None]] = [(None, None, None, None)]
    for before, now in pairwise(samples):
        passed = now.at_s - before.at_s
        commits = now.commits - before.commits
        commit_ms = round((now.commit_s - before.commit_s) / commits * 1000, 2) if commits > 0 else None
        if passed < INTERVAL_S / 10:
            rates.append((None, None, commit_ms, None))
            continue
        rates.append(
            (
                round(max(0.0, now.cpu_s - before.cpu_s) / passed, 4),
                round((now.stored - before.stored) / passed, 2),
                commit_ms,
                round((now.requests - before.requests) / passed, 2),
            )
        )
    return SelfHistory(
        starts=[sample.at_us for sample in samples],
        cpu_ratio=[rate[0] for rate in rates[: len(samples)]],
        resident_bytes=[float(sample.resident_bytes) for sample in samples],
        queue_operations=[float(sample.waiting) for sample in samples],
        stored_per_s=[rate[1] for rate in rates[: len(samples)]],
        commit_ms=[rate[2] for rate in rates[: len(samples)]],
        requests_per_s=[rate[3] for rate in rates[: len(samples)]],
    )
