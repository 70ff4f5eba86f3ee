"""OTLP metrics: the data points that say how many tokens or dollars were used. The rest is counted and not used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from ralex_core.collection import metric_rules as table
from ralex_core.collection.otlp import Decoded, UnreadableRequest
from ralex_core.collection.otlp_records import JsonObject, Source, attributes_of, json_groups, parsed
from ralex_core.collection.otlp_span import FIRST_NS, LAST_NS
from ralex_core.collection.redaction import WITHOUT_TEXT, Redaction
from ralex_core.errors import InvalidOperation

MAX_VALUE = 1e15
"""More tokens than all models read in a year: a larger value is a mistake."""
_SHAPES = ("sum", "histogram", "exponentialHistogram", "gauge", "summary")


class Point(NamedTuple):
    """One data point of a metric that is used."""

    metric: str
    source: Source
    attributes: dict[str, Any]
    start_ns: int
    """0 when the sender does not say since when it counts."""
    time_ns: int
    value: float
    """Counted since `start_ns`: the sum of a histogram, the value of a counter."""
    cumulative: bool


@dataclass(slots=True)
class DecodedMetrics(Decoded):
    """Points that are used; `operations` is filled by whoever knows what was counted before."""

    points: list[Point] = field(default_factory=list[Point])
    old: int = 0
    """Points among them that say nothing new; they are in `unused` too."""

    @property
    def received(self) -> int:
        """Data points of the request."""
        return len(self.points) - self.old + self.rejected + self.unused


def decode_metrics(body: bytes, *, redaction: Redaction = WITHOUT_TEXT) -> DecodedMetrics:
    """The points of a protobuf request that are used, in its order. Points never carry content.

    Raises:
        UnreadableRequest: the body is not an `ExportMetricsServiceRequest`.
    """
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise UnreadableRequest(f"the body is not an ExportMetricsServiceRequest: {error}") from error
    decoded = DecodedMetrics()
    for resource_metrics in request.resource_metrics:
        resource = attributes_of(resource_metrics.resource.attributes)
        for scope_metrics in resource_metrics.scope_metrics:
            source = Source(resource, scope_metrics.scope.name)
            for metric in scope_metrics.metrics:
                _take(decoded, metric, source)
    return decoded


def decode_json_metrics(body: bytes, *, redaction: Redaction = WITHOUT_TEXT) -> DecodedMetrics:
    """The points of a JSON request that are used, in its order. Points never carry content.

    Raises:
        UnreadableRequest: the body is not JSON, or not an export request.
    """
    decoded = DecodedMetrics()
    for group in json_groups(body, "resourceMetrics", "scopeMetrics", "metrics"):
        for found in group.records:
            try:
                metric = parsed(_without_exemplars(found), Metric())
            except InvalidOperation as error:
                for _ in range(max(1, _json_points(found))):
                    decoded.reject(str(error))
                continue
            _take(decoded, metric, group.source)
    return decoded


def _take(decoded: DecodedMetrics, metric: Metric, source: Source) -> None:
    rule = table.METRICS.get(metric.name)
    service = str(source.resource.get("service.name", "")).lower()
    shape = metric.WhichOneof("data")
    if rule is None or service.startswith(table.SAYS_THE_SAME.get(metric.name, ("\0",))):
        decoded.unused += len(getattr(metric, shape).data_points) if shape else 0
        return
    if shape not in ("sum", "histogram", "exponential_histogram"):
        decoded.unused += len(getattr(metric, shape).data_points) if shape else 0
        return  # a level or a summary does not say what was added
    data = getattr(metric, shape)
    for point in data.data_points:
        try:
            taken = _point(metric, data, point, source)
        except InvalidOperation as error:
            decoded.reject(str(error))
            continue
        if taken is None:
            decoded.unused += 1
        else:
            decoded.points.append(taken)


def _point(
    metric: Metric,
    data: Any,
    point: NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint,
    source: Source,
) -> Point | None:
    """The point; None when it says nothing.

    Raises:
        InvalidOperation: it cannot be what it says it is.
    """
    label = f"metric {metric.name[:80]!r}"
    temporality = data.aggregation_temporality
    if temporality not in (
        AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
        AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
    ):
        raise InvalidOperation(f"{label} does not say whether it is delta or cumulative")
    if isinstance(point, NumberDataPoint) and not data.is_monotonic:
        raise InvalidOperation(f"{label} is not monotonic: usage only grows")
    if point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
        return None
    value = _value_of(point)
    if value is None:
        return None
    if not 0 <= value <= MAX_VALUE or math.isnan(value):
        raise InvalidOperation(f"{label} has the value {value:g}, which cannot be an amount that was used")
    start_ns, time_ns = point.start_time_unix_nano, point.time_unix_nano
    if not time_ns:
        raise InvalidOperation(f"{label} has a point without a time")
    if not FIRST_NS <= time_ns <= LAST_NS or (start_ns and start_ns < FIRST_NS):
        raise InvalidOperation(f"{label} has a point outside the years 2000 to 2100: times are nanoseconds since 1970")
    if start_ns > time_ns:
        raise InvalidOperation(f"{label} has a point that ends before it starts")
    return Point(
        metric.name,
        source,
        attributes_of(point.attributes),
        start_ns,
        time_ns,
        value,
        temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
    )


def _value_of(point: NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint) -> float | None:
    if isinstance(point, NumberDataPoint):
        which = point.WhichOneof("value")
        return None if which is None else getattr(point, which)
    return point.sum if point.HasField("sum") else None


def _without_exemplars(metric: JsonObject) -> JsonObject:
    """Exemplars carry hex ids that protobuf's reader takes for base64, and are not used."""
    changed = dict(metric)
    for shape, data, points in _json_data(metric):
        changed[shape] = {**data, "dataPoints": [_without(point, "exemplars") for point in points]}
    return changed


def _without(point: Any, name: str) -> Any:
    if not isinstance(point, dict):
        return point
    return {key: value for key, value in cast(JsonObject, point).items() if key != name}


def _json_points(metric: JsonObject) -> int:
    return sum(len(points) for _, _, points in _json_data(metric))


def _json_data(metric: JsonObject) -> Iterator[tuple[str, JsonObject, list[Any]]]:
    """Shape, data and points of a metric, where they are what they should be."""
    for shape in _SHAPES:
        data: Any = metric.get(shape)
        if isinstance(data, dict):
            points: Any = cast(JsonObject, data).get("dataPoints")
            if isinstance(points, list):
                yield shape, cast(JsonObject, data), cast(list[Any], points)
