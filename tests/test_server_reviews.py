"""Administrators leave feedback out: it counts nowhere, is listed where asked for, and can be taken back."""

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from common.errors import Conflict
from common.feedback import Review, Vote
from server.app import create_app
from server.settings import GatewaySettings
from server.store.feedback import FeedbackStore
from server.store.opening import open_store
from server.store.owner import Owner
from tests.support.judged_world import answer

ADMIN = {"authorization": "Bearer the-admin-token"}
KEY = {"authorization": "Bearer key-a"}
FRESH = {"excluded": False, "note": None}
OUT = {"excluded": True, "note": "장난으로 누른 표"}
BODIES = {
    "votes": {"choice": "left", "left": answer("dolly", "답"), "right": answer("base", "답"), "blind": True},
    "ratings": {"score": 1, "answer": answer("dolly", "답")},
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = GatewaySettings(
        state_dir=tmp_path,
        controllers=(),
        external=(),
        api_keys=("key-a",),
        admin_token="the-admin-token",
    )
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as made:
        yield made


def listed(
    client: TestClient, kind: str, query: str = "", by: dict[str, str] = ADMIN
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(f"/v1/feedback/{kind}{query}", headers=by).json()["data"]
    return rows


@pytest.mark.parametrize("kind", ["votes", "ratings"])
def test_what_is_left_out_counts_nowhere_until_it_is_taken_back(client: TestClient, kind: str) -> None:
    row_id = str(uuid.uuid4())
    client.put(f"/v1/feedback/{kind}/{row_id}", json=BODIES[kind], headers=KEY).raise_for_status()
    (row,) = listed(client, kind)
    path = f"/admin/feedback/{kind}/{row['key_id']}/{row_id}"

    def counted() -> int:
        board = client.get("/v1/leaderboard", headers=ADMIN).json()
        return len(board["ratings"] if kind == "ratings" else board["pairs"])

    assert counted() == 1
    left_out = client.put(path, json={"seen": FRESH, "wanted": OUT}, headers=ADMIN)
    assert (left_out.status_code, left_out.json()) == (200, OUT)
    assert counted() == 0
    assert listed(client, kind) == listed(client, kind, by=KEY) == []
    for query in ("?excluded=only", "?excluded=also"):
        (found,) = listed(client, kind, query)
        assert {name: found[name] for name in OUT} == OUT
    # Whose it is sees that it does not count, and not what administrators say of it; and a new word changes
    # nothing about that.
    (own,) = listed(client, kind, "?excluded=only", KEY)
    assert (own["excluded"], "note" in own) == (True, False)
    client.put(f"/v1/feedback/{kind}/{row_id}", json=BODIES[kind], headers=KEY).raise_for_status()
    assert listed(client, kind) == []
    late = client.put(path, json={"seen": FRESH, "wanted": FRESH}, headers=ADMIN)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "review_changed")
    assert client.put(path, json={"seen": OUT, "wanted": FRESH}, headers=ADMIN).status_code == 200
    assert (len(listed(client, kind)), counted(), listed(client, kind, "?excluded=only")) == (1, 1, [])


def test_a_vote_on_several_answers_is_left_out_and_taken_back_as_a_whole(client: TestClient) -> None:
    ids = [str(uuid.uuid4()) for _ in range(4)]
    looks = [{"comparison": str(uuid.uuid4())}, {"comparison": str(uuid.uuid4())}, {}]
    for row_id, look in zip(ids, (looks[0], looks[0], looks[1], looks[2]), strict=True):
        body = BODIES["votes"] | look
        client.put(f"/v1/feedback/votes/{row_id}", json=body, headers=KEY).raise_for_status()
    path = f"/admin/feedback/votes/{listed(client, 'votes')[0]['key_id']}/{ids[0]}"
    client.put(path, json={"seen": FRESH, "wanted": OUT}, headers=ADMIN).raise_for_status()
    assert {row["id"] for row in listed(client, "votes")} == set(ids[2:])
    left_out = {row["id"]: row["note"] for row in listed(client, "votes", "?excluded=only")}
    assert left_out == {ids[0]: OUT["note"], ids[1]: None}
    other = path.replace(ids[0], ids[1])
    seen = {"excluded": True, "note": None}
    client.put(other, json={"seen": seen, "wanted": FRESH}, headers=ADMIN).raise_for_status()
    assert {row["id"] for row in listed(client, "votes")} == set(ids)


def test_only_administrators_review(client: TestClient) -> None:
    body = {"seen": FRESH, "wanted": OUT}
    path = f"/admin/feedback/votes/env-1/{uuid.uuid4()}"
    assert client.put(path, json=body, headers=KEY).status_code == 403
    assert client.put(path, json=body, headers=ADMIN).status_code == 404
    strange = client.put("/admin/feedback/votes/env-1/%00", json=body, headers=ADMIN)
    assert strange.status_code == 400
    for wrong in ({"note": ""}, {"note": "x" * 2001}, {"note": "\0"}, {"excluded": None}, {"more": 1}):
        told = client.put(path, json={"seen": FRESH, "wanted": FRESH | wrong}, headers=ADMIN)
        assert told.status_code == 400, wrong


async def test_reviews_are_kept_on_postgresql_as_on_sqlite(postgres_url: str) -> None:
    async with open_store(postgres_url) as store:
        feedback, admin = FeedbackStore(store.database), Owner("admin", sees_all=True)
        row_id = str(uuid.uuid4())
        await feedback.put_vote(admin, row_id, Vote.model_validate(BODIES["votes"]))
        fresh, out = Review(), Review(excluded=True, note="장난")
        await feedback.reviews.change("votes", "admin", row_id, fresh, out)
        with pytest.raises(Conflict):
            await feedback.reviews.change("votes", "admin", row_id, fresh, out)
        assert (await feedback.page("votes", admin, 10)).rows == []
        (row,) = (await feedback.page("votes", admin, 10, excluded="only")).rows
        assert (row["excluded"], row["note"]) == (True, "장난")
        assert (await feedback.figures(admin)).votes == []
        place = json.dumps(["2999-01-01T00:00:00Z", "\0", "\0"])
        cursor = base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")
        assert len((await feedback.page("votes", admin, 10, after=cursor, excluded="also")).rows) == 1
