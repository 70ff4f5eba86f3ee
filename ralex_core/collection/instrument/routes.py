"""The template of the route a request took, with its mounts: `/shops/{shop}/items/{item_id}`. Starlette and FastAPI."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, cast

from ralex_core.collection.accelerator import compiled
from ralex_core.collection.prepared import Prepared

Scope = MutableMapping[str, Any]

METHODS = frozenset(
    ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY", "WEBSOCKET")
)
OTHER_METHOD = "OTHER"
MAX_ROUTES = 1000
"""Routes with a name of their own; an application that makes them up as it goes has no more."""
MAX_DEPTH = 10
NO_ROUTE = "(no route)"


class Endpoint:
    """A method and a route: what its requests have in common."""

    __slots__ = ("_answered", "attributes", "name")

    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        self.name = name
        self.attributes = attributes
        self._answered: dict[tuple[int, str | None], Prepared] = {}

    def answered(self, status: int, fields: dict[str, Any]) -> Prepared:
        """Requests that were answered with this status and have these fields: the status' own and perhaps a client."""
        key = status, fields.get("client")
        prepared = self._answered.get(key)
        if prepared is None:
            prepared = Prepared(self.name, "api", fields.copy(), self.attributes, "http.response.body.size")
            self._answered[key] = prepared
        return prepared


class Endpoints:
    """An application's requests, by method and route."""

    __slots__ = ("_known", "_named", "answers")

    def __init__(self) -> None:
        self._known: dict[tuple[object, int, int], tuple[Endpoint, object]] = {}
        self.answers: Any = compiled.Answers() if compiled is not None else None
        """What the compiled half remembers of them."""
        self._named: dict[tuple[str, str | None], Endpoint] = {}

    def of(self, scope: Scope, root: str, application: Any) -> Endpoint:
        """Of a request that was routed by the application; `root` was its `root_path` before."""
        route = scope.get("route")
        context = _context(scope, route)
        mounted = scope.get("root_path", "") != root
        if route is None or mounted:  # the same route may be mounted in several places
            routes = getattr(application, "routes", ())
            return self._name(scope["method"], template_of(scope, root, routes, route, context))
        key = (scope["method"], id(route), id(context))
        known = self._known.get(key)
        if known is None:
            endpoint = self._name(scope["method"], template_of(scope, root, (), route, context))
            # With the objects: their ids are not given to others while they are remembered here.
            known = endpoint, (route, context)
            if len(self._known) < MAX_ROUTES:
                self._known[key] = known
        return known[0]

    def _name(self, method: str, template: str | None) -> Endpoint:
        shown = method if method in METHODS else OTHER_METHOD
        if (shown, template) not in self._named:
            if len(self._named) >= MAX_ROUTES:
                template = None
            attributes: dict[str, Any] = {"http.request.method": shown, "http.direction": "server"}
            if template is not None:
                attributes["http.route"] = template
            name = f"{shown} {template if template is not None else NO_ROUTE}"
            self._named[shown, template] = Endpoint(name, attributes)
        return self._named[shown, template]


def template_of(scope: Scope, root: str, routes: Iterable[Any], route: Any, context: Any) -> str | None:
    """The template, or None when the request found no route."""
    last = _path(context) or _path(route)
    root_path: str = scope.get("root_path", "")
    if last is None:
        return _walk(routes, _relative(scope, root), MAX_DEPTH) if scope.get("endpoint") is not None else None
    if root_path == root:
        return last
    # Mounted: what the mounts matched is in root_path, as the client wrote it; their templates are in the routes.
    prefix = _walk(routes, _relative(scope, root), MAX_DEPTH, only_mounts=root_path[len(root) :])
    if prefix is None:
        prefix = _without_values(root_path[len(root) :], scope.get("path_params"))
    if hasattr(route, "routes") and last.endswith(
        "/{path}"
    ):  # the mount itself: below it nothing was found, or no route
        return prefix + "/{path}"
    return prefix + last


def _without_values(path: str, parameters: Any) -> str:
    """A mounted path whose mount is hidden from us, with the values of parameters replaced by their names."""
    if not isinstance(parameters, dict):
        return path
    names = {str(value): name for name, value in cast("dict[str, Any]", parameters).items()}
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in path.split("/"))


def _relative(scope: Scope, root: str) -> str:
    """The path below where the application itself is mounted."""
    path: str = scope.get("path", "")
    return path[len(root) :] if root and path.startswith(root) else path


def _path(route: Any) -> str | None:
    found = getattr(route, "path_format", None) or getattr(route, "path", None)
    return found if isinstance(found, str) else None


def _context(scope: Scope, route: Any) -> Any:
    """FastAPI's own record of a route in an included router, which has the prefixes the route itself lacks."""
    kept = scope.get("fastapi")
    if not isinstance(kept, dict):
        return None
    context = cast("dict[str, Any]", kept).get("effective_route_context")
    return context if getattr(context, "original_route", None) is route else None


def _walk(routes: Iterable[Any], path: str, depth: int, *, only_mounts: str | None = None) -> str | None:
    """Template of the first route that matches the path; of its mounts only, as far as they match `only_mounts`."""
    for route in routes:
        pattern, template = getattr(route, "path_regex", None), _path(route)
        found = pattern.match(path) if pattern is not None and template is not None else None
        if found is None or template is None:
            continue
        inner = getattr(route, "routes", None)
        if inner is None:
            if only_mounts is None:
                return template
            continue
        rest = "/" + found.groupdict().get("path", "")
        prefix = template.removesuffix("/{path}")
        matched = path[: len(path) - len(rest)]
        if only_mounts is not None and len(matched) >= len(only_mounts):
            return prefix
        left = None if only_mounts is None else only_mounts[len(matched) :]
        below = _walk(inner, rest, depth - 1, only_mounts=left) if depth else None
        if below is not None:
            return prefix + below
        return prefix if only_mounts is not None else template
    return None
