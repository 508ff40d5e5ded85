"""What the gateway's side of a client connection leaves behind."""

import asyncio
import gc
import weakref
from typing import Any

import httpx2
import uvicorn

from server.client.protocol import GatewayProtocol, take_client


async def test_answered_requests_leave_no_work_to_the_garbage_collector() -> None:
    cycles: list[weakref.ref[Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycles.append(weakref.ref(receive.__self__))
        client = take_client(scope)
        if scope["query_string"]:
            client.start(200, b"", b"one")
            client.write(b"two")
            client.end(b"three")
        else:
            client.answer(200, b"", b"whole")

    config = uvicorn.Config(
        app, port=0, log_level="critical", lifespan="off", ws="none", http=GatewayProtocol
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1/chat/completions"
    gc.collect()
    gc.disable()
    try:
        async with httpx2.AsyncClient(trust_env=False) as client:
            for query in ("", "?stream", "", "?stream", ""):
                answer = await client.post(url + query, content=b"{}")
                assert answer.text == ("onetwothree" if query else "whole")
        # The connection itself keeps its newest request.
        assert [cycle() for cycle in cycles[:-1]] == [None] * 4
    finally:
        gc.enable()
        server.should_exit = True
        await serving
