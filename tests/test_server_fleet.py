"""/admin/workers and /admin/names against a real controller: what administrators see and change there."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from common.registry import ModelCard
from tests.support.stack_in_process import InProcess, in_process

ADMIN = {"authorization": "Bearer admin-token"}
CHECKPOINT = "0123456789ab"
SPLIT = {
    "target": "dolly",
    "split": {"arms": [{"model": "dolly", "buckets": 9000}, {"model": "dolly-2", "buckets": 1000}]},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("fleet"), admin_token="admin-token") as made:
        made.worker("w1", ModelCard(name="dolly", checkpoint=CHECKPOINT))
        made.worker("w2", ModelCard(name="dolly-2"))
        yield made


def ask(stack: InProcess, method: str, path: str, body: object = None) -> httpx2.Response:
    address = f"{stack.gateway}/admin/{path}"
    return httpx2.request(method, address, json=body, headers=ADMIN, trust_env=False, timeout=30)


def names(stack: InProcess) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in ask(stack, "GET", "names").json()["data"]}


def test_workers_are_shown_without_address_and_key(stack: InProcess) -> None:
    told = ask(stack, "GET", "workers").json()
    assert told["controller_connected"]
    (one,) = [row for row in told["data"] if row["id"] == "w1"]
    assert (one["state"], one["breaker"], one["incarnation"]) == ("ready", "closed", "incarnation-1")
    assert one["models"] == [{"name": "dolly", "base": None, "checkpoint": CHECKPOINT, "licence": None}]
    assert "http://" not in str(told)


def test_a_split_is_made_changed_and_taken_back_by_who_has_seen_it(stack: InProcess) -> None:
    assert names(stack) == {}
    made = ask(stack, "PUT", "names/chat", SPLIT | {"version": ""})
    assert (made.status_code, made.json()) == (200, {"controllers_missed": 0})
    seen = names(stack)["chat"]
    assert seen["target"] == "dolly"
    assert stack.ask("chat").status_code == 200
    # Two who have seen the same: the later one is told, and nothing is changed.
    moved = ask(stack, "PUT", "names/chat", {"target": "dolly-2", "version": seen["version"]})
    assert moved.status_code == 200
    late = ask(stack, "PUT", "names/chat", SPLIT | {"version": seen["version"]})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "name_changed")
    assert ask(stack, "DELETE", f"names/chat?version={seen['version']}").status_code == 409
    assert names(stack)["chat"] | {"version": ""} == {
        "name": "chat",
        "target": "dolly-2",
        "split": None,
        "version": "",
    }
    assert ask(stack, "DELETE", f"names/chat?version={names(stack)['chat']['version']}").status_code == 200
    assert names(stack) == {}


def test_of_many_who_change_a_name_at_once_one_does(stack: InProcess) -> None:
    together = threading.Barrier(8)

    def change(number: int) -> int:
        together.wait()
        wanted = {"target": ("dolly", "dolly-2")[number % 2], "version": ""}
        return ask(stack, "PUT", "names/fresh", wanted).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(change, range(8))) == [200] + [409] * 7
    assert ask(stack, "DELETE", "names/fresh").status_code == 200


def test_what_controllers_refuse_is_told_in_their_words(stack: InProcess) -> None:
    for body in ({"target": "dolly", "split": {"arms": []}}, {"target": ""}, {"target": "x", "more": 1}):
        assert ask(stack, "PUT", "names/chat", body).status_code == 400
    itself = ask(stack, "PUT", "names/dolly", {"target": "dolly"})
    assert (itself.status_code, "dolly" in itself.json()["error"]["message"]) == (400, True)
    assert ask(stack, "DELETE", "names/none").status_code == 404


def test_a_drained_worker_gets_nothing_more(stack: InProcess) -> None:
    other = ask(stack, "POST", "workers/w2/drain", {"incarnation": "another-one"})
    assert other.status_code == 409
    assert ask(stack, "POST", "workers/none/drain", {"incarnation": "incarnation-1"}).status_code == 404
    assert ask(stack, "POST", "workers/w2/drain", {"incarnation": "incarnation-1"}).status_code == 200
    states = {row["id"]: row["state"] for row in ask(stack, "GET", "workers").json()["data"]}
    assert states["w2"] == "draining"


def test_a_worker_that_was_to_stop_goes_on(stack: InProcess) -> None:
    stack.worker("w3", ModelCard(name="dolly-3"))
    state = {"incarnation": "incarnation-1"}
    assert ask(stack, "POST", "workers/w3/drain", state).status_code == 200
    assert ask(stack, "DELETE", "workers/w3/drain?incarnation=another-one").status_code == 409
    assert ask(stack, "DELETE", "workers/none/drain?incarnation=incarnation-1").status_code == 404
    assert ask(stack, "DELETE", "workers/w3/drain").status_code == 400
    assert ask(stack, "DELETE", "workers/w3/drain?incarnation=incarnation-1").status_code == 200
    states = {row["id"]: row["state"] for row in ask(stack, "GET", "workers").json()["data"]}
    assert states["w3"] == "ready"
    assert stack.ask("dolly-3").status_code == 200


def test_a_gateway_without_controllers_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("alone")
    with in_process(state, admin_token="admin-token", controllers=("http://127.0.0.1:9",)) as alone:
        told = ask(alone, "PUT", "names/chat", {"target": "dolly"})
        assert (told.status_code, "No controller answers" in told.text) == (502, True)


def test_only_administrators_come_here(stack: InProcess) -> None:
    plain = stack.post("/admin/keys", {"name": "plain"}, **ADMIN).json()["secret"]
    for method, path in (
        ("GET", "workers"),
        ("POST", "workers/w1/drain"),
        ("DELETE", "workers/w1/drain?incarnation=incarnation-1"),
        ("GET", "names"),
        ("PUT", "names/chat"),
        ("DELETE", "names/chat"),
    ):
        asked = {"authorization": f"Bearer {plain}"}
        address = f"{stack.gateway}/admin/{path}"
        told = httpx2.request(method, address, json={}, headers=asked, trust_env=False)
        assert told.status_code in (401, 403), path
