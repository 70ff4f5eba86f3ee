"""FastAPI, Starlette and plain ASGI applications, instrumented as they are served."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from ralex_core.collection.instrument import routes
from ralex_core.monitoring import current_operation, instrument, operation
from tests.support.recorded import Recorded, attributes

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


async def ask(app: Any, path: str, method: str = "GET", *, raises: bool = True, **options: Any) -> httpx.Response:
    """One request, in a context of its own as a server gives it."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=raises)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        call = client.request(method, path, **options)
        return await asyncio.get_running_loop().create_task(call, context=contextvars.Context())


def fastapi_app() -> FastAPI:
    app = FastAPI()
    shop = APIRouter(prefix="/shops/{shop}")
    inner = APIRouter(prefix="/shelves")

    @app.get("/users/{user_id}")
    def user(user_id: int) -> dict[str, int]:
        if user_id == 404:
            raise HTTPException(404)
        if user_id == 500:
            raise RuntimeError("secret")
        return {"id": user_id}

    @inner.get("/{shelf}")
    async def shelf(shop: str, shelf: str) -> str:
        return shelf

    shop.include_router(inner)
    app.include_router(shop, prefix="/v1")
    mounted = FastAPI()

    @mounted.post("/items/{item}")
    async def item(item: str) -> str:
        return item

    app.mount("/sub/{tenant}", mounted)
    return app


async def test_requests_are_named_by_method_and_route_template(recorded: Recorded) -> None:
    app = fastapi_app()
    instrument.asgi(app)
    answer = await ask(app, "/users/7", headers={"user-agent": "curl/8.5.0"})
    assert answer.json() == {"id": 7}
    found = recorded.one()
    assert (found.kind, found.name, found.http_status, found.status) == ("api", "GET /users/{user_id}", 200, "ok")
    assert (found.client, found.parent_span_id) == ("terminal", None)
    assert attributes(found) == {
        "http.request.method": "GET",
        "http.direction": "server",
        "http.route": "/users/{user_id}",
        "http.response.body.size": len(answer.content),
    }


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/v1/shops/mine/shelves/3", "GET /v1/shops/{shop}/shelves/{shelf}", 200),
        ("POST", "/sub/acme/items/4", "POST /sub/{tenant}/items/{item}", 200),
        ("GET", "/sub/acme/nothing/here", "GET /sub/{tenant}/{path}", 404),
        ("GET", "/users/404", "GET /users/{user_id}", 404),
        ("GET", "/users/notanumber", "GET /users/{user_id}", 422),
        ("DELETE", "/users/7", "DELETE /users/{user_id}", 405),
        ("GET", "/wp-admin.php", "GET (no route)", 404),
        ("PROPFIND", "/wp-admin.php", "OTHER (no route)", 404),
        ("GET", "/openapi.json", "GET /openapi.json", 200),
    ],
)
async def test_templates_include_routers_and_mounts(
    recorded: Recorded, method: str, path: str, name: str, status: int
) -> None:
    app = fastapi_app()
    instrument.asgi(app)
    await ask(app, path, method)
    found = recorded.one()
    assert (found.name, found.http_status, found.status) == (name, status, "ok")


async def test_starlette_mounts_hosts_and_static_files(recorded: Recorded, tmp_path: Any) -> None:
    (tmp_path / "a.css").write_text("a")

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = Starlette(
        routes=[
            Mount("/static", StaticFiles(directory=tmp_path)),
            Mount("/{org}/files", routes=[Mount("/{year:int}", routes=[Route("/{name:path}", hello)])]),
            Host("api.test", Router([Route("/ping/{n}", hello)])),
            Route("/plain", hello),
        ]
    )
    instrument.asgi(app)
    for path in ("/static/a.css", "/static/nothing.css", "/acme/files/2026/a/b.txt", "/plain", "/plain/"):
        await ask(app, path)
    await ask(app, "http://api.test/ping/3")
    assert recorded.names() == [
        "GET /static/{path}",
        "GET /static/{path}",
        "GET /{org}/files/{year}/{name}",
        "GET /plain",
        "GET (no route)",
        "GET /ping/{n}",
    ]


