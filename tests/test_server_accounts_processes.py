"""The ledger over real processes, exact for streams that are whole, cut and cancelled."""

import asyncio
import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import openai

from tests.support.gateway_stack import create_key
from tests.support.load import new_client, stream
from tests.support.processes import free_port, kodolly, running, script, scripted_engine, wait_for


def test_the_ledger_is_exact_for_whole_cut_and_cancelled_streams(tmp_path: Path) -> None:
    gateway = f"http://127.0.0.1:{free_port()}"
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state"), "KODOLLY_ADMIN_TOKEN": "admin-token"}
    with ExitStack() as stack:
        engine = stack.enter_context(scripted_engine(tmp_path, "dolly"))
        secret = create_key(env, tmp_path)
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--static", f"dolly={engine}")
        log = tmp_path / "gateway.log"
        stack.enter_context(running(argv, log, f"{gateway}/healthz", env, tmp_path))
        body: dict[str, object] = {
            "model": "dolly",
            "messages": [{"role": "user", "content": "비밀 질문"}],
            "max_tokens": 8,
        }

        async def run() -> None:
            async with new_client(4) as client:
                client.headers["authorization"] = f"Bearer {secret}"
                for _ in range(5):
                    assert (await stream(client, gateway, body)).end == "complete"
                script(engine, "cut_at_token:3")
                for _ in range(3):
                    assert (await stream(client, gateway, body)).end == "told"

        asyncio.run(run())
        script(engine, "stall_at_token:4")
        with openai.OpenAI(base_url=f"{gateway}/v1", api_key=secret, max_retries=0) as client:
            for _ in range(2):
                chunks = client.chat.completions.create(**body, stream=True)  # type: ignore[call-overload]
                for _ in range(4):
                    next(chunks)
                chunks.close()
        auth = {"authorization": f"Bearer {secret}"}

        def row() -> dict[str, Any]:
            data = httpx2.get(f"{gateway}/v1/usage", headers=auth, trust_env=False).json()["data"]
            return data[0] if data else {}

        wait_for(lambda: row().get("cancelled") == 2, 10, what="the ledger")
        booked = row()
        assert (booked["ok"], booked["failed"], booked["cancelled"]) == (5, 3, 2)
        assert booked["completion_tokens"] == 5 * 8 + 3 * 3 + 2 * 4
        assert booked["prompt_tokens"] % 10 == 0
        assert booked["estimated_tokens"] == 0

        admin = {"authorization": "Bearer admin-token"}
        assert httpx2.get(f"{gateway}/admin/keys", headers=auth, trust_env=False).status_code == 403
        listed = httpx2.get(f"{gateway}/admin/keys", headers=admin, trust_env=False).json()["data"]
        made = httpx2.post(
            f"{gateway}/admin/keys",
            headers=admin,
            json={"name": "둘째", "models": ["dolly"]},
            trust_env=False,
        ).json()
        assert re.fullmatch(r"sk-kodolly-\S{43}", made["secret"])
        url = f"{gateway}/admin/keys/{made['id']}"
        changed = httpx2.patch(url, headers=admin, json={"concurrency": 3}, trust_env=False).json()
        assert (changed["concurrency"], changed["models"]) == (3, ["dolly"])
        assert httpx2.delete(url, headers=admin, trust_env=False).json()["revoked"]
        assert secret not in json.dumps(listed)
        assert secret not in log.read_text()
        assert "비밀 질문" not in log.read_text()
