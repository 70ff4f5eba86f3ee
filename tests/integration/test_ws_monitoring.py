"""The live WebSocket on a real server: messages, filters, slow clients, and who is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ralex_core.clock import SystemClock
from tests.support.dashboard import SmallHost, served, small_host
from tests.support.operations import make_operation

WITHIN_S = 10
"""Only ever waited for when something is wrong."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SmallHost]:
    with small_host(tmp_path, clock=SystemClock(), daily_budget_usd=Decimal(5)) as opened:
        yield opened


@pytest.fixture
def address(host: SmallHost) -> Iterator[str]:
    with served(host) as opened:
        yield opened


@contextlib.asynccontextmanager
async def watching(address: str, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"ws://{address}/ws/monitoring{query}", compression=None, max_size=None, **options
    ) as connection:
        yield connection


async def told(connection: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(connection.recv(), WITHIN_S))


async def told_of(connection: ClientConnection, operation_id: str) -> dict[str, Any]:
    """The first message whose feed holds the operation."""
    while True:
        message = await told(connection)
        if any(item["operation_id"] == operation_id for item in message["feed"]):
            return message


def now_operation(host: SmallHost, identifier: str, **changes: Any):
    return make_operation(identifier, started_at=host.clock.now_us() - 1_000_000, **changes)


async def test_the_first_message_is_a_snapshot_and_then_changes_follow(host: SmallHost, address: str) -> None:
    host.store(now_operation(host, "before"))
    async with watching(address) as connection:
        first = await told(connection)
        assert first["kind"] == "snapshot"
        assert [item["operation_id"] for item in first["feed"]] == ["before"]
        assert len(first["metrics"]["performance"]["series"]["starts"]) == 180
        assert first["health"]["status"] == "ok"
        host.store(now_operation(host, "after"))
        message = await told_of(connection, "after")
        assert message["kind"] == "update"
        assert message["metrics"]["usage"]["operations"] == 2
        assert set(message) == {"kind", "seq", "at", "metrics", "alerts", "health", "feed"}
        assert set(message["metrics"]) == {"performance", "costs", "usage"}


async def test_a_filtered_view_hears_only_its_own(host: SmallHost, address: str) -> None:
    async with watching(address, "?project=alpha") as connection:
        await told(connection)
        host.store(now_operation(host, "b", project="beta"))
        host.store(now_operation(host, "a", project="alpha"))
        message = await told_of(connection, "a")
        assert [item["operation_id"] for item in message["feed"]] == ["a"]
        assert message["metrics"]["usage"]["operations"] == 1


async def test_ping_is_answered(address: str) -> None:
    async with watching(address) as connection:
        await told(connection)
        await connection.send("ping")
        while (text := await asyncio.wait_for(connection.recv(), WITHIN_S)) != "pong":
            assert json.loads(text)


async def test_a_client_that_says_too_much_is_let_go(address: str) -> None:
    async with watching(address) as connection:
        await told(connection)
        await connection.send("x" * 2000)
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await told(connection)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009


async def test_wrong_filters_are_told_in_the_close(address: str) -> None:
    async with watching(address, "?project=" + "x" * 600) as connection:
        with pytest.raises(ConnectionClosed) as caught:
            await told(connection)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400
    assert "project" in caught.value.rcvd.reason


async def test_a_client_that_does_not_read_never_slows_another(host: SmallHost, address: str) -> None:
    name, port = address.split(":")
    loop = asyncio.get_running_loop()
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.setblocking(False)
    await loop.sock_connect(stuck, (name, int(port)))
    handshake = (
        f"GET /ws/monitoring HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await loop.sock_sendall(stuck, handshake.encode())
    try:
        async with watching(address) as connection:
            await told(connection)
            for number in range(20):
                host.store([now_operation(host, f"{number}-{n}", name="n" * 400) for n in range(20)])
                await told_of(connection, f"{number}-19")
            async with httpx.AsyncClient(base_url=f"http://{address}") as client:
                assert (await client.get("/healthz")).status_code == 200
    finally:
        stuck.close()


async def test_a_client_that_comes_back_is_told_what_it_missed(host: SmallHost, address: str) -> None:
    async with watching(address) as connection:
        await told(connection)
    host.store(now_operation(host, "missed"))
    async with watching(address) as connection:
        first = await told(connection)
        assert first["kind"] == "snapshot"
        assert [item["operation_id"] for item in first["feed"]] == ["missed"]


async def test_switching_to_demo_data_tells_everybody_anew(host: SmallHost, address: str) -> None:
    host.store(now_operation(host, "real"))
    async with watching(address) as connection, httpx.AsyncClient(base_url=f"http://{address}") as client:
        await told(connection)
        await client.post("/api/v1/demo")
        message = await told_of(connection, "demo-1")
        assert message["kind"] == "snapshot"
        assert message["health"]["demo"] is True
        assert "real" not in [item["operation_id"] for item in message["feed"]]
        await client.delete("/api/v1/demo")
        message = await told_of(connection, "real")
        assert message["health"]["demo"] is False


async def test_another_sites_page_cannot_listen(address: str) -> None:
    with pytest.raises(Exception, match="403"):
        async with watching(address, origin="https://evil.example"):
            pass
    async with watching(address, origin=f"http://{address}") as connection:
        assert (await told(connection))["kind"] == "snapshot"


async def test_with_a_token_a_client_must_show_it(tmp_path: Path) -> None:
    token = "correct-horse-battery"
    with small_host(tmp_path, clock=SystemClock(), token=token) as host, served(host) as address:
        async with watching(address) as connection:
            with pytest.raises(ConnectionClosed) as caught:
                await told(connection)
            assert caught.value.rcvd is not None and caught.value.rcvd.code == 4401
        async with watching(address, additional_headers={"Authorization": f"Bearer {token}"}) as connection:
            assert (await told(connection))["kind"] == "snapshot"
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            await client.post("/login", data={"token": token})
            cookie = f"ralex_monitor_session={client.cookies['ralex_monitor_session']}"
        async with watching(address, additional_headers={"Cookie": cookie}) as connection:
            assert (await told(connection))["kind"] == "snapshot"


async def test_a_real_server_compresses_refuses_other_names_and_other_sites(host: SmallHost, address: str) -> None:
    host.store([now_operation(host, str(n)) for n in range(50)])
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        page = await client.get("/", headers={"Accept": "text/html"})
        assert page.headers["content-encoding"] == "gzip"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        rebound = await client.get("/api/v1/status", headers={"Host": "evil.example"})
        assert (rebound.status_code, rebound.json()["error"]["code"]) == (421, "wrong_host")
        crossed = await client.post("/api/v1/demo", headers={"Origin": "https://evil.example"})
        assert (crossed.status_code, crossed.json()["error"]["code"]) == (403, "cross_origin")
        assert not host.demo_active
        head = await client.head("/operations")
        assert (head.status_code, head.content) == (200, b"")
