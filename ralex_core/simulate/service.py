"""A simulated service with a planted fault, and the same service without it: ground truth for bottleneck detection.

Requests come in at random and use a handler's CPU, a database behind a pool, a lock, other services and language
models. Names, loads, durations and the strength of the fault depend on the seed. Every request draws its durations
from its own generator before it starts, so the run without the fault is the same run but for the fault, and the
difference between the two is the fault's true cost.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal, get_args

from ralex_core.model.operation import Operation, derived_id
from ralex_core.simulate.engine import Engine, Process, Servers, Steps
from ralex_core.simulate.seeds import derived_random
from ralex_core.simulate.service_shape import Shape, shape_of
from ralex_core.storage.telemetry import ResourceSample

Fault = Literal["n_plus_one", "lock", "slow_provider", "retry_storm", "serial_fan_out", "cpu_starvation"]
FAULTS: tuple[str, ...] = get_args(Fault)
SAMPLE_MS = 2000.0
SLICE_MS = 12.0
MAX_ATTEMPTS = 4


@dataclass(slots=True)
class Run:
    """What a run recorded. `durations_ms` are those of the requests in the order they came in."""

    shape: Shape
    operations: list[Operation] = field(default_factory=list[Operation])
    samples: list[ResourceSample] = field(default_factory=list[ResourceSample])
    durations_ms: list[float] = field(default_factory=list[float])


@dataclass(slots=True)
class _Span:
    """An operation under way."""

    kind: str
    name: str
    trace: str
    span_id: str
    parent: str | None
    began_ms: float
    provider: str | None = None
    model: str | None = None
    ttft_ms: float | None = None
    attempt: int = 1
    status: str = "ok"
    error: str | None = None


def run_service(
    seed: int, fault: Fault | None, *, requests: int = 900, start_us: int = 0, strength: str | None = None
) -> Run:
    """One run. `fault` None: the healthy service of this seed.

    `strength` chooses the shape that goes with a fault (its elements and load) without planting it: the run without
    the fault is `run_service(seed, None, strength=fault)`.
    """
    return _Service(seed, fault, strength or fault, requests, start_us).run()


class _Service:
    def __init__(self, seed: int, fault: Fault | None, element: str | None, requests: int, start_us: int) -> None:
        self.seed, self.fault, self.requests, self.start_us = seed, fault, requests, start_us
        self.shape = shape_of(seed, element)
        self.engine = Engine()
        self.cores = Servers(self.engine, self.shape.cores)
        self.pool = Servers(self.engine, self.shape.connections)
        self.lock = Servers(self.engine, self.shape.slots)
        self.result = Run(self.shape, durations_ms=[0.0] * requests)
        self.open_requests = requests
        self.spans = 0
        self.end_ms = requests / self.shape.rate_per_s * 1000

    def run(self) -> Run:
        arrivals = derived_random(self.seed, "arrivals")
        at_ms = 0.0
        for number in range(self.requests):
            at_ms += arrivals.expovariate(self.shape.rate_per_s / 1000)
            self.engine.spawn(self._request(number), at_ms)
        self.engine.spawn(self._sampler())
        if self.fault == "cpu_starvation":
            self._spawn_background()
        self.engine.run()
        return self.result

    # --- recording ---------------------------------------------------------------------------------------------

    def _open(self, kind: str, name: str, above: _Span | None, trace: str) -> _Span:
        self.spans += 1
        span_id = f"{self.seed & 0xFFFF:04x}{self.spans:012x}"
        return _Span(kind, name, trace, span_id, above.span_id if above else None, self.engine.now)

    def _close(self, span: _Span) -> None:
        self.result.operations.append(
            Operation(
                operation_id=derived_id("service", str(self.seed), str(self.fault), span.span_id),
                kind=span.kind,
                name=span.name,
                started_at=self.start_us + round(span.began_ms * 1000),
                duration_ms=self.engine.now - span.began_ms,
                status=span.status,
                error_type=span.error,
                trace_id=span.trace,
                span_id=span.span_id,
                parent_span_id=span.parent,
                ttft_ms=span.ttft_ms,
                attempt=span.attempt,
                service=self.shape.name,
                provider=span.provider,
                model=span.model,
                door="demo",
            )
        )

    # --- what requests do --------------------------------------------------------------------------------------

    def _request(self, number: int) -> Steps:
        rng = derived_random(self.seed, "request", number)
        route = rng.choices(self.shape.routes, self.shape.route_weights)[0]
        trace = derived_id("service-trace", str(self.seed), str(self.fault), str(number))
        root = self._open("api", route.name, None, trace)
        first, *body, last = route.elements
        # drawn before anything waits, and each element from its own generator: faults change no other draw
        yield from self._element(first, root, random.Random(rng.getrandbits(64)))
        step = self._open("task", self.shape.step, root, trace) if self.shape.nested else root
        for element in body:
            yield from self._element(element, step, random.Random(rng.getrandbits(64)))
        if step is not root:
            self._close(step)
        yield from self._element(last, root, random.Random(rng.getrandbits(64)))
        self._close(root)
        self.result.durations_ms[number] = self.engine.now - root.began_ms
        self.open_requests -= 1

    def _element(self, element: str, root: _Span, rng: random.Random) -> Steps:
        if element == "work":
            yield from self._work(rng.expovariate(1 / self.shape.burst_ms))
        elif element.startswith("query:"):
            yield from self._query(element[6:], root, self._spread(rng, self.shape.query_ms))
        elif element == "list":
            yield from self._list(root, rng)
        elif element == "section":
            yield from self._section(root, rng)
        elif element == "fan_out":
            yield from self._fan_out(root, rng)
        elif element == "flaky":
            yield from self._flaky(root, rng)
        elif element == "model":
            yield from self._model(root, rng)

    def _spread(self, rng: random.Random, typical_ms: float) -> float:
        return typical_ms * rng.lognormvariate(0, self.shape.spread)

    def _work(self, cpu_ms: float) -> Steps:
        """CPU time, in slices as a scheduler deals them out."""
        while cpu_ms > 0:
            yield self.cores
            yield min(cpu_ms, SLICE_MS)
            self.cores.release()
            cpu_ms -= SLICE_MS

    def _query(self, name: str, above: _Span, busy_ms: float) -> Steps:
        span = self._open("db", name, above, above.trace)
        yield self.pool
        yield busy_ms
        self.pool.release()
        self._close(span)

    def _list(self, root: _Span, rng: random.Random) -> Steps:
        shape = self.shape
        yield from self._query(shape.list_query, root, self._spread(rng, shape.query_ms))
        items = max(1, round(shape.items * rng.uniform(0.5, 1.5)))
        times = [self._spread(rng, shape.item_ms) for _ in range(items)]
        if self.fault == "n_plus_one":
            for busy_ms in times:
                yield from self._query(shape.item_query, root, busy_ms)
                yield shape.row_ms
        else:
            yield from self._query(shape.batch_query, root, times[0] * (1 + 0.01 * items))
            yield shape.row_ms * items

    def _section(self, root: _Span, rng: random.Random) -> Steps:
        span = self._open("task", self.shape.section, root, root.trace)
        hold_ms = self._spread(rng, self.shape.hold_ms)
        if self.fault == "lock":
            yield self.lock
        yield hold_ms * (1 - self.shape.hold_query_ratio)
        if self.shape.hold_query_ratio:
            yield from self._query(self.shape.section_query, span, hold_ms * self.shape.hold_query_ratio)
        if self.fault == "lock":
            self.lock.release()
        self._close(span)

    def _fan_out(self, root: _Span, rng: random.Random) -> Steps:
        times = [self._spread(rng, self.shape.call_ms) for _ in self.shape.calls]
        calls = [self._call(name, root, time_ms) for name, time_ms in zip(self.shape.calls, times, strict=True)]
        if self.fault == "serial_fan_out":
            for call in calls:
                yield from call
                yield 0.2
            return
        together: list[Process] = [self.engine.spawn(call) for call in calls]
        yield together

    def _call(self, name: str, above: _Span, time_ms: float) -> Steps:
        span = self._open("api", name, above, above.trace)
        yield time_ms
        self._close(span)

    def _flaky(self, root: _Span, rng: random.Random) -> Steps:
        shape = self.shape
        chance = shape.failure_chance if self.fault == "retry_storm" else shape.usual_failure_chance
        good_ms = self._spread(rng, shape.flaky_ms)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            fails, failing_ms, pause = rng.random() < chance, self._spread(rng, shape.failing_ms), rng.uniform(0.5, 1.5)
            span = self._open(shape.flaky_kind, shape.flaky, root, root.trace)
            span.attempt = attempt if shape.tells_attempts else 1
            if fails:
                span.status, span.error = "error", "timeout"
            yield failing_ms if fails else good_ms
            self._close(span)
            if not fails or attempt == MAX_ATTEMPTS:
                return
            yield shape.pause_ms * pause * 2 ** (attempt - 1)

    def _model(self, root: _Span, rng: random.Random) -> Steps:
        shape = self.shape
        provider = rng.choice(shape.providers)
        tokens = rng.lognormvariate(0, 0.4)
        ttft_ms, rest_ms = self._spread(rng, 0.25 * shape.model_ms), self._spread(rng, 0.75 * shape.model_ms) * tokens
        slow = 1.0
        if self.fault == "slow_provider" and provider == shape.slow_provider:
            slow = shape.slowness if self.engine.now >= shape.slow_from_ratio * self.end_ms else 1.0
        span = self._open("llm", "chat", root, root.trace)
        span.provider, span.model, span.ttft_ms = provider, shape.model_of[provider], ttft_ms * slow
        yield (ttft_ms + rest_ms) * slow
        self._close(span)

    # --- the machine -------------------------------------------------------------------------------------------

    def _spawn_background(self) -> None:
        shape = self.shape
        start, end = shape.starved_from_ratio * self.end_ms, shape.starved_until_ratio * self.end_ms
        for worker in range(shape.background_workers):
            self.engine.spawn(self._background(worker, end), start + worker * 3.0)

    def _background(self, worker: int, end_ms: float) -> Steps:
        """A process that wants the CPU most of the time, as a build beside the service does."""
        rng = derived_random(self.seed, "background", worker)
        while self.engine.now < end_ms:
            yield self.cores
            yield SLICE_MS
            self.cores.release()
            rest = (1 - self.shape.background_demand) / self.shape.background_demand
            yield rng.expovariate(1 / (SLICE_MS * rest)) if rest > 0 else 0.0

    def _sampler(self) -> Steps:
        before = 0.0
        while self.open_requests:
            yield SAMPLE_MS
            used = self.cores.measure()
            self.result.samples.append(self._sample((used - before) / (SAMPLE_MS * self.cores.count)))
            before = used

    def _sample(self, cpu_ratio: float) -> ResourceSample:
        return ResourceSample(
            sampled_at=self.start_us + round(self.engine.now * 1000),
            cpu_ratio=min(cpu_ratio, 1.0),
            load_1m=None,
            memory_used_bytes=6 << 30,
            memory_total_bytes=16 << 30,
            swap_used_bytes=0,
            disk_used_bytes=100 << 30,
            disk_total_bytes=500 << 30,
            disk_read_bytes_s=1e6,
            disk_write_bytes_s=2e6,
            net_received_bytes_s=None,
            net_sent_bytes_s=None,
            process_cpu_ratio=cpu_ratio * self.cores.count,
            process_rss_bytes=1 << 30,
            process_open_files=None,
            process_threads=16,
        )