async def test_ten_thousand_random_paths_are_one_name(recorded: Recorded) -> None:
    app = fastapi_app()
    instrument.asgi(app)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for number in range(500):
            await client.get(f"/random/{number}")
            await client.get(f"/sub/tenant{number}/items/{number}")
            await client.request(f"M{number}", f"/users/{number}")
    assert set(recorded.names()) == {
        "GET (no route)",
        "GET /sub/{tenant}/items/{item}",
        "OTHER /users/{user_id}",
    }
    assert len(recorded.all()) == 1500


async def test_an_application_that_makes_routes_up_has_a_bounded_number_of_names(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_ROUTES", 20)
    app = Starlette()
    instrument.asgi(app)
    for number in range(60):
        app.add_route(f"/made/up/{number}", lambda request: PlainTextResponse("ok"))
        await ask(app, f"/made/up/{number}")
    assert len(set(recorded.names())) == 21
    assert "GET (no route)" in recorded.names()


async def test_an_exception_is_recorded_and_goes_on(recorded: Recorded) -> None:
    app = fastapi_app()
    instrument.asgi(app)
    with pytest.raises(RuntimeError):
        await ask(app, "/users/500")
    assert (await ask(app, "/users/500", raises=False)).status_code == 500
    first, second = {op.operation_id: op for op in recorded.all()}.values()
    assert (first.status, first.error_type, first.http_status) == ("error", "RuntimeError", 500)
    assert (second.error_type, second.name) == ("RuntimeError", "GET /users/{user_id}")
    assert "secret" not in str(recorded.all())


async def test_a_stream_is_timed_to_its_last_byte_and_its_first_byte_noted(recorded: Recorded) -> None:
    app = FastAPI()

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.003)
            yield b"part"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(parts())

    instrument.asgi(app)
    await ask(app, "/stream")
    found = recorded.one()
    first_byte_ms = attributes(found)["http.response.time_to_first_byte_ms"]
    assert found.duration_ms is not None
    assert 3 <= first_byte_ms < found.duration_ms
    assert attributes(found)["http.response.body.size"] == 16


async def test_background_tasks_are_children_but_not_part_of_the_request_s_time(recorded: Recorded) -> None:
    app = FastAPI()

    async def later() -> None:
        with operation("later"):
            await asyncio.sleep(0.05)

    @app.get("/start")
    async def start(tasks: BackgroundTasks) -> str:
        tasks.add_task(later)
        return "started"

    instrument.asgi(app)
    await ask(app, "/start")
    request, task = recorded.named("GET /start"), recorded.named("later")
    assert (request.duration_ms or 0) < 50 <= (task.duration_ms or 0)
    assert task.parent_span_id == request.span_id


@pytest.mark.parametrize(
    ("header", "continued"),
    [
        (TRACE, True),
        ("01-" + TRACE[3:] + "-extra", True),
        ("ff-" + TRACE[3:], False),
        (TRACE + "-extra", False),
        ("00-" + "0" * 32 + TRACE[35:], False),
        ("00-0x" + "a" * 30 + TRACE[35:], False),
        ("00-" + "a_" * 16 + TRACE[35:], False),
        ("nonsense", False),
        ("", False),
        ("-" * 5000, False),
        ("\xff\xfe", False),
    ],
)
async def test_a_well_formed_traceparent_is_continued_and_no_other(
    recorded: Recorded, header: str, continued: bool
) -> None:
    app = fastapi_app()
    instrument.asgi(app)
    await ask(app, "/users/1", headers={"traceparent": header.encode("latin-1")})
    found = recorded.one()
    assert (found.trace_id == "a" * 32) is continued
    assert found.parent_span_id == ("b" * 16 if continued else None)
    assert len(found.trace_id or "") == 32


async def test_a_traceparent_from_outside_may_be_ignored(recorded: Recorded) -> None:
    app = fastapi_app()
    instrument.asgi(app, traceparent=False)
    await ask(app, "/users/1", headers={"traceparent": TRACE})
    assert recorded.one().trace_id != "a" * 32


