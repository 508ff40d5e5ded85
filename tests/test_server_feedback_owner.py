"""Whose feedback it is: a key sees and replaces its own, administrators all; pages that lose nothing."""

import asyncio
import random
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from common.errors import NotFound
from common.feedback import Rating
from server.accounts.keys import Key, KeyStore, new_key_id
from server.app import create_app
from server.settings import GatewaySettings
from server.store.feedback import FeedbackStore
from server.store.opening import open_store
from server.store.owner import Owner
from server.store.tables import ratings
from tests.support.engine_script import Script
from tests.support.old_store import answer, make_old_store
from tests.support.postgres import binaries, postgres
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.stack_in_process import engine, in_process

VOTE = {
    "choice": "left",
    "left": answer("돌리").model_dump(),
    "right": answer("전").model_dump(),
    "blind": True,
}
RATING = {"score": 2, "answer": answer("돌리").model_dump(), "rater_id": "browser-1"}
BODIES = {"votes": VOTE, "ratings": RATING}
ADMIN_TOKEN = "the-admin-token"


@contextmanager
def gateway(state_dir: Path, keys: tuple[str, ...] = ("key-a", "key-b")) -> Iterator[TestClient]:
    settings = GatewaySettings(
        state_dir=state_dir, controllers=(), external=(), api_keys=keys, admin_token=ADMIN_TOKEN
    )
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        yield client


