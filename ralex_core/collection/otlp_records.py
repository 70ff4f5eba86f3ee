"""OTLP messages in both encodings as the same protobuf objects, for signals that come seldom (logs, metrics).

JSON goes through protobuf's own JSON reader, one record at a time: a broken record is rejected and the others are
taken. What differs from plain protobuf JSON (hex ids) is put right before.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, cast

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ralex_core.collection.otlp import MAX_DEPTH, UnreadableRequest
from ralex_core.errors import InvalidOperation

JsonObject = dict[str, Any]
M = TypeVar("M", bound=Message)

MAX_TEXT_BYTES = 16 * 1024
"""A longer attribute is cut: nothing that becomes a field is longer."""
_IDS = ("traceId", "spanId", "parentSpanId")


class Source(NamedTuple):
    """Where records come from: the attributes of their resource, and their scope."""

    resource: dict[str, Any]
    scope: str


class JsonGroup(NamedTuple):
    """The records of one resource and scope, as JSON objects."""

    source: Source
    records: list[JsonObject]


def json_groups(body: bytes, resources: str, scopes: str, records: str) -> Iterator[JsonGroup]:
    """The records of a JSON request, by resource and scope, in its order; fields are named as the request names them.

    Raises:
        UnreadableRequest: the body is not JSON, or not an export request.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableRequest(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise UnreadableRequest("the body is not a JSON object")
    for holder in _objects(cast(JsonObject, request), resources):
        try:
            attributes = attributes_of(parsed(holder.get("resource") or {}, Resource()).attributes)
        except InvalidOperation as error:
            raise UnreadableRequest(f"the body is not an export request, its resource is broken: {error}") from error
        for scope_holder in _objects(holder, scopes):
            scope = scope_holder.get("scope")
            name = cast(JsonObject, scope).get("name") if isinstance(scope, dict) else None
            yield JsonGroup(
                Source(attributes, name if isinstance(name, str) else ""), list(_objects(scope_holder, records))
            )


def parsed(record: object, message: M) -> M:
    """A JSON object as a protobuf message; unknown fields are ignored.

    Raises:
        InvalidOperation: it does not fit; the message says where.
    """
    if not isinstance(record, dict):
        raise InvalidOperation("a record is not a JSON object")
    try:
        return ParseDict(_with_plain_ids(cast(JsonObject, record)), message, ignore_unknown_fields=True)
    except (ParseError, TypeError, ValueError, RecursionError) as error:
        raise InvalidOperation(f"a record cannot be read: {str(error)[:200]}") from error


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes as Python holds them; one that is not set is left out, the first of two of a name wins."""
    found: dict[str, Any] = {}
    for pair in pairs:
        value = plain(pair.value)
        if value is not None and value != "":
            found.setdefault(pair.key, value)
    return found


def plain(value: AnyValue, depth: int = 0) -> Any:
    """A value as Python holds it: None when it is not set or nested too deep; bytes become base64 text."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value[:MAX_TEXT_BYTES]
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bool_value":
            return value.bool_value
        case "bytes_value":
            return base64.b64encode(value.bytes_value[:MAX_TEXT_BYTES]).decode()
        case "array_value" if depth < MAX_DEPTH:
            return [plain(item, depth + 1) for item in value.array_value.values]
        case "kvlist_value" if depth < MAX_DEPTH:
            return {item.key: plain(item.value, depth + 1) for item in value.kvlist_value.values}
        case _:
            return None


def text_of(attributes: Mapping[str, Any], *names: str) -> str | None:
    """The first of these attributes that is a text, a number or a truth value, as text; None when none is."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float) and value != "":
            return str(value)
    return None


def _with_plain_ids(record: JsonObject) -> JsonObject:
    """OTLP's JSON writes ids in hex, protobuf's in base64; an id that is neither is none."""
    changed = {name: _base64(record[name]) for name in _IDS if name in record}
    return {**record, **changed} if changed else record


def _base64(identifier: object) -> str:
    try:
        return base64.b64encode(bytes.fromhex(cast(str, identifier))).decode()
    except (TypeError, ValueError):
        return ""


def _objects(holder: JsonObject, field: str) -> Iterator[JsonObject]:
    """The objects in a repeated field; absent and null are none."""
    values = holder.get(field)
    if values is None:
        return
    if not isinstance(values, list):
        raise UnreadableRequest(f"the body is not an export request: {field} is not a JSON array")
    for value in cast(list[Any], values):
        if not isinstance(value, dict):
            raise UnreadableRequest(f"the body is not an export request: {field} holds what is not a JSON object")
        yield cast(JsonObject, value)
