"""Keys and usage through the doors that administrators use: HTTP and the command line."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from common.errors import Conflict
from server.accounts.keys import Key, KeyStore
from server.store.opening import open_store
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for

ADMIN = "admin-token"


@dataclass(frozen=True)
class Site:
    url: str
    env: dict[str, str]
    cwd: Path
    log: Path

    def send(self, method: str, path: str, token: str = "", **more: object) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx2.request(method, self.url + path, headers=headers, trust_env=False, **more)  # type: ignore[arg-type]

    def wait_for_key(self, secret: str) -> None:
        """Until the gateway asks for a key and takes this one."""
        wait_for(lambda: self.send("GET", "/v1/models").status_code == 401, 5, what="a closed gateway")
        wait_for(lambda: self.send("GET", "/v1/models", secret).status_code == 200, 5, what="the key")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "kodolly", *words]
        return subprocess.run(
            argv, env=os.environ | self.env, cwd=self.cwd, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cwd = tmp_path_factory.mktemp("admin")
    url = f"http://127.0.0.1:{free_port()}"
    env = {"KODOLLY_STATE_DIR": str(cwd / "state"), "KODOLLY_ADMIN_TOKEN": ADMIN}
    with ExitStack() as stack:
        engine = stack.enter_context(scripted_engine(cwd, "dolly"))
        argv = kodolly("gateway", "--port", url.rpartition(":")[2], "--static", f"dolly={engine}")
        stack.enter_context(running(argv, cwd / "gateway.log", f"{url}/healthz", env, cwd))
        yield Site(url, env, cwd, cwd / "gateway.log")


def test_nobody_else_may_manage_keys(site: Site) -> None:
    made = site.send("POST", "/admin/keys", ADMIN, json={"name": "보통"})
    assert made.status_code == 201
    plain = made.json()["secret"]
    site.wait_for_key(plain)
    assert site.send("GET", "/admin/keys", plain).status_code == 403
    for token in ("", "wrong"):
        assert site.send("GET", "/admin/keys", token).status_code == 401
    admin = site.send("POST", "/admin/keys", ADMIN, json={"name": "관리자", "admin": True}).json()["secret"]
    wait_for(lambda: site.send("GET", "/admin/keys", admin).status_code == 200, 5, what="the admin key")
    log = site.log.read_text()
    assert not any(secret in log for secret in (plain, admin, ADMIN))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "가", "budget_tokens": 10**30},
        {"name": "가", "concurrency": 0},
        {"name": "가", "unknown": 1},
        {"name": "가\0"},
        {"name": "가", "models": ["m\0"]},
        {"name": "가", "expires": 1e18},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(site: Site, body: dict[str, object]) -> None:
    assert 400 <= site.send("POST", "/admin/keys", ADMIN, json=body).status_code < 500


@pytest.mark.parametrize("expires", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_key_may_expire_at_an_end_of_the_calendar(site: Site, expires: str) -> None:
    made = site.send("POST", "/admin/keys", ADMIN, json={"name": "가", "expires": expires})
    assert (made.status_code, made.json()["expires"][:10]) == (201, expires[:10])


def test_a_key_is_changed_and_revoked(site: Site) -> None:
    made = site.send("POST", "/admin/keys", ADMIN, json={"name": "가", "requests_per_min": 5}).json()
    path = f"/admin/keys/{made['id']}"
    assert site.send("PATCH", path, ADMIN, json={"name": None}).status_code == 400
    changed = site.send("PATCH", path, ADMIN, json={"requests_per_min": None, "models": ["나", "가"]}).json()
    assert (changed["requests_per_min"], sorted(changed["models"])) == (None, ["가", "나"])
    assert changed["created"].endswith(("Z", "+00:00"))
    assert site.send("DELETE", path, ADMIN).json()["revoked"]
    assert site.send("DELETE", path, ADMIN).status_code == 404
    assert site.send("PATCH", path, ADMIN, json={"concurrency": 1}).status_code == 404


@pytest.mark.slow
def test_the_command_line_makes_lists_and_revokes_keys_and_shows_usage(site: Site) -> None:
    made = site.command("keys", "create", "웹팀", "--model", "dolly", "--requests-per-min", "7")
    secret = made.stdout.strip()
    key_id = made.stderr.split()[0]
    body = {"model": "dolly", "messages": [{"role": "user", "content": "안녕"}], "max_tokens": 3}
    site.wait_for_key(secret)
    answer = site.send("POST", "/v1/chat/completions", secret, json=body)
    assert answer.headers["x-ratelimit-remaining-requests"] == "6"

    def usage() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads(
            site.command("usage", "--by", "key", "--json", "--from", "2026-01-01").stdout
        )
        return [row for row in rows if row["key"] == key_id]

    wait_for(lambda: bool(usage()), 10, what="the ledger")
    assert (usage()[0]["ok"], usage()[0]["completion_tokens"]) == (1, 3)
    assert site.send("GET", "/v1/usage", secret).json()["data"][0]["completion_tokens"] == 3
    assert site.send("GET", "/admin/usage?by=model", ADMIN).json()["data"][0]["model"] == "dolly"
    listed = site.command("keys", "list").stdout
    assert key_id in listed
    assert "웹팀" in listed
    assert secret not in listed
    assert site.command("keys", "revoke", key_id).returncode == 0
    wait_for(lambda: site.send("GET", "/v1/models", secret).status_code == 401, 5, what="the revocation")
    again = site.command("keys", "revoke", key_id)
    assert again.returncode == 2
    assert "Traceback" not in again.stderr


def test_a_change_of_an_older_version_is_refused(site: Site) -> None:
    made = site.send("POST", "/admin/keys", ADMIN, json={"name": "판"}).json()
    path = f"/admin/keys/{made['id']}"
    first = {"version": made["version"], "concurrency": 2}
    changed = site.send("PATCH", path, ADMIN, json=first)
    assert (changed.status_code, changed.json()["version"] != made["version"]) == (200, True)
    late = site.send("PATCH", path, ADMIN, json={"version": made["version"], "concurrency": 9})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "key_changed")
    (kept,) = [
        row for row in site.send("GET", "/admin/keys", ADMIN).json()["data"] if row["id"] == made["id"]
    ]
    assert (kept["concurrency"], kept["version"]) == (2, changed.json()["version"])
    assert site.send("PATCH", path, ADMIN, json={"concurrency": 3}).status_code == 200  # without one as ever


async def test_of_changes_at_once_through_two_gateways_one_wins(tmp_path: Path) -> None:
    """Two databases on one file stand for two gateway processes."""
    url = f"sqlite:///{tmp_path / 'kodolly.db'}"
    async with open_store(url) as one, open_store(url) as other:
        stores = [KeyStore(one.database), KeyStore(other.database)] * 4
        await stores[0].create(Key("key_1", "하나"))
        for turn in range(10):
            (seen,) = await stores[0].all()
            changes = [
                store.change("key_1", {"concurrency": 10 * turn + at + 1}, seen.version)
                for at, store in enumerate(stores)
            ]
            done = await asyncio.gather(*changes, return_exceptions=True)
            assert sum(result is None for result in done) == 1
            assert sum(isinstance(result, Conflict) for result in done) == len(stores) - 1