def by(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def listed(client: TestClient, kind: str, key: str) -> list[dict[str, Any]]:
    answered = client.get(f"/v1/feedback/{kind}", headers=by(key)).raise_for_status()
    rows: list[dict[str, Any]] = answered.json()["data"]
    return rows


@pytest.fixture
def admin_key(tmp_path: Path) -> str:
    async def make() -> str:
        async with open_store(f"sqlite:///{tmp_path / 'kodolly.db'}") as store:
            return await KeyStore(store.database).create(Key(new_key_id(), "관리자", admin=True))

    return asyncio.run(make())


@pytest.mark.parametrize("kind", ["votes", "ratings"])
def test_a_key_sees_replaces_and_deletes_its_own_only(tmp_path: Path, admin_key: str, kind: str) -> None:
    body, path = BODIES[kind], f"/v1/feedback/{kind}/{uuid.uuid4()}"
    with gateway(tmp_path) as client:
        client.put(path, json=body, headers=by("key-a")).raise_for_status()
        assert listed(client, kind, "key-b") == []
        unknown = path[:-12] + "0" * 12
        for method in ("GET", "DELETE"):
            other, nobody = (client.request(method, one, headers=by("key-b")) for one in (path, unknown))
            # Nothing tells an id of somebody else from one that is not there.
            assert (other.status_code, nobody.status_code) == (404, 404)
            assert other.text.replace(path[-36:], "") == nobody.text.replace(unknown[-36:], "")
        foreign = client.put(path, json=body | {"locale": "en"}, headers=by("key-b"))
        fresh = client.put(unknown, json=body, headers=by("key-b"))
        assert (foreign.status_code, fresh.status_code) == (200, 200)
        (mine,) = listed(client, kind, "key-a")
        assert (mine["id"], mine["locale"], mine["key_id"]) == (path[-36:], "ko", "env-1")
        for everybody in (admin_key, ADMIN_TOKEN):
            owners = [row["key_id"] for row in listed(client, kind, everybody)]
            assert sorted(owners) == ["env-1", "env-2", "env-2"]
        assert client.delete(path, headers=by("key-b")).status_code == 204
        assert len(listed(client, kind, "key-a")) == 1


@pytest.mark.parametrize("rater", ["팀/안나", "https://id.example/7", "a/../b", "한 사람?#"])
def test_any_rater_can_be_forgotten(tmp_path: Path, rater: str) -> None:
    with gateway(tmp_path) as client:
        path = f"/v1/feedback/ratings/{uuid.uuid4()}"
        said = BODIES["ratings"] | {"rater_id": rater}
        client.put(path, json=said, headers=by("key-a")).raise_for_status()
        gone = client.delete(f"/v1/feedback/raters/{quote(rater, safe='')}", headers=by("key-a"))
        assert gone.raise_for_status().json()["ratings"] == 1
        assert listed(client, "ratings", "key-a") == []


@pytest.mark.parametrize("admin", ["key", "token"])
def test_an_administrator_replaces_and_deletes_what_a_key_has_sent(
    tmp_path: Path, admin_key: str, admin: str
) -> None:
    headers = by(admin_key if admin == "key" else ADMIN_TOKEN)
    path = f"/v1/feedback/ratings/{uuid.uuid4()}"
    with gateway(tmp_path) as client:
        client.put(path, json=RATING, headers=by("key-a")).raise_for_status()
        client.put(path, json=RATING | {"score": 5}, headers=headers).raise_for_status()
        (row,) = listed(client, "ratings", "key-a")
        assert (row["score"], row["key_id"], row["rater_id"]) == (5, "env-1", "browser-1")
        assert client.get(path, headers=headers).json() == row | {"note": None}
        assert client.delete(path, headers=headers).status_code == 204
        assert listed(client, "ratings", "key-a") == []


def test_what_is_no_number_in_a_vote_of_before_breaks_no_results(tmp_path: Path) -> None:
    path = tmp_path / "kodolly.db"
    make_old_store(path, "0001")
    with closing(sqlite3.connect(path)) as old, old:
        for side, number in (("left", "NaN"), ("right", "-Infinity")):
            took = f"""replace("{side}", '"ttft_ms":null', '"ttft_ms":{number}')"""
            old.execute(f"""UPDATE votes SET "{side}" = replace({took}, '하늘', 'NaN 하늘')""")  # noqa: S608 constants
    with gateway(tmp_path) as client:
        board = client.get("/v1/leaderboard", headers=by(ADMIN_TOKEN))
        assert (board.status_code, board.json()["votes"]) == (200, 1)
        (row,) = listed(client, "votes", ADMIN_TOKEN)
        for side in ("left", "right"):
            assert (row[side]["ttft_ms"], row[side]["answer"][:6]) == (None, "NaN 하늘")


def test_without_keys_all_feedback_is_one_owner_s_also_that_of_before(tmp_path: Path) -> None:
    make_old_store(tmp_path / "kodolly.db", "0002")
    with gateway(tmp_path, keys=()) as client:
        client.put(f"/v1/feedback/votes/{uuid.uuid4()}", json=VOTE).raise_for_status()
        found = listed(client, "votes", "")
        assert [row["key_id"] for row in found] == ["anonymous"] * 2
        client.put(f"/v1/feedback/votes/{uuid.UUID(int=9)}", json=VOTE | {"choice": "tie"}).raise_for_status()
        assert [row["choice"] for row in listed(client, "votes", "")] == ["left", "tie"]
    with gateway(tmp_path) as client:  # now there are keys: what was everybody's is the administrators'
        assert listed(client, "votes", "key-a") == []
        assert len(listed(client, "votes", ADMIN_TOKEN)) == 2


@pytest.mark.parametrize("key", ["", "key-c"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_route_of_feedback_answers_without_a_key(tmp_path: Path, key: str, method: str) -> None:
    with gateway(tmp_path) as client:
        path = f"/v1/feedback/votes/{uuid.uuid4()}"
        assert client.request(method, path, json=VOTE, headers=by(key)).status_code == 401
        assert client.get("/v1/feedback/votes", headers=by(key)).status_code == 401


def test_pages_lose_and_repeat_nothing_while_rows_come_and_are_replaced(tmp_path: Path) -> None:
    with gateway(tmp_path) as client:
        ids = [str(uuid.uuid4()) for _ in range(25)]
        for one in ids:
            client.put(f"/v1/feedback/ratings/{one}", json=RATING, headers=by("key-a")).raise_for_status()
        seen, after = [], None
        for number in range(100):
            params = {"limit": 4} | ({"after": after} if after else {})
            page = client.get("/v1/feedback/ratings", params=params, headers=by("key-a")).json()
            seen += [row["id"] for row in page["data"]]
            after = page["next"]
            assert page["has_more"] == (after is not None)
            if after is None:
                break
            one = str(uuid.uuid4()) if number % 2 else ids[number % len(ids)]
            client.put(f"/v1/feedback/ratings/{one}", json=RATING, headers=by("key-a")).raise_for_status()
        assert seen == ids[::-1]


async def test_rows_of_one_moment_are_on_one_page_each(tmp_path: Path) -> None:
    await pages_of_rows_of_one_moment(f"sqlite:///{tmp_path / 'kodolly.db'}")


@pytest.mark.slow
@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed: apt install postgresql")
async def test_pages_and_owners_on_postgresql(tmp_path: Path) -> None:
    with postgres(tmp_path) as url:
        await pages_of_rows_of_one_moment(url)
        async with open_store(url) as store:
            feedback, rating = FeedbackStore(store.database), Rating.model_validate(RATING)
            one, first, second = str(uuid.uuid4()), Owner("key_x"), Owner("key_y")
            for owner in (first, second, second):
                await feedback.put_rating(owner, one, rating)
            assert (await feedback.get("ratings", first, one))["key_id"] == "key_x"
            await feedback.delete("ratings", second, one)
            with pytest.raises(NotFound):
                await feedback.get("ratings", second, one)


async def pages_of_rows_of_one_moment(url: str) -> None:
    """Created in the same microsecond, and under the same id by several keys."""
    moment = datetime.now(UTC)
    one_id = str(uuid.uuid4())
    rows = [
        {
            "key_id": f"key_{number}",
            "id": one_id if number % 3 == 0 else str(uuid.uuid4()),
            "created": moment - timedelta(seconds=number % 2),
            "model": "m",
            "score": 3,
            "tags": [],
            "blind": False,
            "locale": "ko",
            "answer": {},
        }
        for number in range(31)
    ]
    random.Random(7).shuffle(rows)
    async with open_store(url) as store:
        await store.database.run(lambda connection: connection.execute(sa.insert(ratings), rows))
        feedback, seen, after = FeedbackStore(store.database), [], None
        while True:
            page = await feedback.page("ratings", Owner("admin", sees_all=True), 5, after)
            seen += [(row["key_id"], row["id"]) for row in page.rows]
            if (after := page.next) is None:
                break
        assert sorted(seen) == sorted((row["key_id"], row["id"]) for row in rows)


@pytest.mark.parametrize("after", ["", "x", "한글", "W10", "WzEsMiwzXQ", "a" * 400, "WyI5OTk5LTk5Il0="])
def test_a_broken_cursor_is_refused(tmp_path: Path, after: str) -> None:
    with gateway(tmp_path) as client:
        refused = client.get("/v1/feedback/votes", params={"after": after}, headers=by("key-a"))
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "after")


def test_a_conversation_with_a_provider_goes_with_its_rater_whom_the_provider_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDERS_KEY", "any")
    script = Script("chatgpt", "")
    with engine(script) as url:
        provider = {"name": "p", "base_url": f"{url}/v1", "key_env": "PROVIDERS_KEY", "models": ["chatgpt"]}
        with in_process(tmp_path, feedback_store="all", external=(provider,)) as stack:
            for who, user in (("떠난이", None), ("남은이", "떠난이")):
                named = {} if user is None else {"user": user}
                headers = {"x-rater-id": quote(who)}
                stack.ask("chatgpt", headers=headers, **named).raise_for_status()
            path = "/v1/feedback/conversations"
            wait_for(lambda: len(stack.get(path)["data"]) == 2, PATIENCE_S)
            gone = httpx2.delete(f"{stack.gateway}/v1/feedback/raters/떠난이", trust_env=False)
            assert gone.raise_for_status().json()["conversations"] == 1
            assert [row["rater_id"] for row in stack.get(path)["data"]] == ["남은이"]
    told = {name.lower() for name, _ in script.last["headers"]}
    assert "authorization" in told
    assert "x-rater-id" not in told
