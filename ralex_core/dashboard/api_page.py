"""The API page at `/docs`: the OpenAPI description as a page of our own.

The usual viewers come from a CDN or weigh more than the whole dashboard; this one is rendered here, so it works
offline, without scripts, and under the same content security policy as every page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

Schema = Mapping[str, Any]

MAX_DEPTH = 6
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class ApiParameter:
    name: str
    place: str
    type: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class ApiBody:
    """What is sent or answered: content types and the shape as indented text."""

    content_types: list[str]
    shape: str


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    status: str
    description: str
    body: ApiBody | None


@dataclass(frozen=True, slots=True)
class ApiRoute:
    anchor: str
    method: str
    path: str
    summary: str
    description: list[str]
    parameters: list[ApiParameter]
    body: ApiBody | None
    answers: list[ApiAnswer]
    example: str


@dataclass(frozen=True, slots=True)
class ApiGroup:
    title: str
    routes: list[ApiRoute]


def api_groups(openapi: Schema, base_url: str) -> list[ApiGroup]:
    """Routes by tag, in the order they were added."""
    components: Schema = openapi.get("components", {}).get("schemas", {})
    groups: dict[str, list[ApiRoute]] = {}
    for path, item in cast("dict[str, dict[str, Any]]", openapi.get("paths", {})).items():
        for method in METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["Other"])[0]
                groups.setdefault(tag, []).append(_route(method, path, item[method], components, base_url))
    return [ApiGroup(title, routes) for title, routes in groups.items()]


def _route(method: str, path: str, found: Schema, components: Schema, base_url: str) -> ApiRoute:
    body = found.get("requestBody")
    parameters = [_parameter(parameter, components) for parameter in found.get("parameters", [])]
    return ApiRoute(
        anchor=f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}",
        method=method.upper(),
        path=path,
        summary=found.get("summary", ""),
        description=[part.replace("\n", " ") for part in found.get("description", "").split("\n\n") if part],
        parameters=parameters,
        body=None if body is None else _body(body, components),
        answers=[
            ApiAnswer(status, answer.get("description", ""), _body(answer, components))
            for status, answer in found.get("responses", {}).items()
        ],
        example=_example(method, path, body, base_url),
    )


def _parameter(found: Schema, components: Schema) -> ApiParameter:
    return ApiParameter(
        found["name"],
        found.get("in", "query"),
        shape_of(found.get("schema", {}), components),
        bool(found.get("required")),
        found.get("description", ""),
    )


def _body(found: Schema, components: Schema) -> ApiBody | None:
    content: Schema = found.get("content", {})
    if not content:
        return None
    first = next(iter(content.values()))
    return ApiBody(list(content), shape_of(first.get("schema", {}), components))


def _example(method: str, path: str, body: Schema | None, base_url: str) -> str:
    parts = ["curl"]
    if method != "get":
        parts.append(f"-X {method.upper()}")
    parts.append(f"'{base_url}{path}'")
    if body is not None:
        content_type = next(iter(body.get("content", {"application/json": {}})))
        parts.append(f"-H 'Content-Type: {content_type}' --data-binary @body")
    return " ".join(parts)


def shape_of(schema: Schema, components: Schema, depth: int = 0, indent: str = "") -> str:
    """A schema as short text: `string`, `integer or null`, `"a" | "b"`, `[ … ]`, or an indented object."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return shape_of(components.get(name, {}), components, depth, indent) if depth < MAX_DEPTH else name
    if "enum" in schema:
        return " | ".join(f'"{word}"' for word in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(shape_of(part, components, depth, indent) for part in schema[union]))
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(cast("list[str]", kind))
    if kind == "array":
        return _array(schema, components, depth, indent)
    if kind == "object":
        return _object(schema, components, depth, indent)
    return str(kind)


def _array(schema: Schema, components: Schema, depth: int, indent: str) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(shape_of(part, components, depth + 1, indent) for part in schema['prefixItems'])}]"
    return f"[{shape_of(schema.get('items', {}), components, depth + 1, indent)}, …]"


def _object(schema: Schema, components: Schema, depth: int, indent: str) -> str:
    if depth >= MAX_DEPTH:
        return "{…}"
    properties: Schema = schema.get("properties", {})
    if not properties:
        values = schema.get("additionalProperties")
        return (
            f"{{name: {shape_of(cast('Schema', values), components, depth + 1, indent)}, …}}"
            if isinstance(values, dict)
            else "{…}"
        )
    inner = indent + "  "
    lines = [f'{inner}"{name}": {shape_of(part, components, depth + 1, inner)}' for name, part in properties.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