async def test_one_request_is_one_trace_through_database_and_onward_calls(recorded: Recorded, web: Any) -> None:
    app = FastAPI()

    @app.get("/work")
    def work() -> str:
        db = sqlite3.connect(":memory:")
        db.execute("select 1").fetchall()
        db.close()
        httpx.get(web.url)
        return str(current_operation() is not None)

    instrument.all()
    assert (await ask(app, "/work", headers={"traceparent": TRACE})).json() == "True"
    request, query = recorded.named("GET /work"), recorded.named("select ?")
    onward = recorded.named("GET 127.0.0.1")
    assert {op.trace_id for op in (request, query, onward)} == {"a" * 32}
    assert {query.parent_span_id, onward.parent_span_id} == {request.span_id}
    assert web.seen[0].headers["traceparent"] == f"00-{'a' * 32}-{onward.span_id}-01"


async def test_hostile_user_agents_and_headers_do_no_harm(recorded: Recorded) -> None:
    app = fastapi_app()
    instrument.asgi(app)
    for agent in (b"\xff\x00" * 4000, b"<script>alert(1)</script>", b"a" * 100_000, b"("):
        headers = [(b"user-agent", agent), (b"content-length", b"9" * 400), (b"content-length", b"-1")]
        await ask(app, "/users/1", headers=headers)
    assert [op.client for op in recorded.all()] == [None] * 4
    assert "script" not in str(recorded.all())


async def test_a_client_that_hangs_up_leaves_a_cancelled_request(recorded: Recorded) -> None:
    app = FastAPI()
    waiting = asyncio.Event()

    @app.get("/wait")
    async def wait() -> None:
        waiting.set()
        await asyncio.sleep(60)

    instrument.asgi(app)
    task = asyncio.create_task(ask(app, "/wait"))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(10):  # the request's own task is cancelled by the client's
        await asyncio.sleep(0)
    assert [op.status for op in recorded.all()] in ([], ["cancelled"])


async def test_a_websocket_s_handshake_is_timed_and_the_rest_left_alone(recorded: Recorded) -> None:
    async def talk(websocket: WebSocket) -> None:
        if websocket.path_params["room"] == "closed":
            await websocket.close()
            return
        await websocket.accept()
        assert current_operation() is None
        await websocket.send_text("hello")
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/rooms/{room}", talk)])
    instrument.asgi(app)
    for room in ("open", "closed"):
        sent: list[Any] = []
        inbox = iter([{"type": "websocket.connect"}])

        async def receive(inbox: Any = inbox) -> Any:
            return next(inbox)

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message["type"])

        scope = {"type": "websocket", "path": f"/rooms/{room}", "headers": [], "subprotocols": [], "root_path": ""}
        await app(scope, receive, send)
        expected = ["websocket.accept", "websocket.send", "websocket.close"]
        assert sent == (expected if room == "open" else ["websocket.close"])
    assert [(op.name, op.http_status) for op in recorded.all()] == [
        ("WEBSOCKET /rooms/{room}", 101),
        ("WEBSOCKET /rooms/{room}", 403),
    ]


async def test_lifespan_passes_through(recorded: Recorded) -> None:
    app = fastapi_app()
    instrument.asgi(app)
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert recorded.all() == []


async def test_any_other_application_is_wrapped(recorded: Recorded) -> None:
    async def plain(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    switch = instrument.asgi(plain)
    assert (await ask(switch, "/anything")).status_code == 204
    assert recorded.one().name == "GET (no route)"
    switch.off()
    assert (await ask(switch, "/anything")).status_code == 204
    assert len(recorded.all()) == 1


async def test_switched_on_twice_records_once_and_off_leaves_the_application_as_it_was(recorded: Recorded) -> None:
    app, served_before = fastapi_app(), fastapi_app()
    await ask(served_before, "/users/1")
    for each in (app, served_before):
        before = dict(vars(each))
        one, everywhere = instrument.asgi(each), instrument.asgi()
        assert instrument.asgi(each) is one
        await ask(each, "/users/1")
        assert len(recorded.all()) == 1
        one.off()
        everywhere.off()
        assert dict(vars(each)) == before
        await ask(each, "/users/1")
        assert len(recorded.all()) == 1
        recorded.clear()
    assert "__call__" in vars(Starlette)
