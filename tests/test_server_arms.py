"""Names whose traffic is split: everybody stays in one arm, and nobody is left without an answer."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx2
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import BadRequest, UserError
from common.registry import BUCKETS, Alias, Arm, ModelCard, Snapshot, Split
from controller.aliases import AliasTable, read_names, write_names
from kodolly.cli import root
from kodolly.operate.arms import alias_of, split_of
from server.client.request import parse_head
from server.inference.identity import identity_of
from server.upstreams.arms import arm_at, bucket_of
from tests.support.gateway_stack import TOKEN
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.stack_in_process import InProcess, in_process

V1, V2 = "0123456789ab", "fedcba987654"


def split(*shares: int, sticky: Any = "user") -> Split:
    arms = tuple(Arm(model=f"m{n}", buckets=share) for n, share in enumerate(shares))
    return Split(arms=arms, sticky=sticky)


def test_shares_are_exact_and_people_fall_evenly() -> None:
    made = split(8500, 1000, 500)
    assert Counter(arm_at(made, bucket) for bucket in range(BUCKETS)) == {"m0": 8500, "m1": 1000, "m2": 500}
    people = Counter(arm_at(made, bucket_of("chat", made, b"user %d" % n)) for n in range(20_000))
    assert 1800 < people["m1"] < 2200
    assert 850 < people["m2"] < 1150


@settings(max_examples=25)
@given(st.lists(st.integers(0, 5000), min_size=2, max_size=2), st.integers(0, 1000), st.sampled_from([1, 2]))
def test_a_growing_share_only_takes_from_the_stable_arm(now: list[int], more: int, grows: int) -> None:
    if sum(now) + more > BUCKETS:
        more = BUCKETS - sum(now)
    later = [share + (more if at == grows - 1 else 0) for at, share in enumerate(now)]
    before, after = (split(BUCKETS - sum(shares), *shares) for shares in (now, later))
    moved = [
        (arm_at(before, bucket), arm_at(after, bucket))
        for bucket in range(BUCKETS)
        if arm_at(before, bucket) != arm_at(after, bucket)
    ]
    assert moved == [("m0", f"m{grows}")] * more


def test_another_canary_has_other_people() -> None:
    first, second = (
        Split(arms=(Arm(model="a", buckets=9000), Arm(model=name, buckets=1000))) for name in ("b", "c")
    )
    people = [b"user %d" % n for n in range(3000)]
    in_first, in_second = (
        {who for who in people if arm_at(one, bucket_of("chat", one, who)) != "a"} for one in (first, second)
    )
    assert len(in_first & in_second) < 0.2 * len(in_first)


def identity(sticky: Any, key: str = "k", header: str = "", **body: Any) -> bytes:
    messages = [{"role": "user", "content": body.pop("question", "안녕?")}]
    head = parse_head(json.dumps({"model": "m", "messages": messages} | body).encode())
    headers = [(b"x-session-id", header.encode())] if header else []
    return identity_of({"headers": headers}, head, key, sticky)


def test_a_person_is_told_by_user_then_session_then_key_then_conversation() -> None:
    assert identity("user", user="민지", question="가") == identity("user", user="민지", header="s")
    assert identity("user", user="민지") != identity("user", key="other", user="민지")
    assert identity("user", metadata={"user_id": "민지"}) == identity("user", safety_identifier="민지")
    assert identity("user", header="s", question="가") == identity("user", header="s")
    assert identity("user", question="가") == identity("user", question="나")  # the key
    assert identity("user", key="anonymous", question="가") != identity("user", key="anonymous")
    assert identity("session", user="민지", question="가") != identity("session", user="민지")
    assert identity("key", user="민지", header="s", question="가") == identity("key")
    for odd in ({"user": 5}, {"user": ""}, {"metadata": [1]}, {"metadata": {"user_id": 7}}):
        assert identity("user", **odd) == identity("user")


@pytest.mark.parametrize("shares", [(9000, 500), (5000, 5000, 1), (10_000,), (1, 1, 1, 9997)])
def test_shares_that_do_not_add_up_are_refused(shares: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        split(*shares)


def test_what_people_write_becomes_a_split() -> None:
    alias = alias_of(["돌리=92.5", "돌리=2=7.5"], "session")
    assert alias.split is not None
    assert [(arm.model, arm.buckets) for arm in alias.split.arms] == [("돌리", 9250), ("돌리=2", 750)]
    assert alias_of(["a=b"], "user").models() == ("a=b",)
    assert alias_of(["my-dolly=100"], "user") == Alias(target="my-dolly")
    for words in (["a=90", "b"], ["a=90", "b=20"], ["a=50", "a=50"], ["a=101", "b=-1"]):
        with pytest.raises(UserError):
            alias_of(words, "user")


def test_names_outlive_a_controller_and_lead_nowhere_twice(tmp_path: Path) -> None:
    path = tmp_path / "aliases.json"
    alias = split_of([("a", 90), ("b", 10)], "user")
    names = AliasTable().with_name("x", Alias(target="a"))
    write_names(path, names)
    assert json.loads(path.read_text()) == {"x": "a"}  # as controllers of before wrote it
    assert read_names(path) == names
    names = names.with_name("chat", alias).with_name("a", alias)
    write_names(path, names)
    assert read_names(path) == names
    assert names.aliases == {"x": "a", "chat": "a"}
    for name, wrong in (
        ("b", alias),
        ("y", Alias(target="chat")),
        ("y", split_of([("x", 50), ("b", 50)], "key")),
    ):
        with pytest.raises(BadRequest):
            names.with_name(name, wrong)
    assert names.without("a").with_name("chat", Alias(target="b")).splits == {}
    assert Snapshot(epoch="e", version=1).splits == {}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    path = tmp_path_factory.mktemp("arms")
    with in_process(path, api_keys=("key-a",)) as running:
        running.default_headers["authorization"] = "Bearer key-a"
        running.worker("w1", ModelCard(name="돌리", checkpoint=V1))
        yield running


def put(stack: InProcess, name: str, alias: Alias) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = f"{stack.controller}/v1/aliases/{quote(name)}"
    httpx2.put(url, json=alias.model_dump(), headers=headers, trust_env=False).raise_for_status()


def arms(stack: InProcess, name: str, users: int = 40) -> list[tuple[str, str]]:
    """(arm, checkpoint) of each user's answer, as the headers name them."""
    found = []
    for user in range(users):
        answer = stack.ask(name, user=f"user {user}")
        answer.raise_for_status()
        assert answer.json()["model"] == name
        headers = answer.headers
        found.append((unquote(headers.get("x-kodolly-arm", "")), headers["x-kodolly-checkpoint"]))
    return found


def test_a_canary_gets_its_share_keeps_its_people_and_leaves_none_alone(
    stack: InProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    canary = stack.worker("w2", ModelCard(name="돌리-2", checkpoint=V2))
    put(stack, "대화", split_of([("돌리", 70), ("돌리-2", 30)], "user"))
    wait_for(lambda: stack.ask("대화").status_code == 200, PATIENCE_S)
    wait_for(lambda: "x-kodolly-arm" in stack.ask("대화").headers, PATIENCE_S)
    first = arms(stack, "대화")
    assert set(first) == {("돌리", V1), ("돌리-2", V2)}
    assert arms(stack, "대화") == first
    put(stack, "대화", split_of([("돌리", 30), ("돌리-2", 70)], "user"))
    wait_for(lambda: arms(stack, "대화") != first, PATIENCE_S)
    for before, after in zip(first, arms(stack, "대화"), strict=True):
        assert after == before or before == ("돌리", V1)
    canary.says("draining")
    wait_for(lambda: not stack.is_ready("돌리-2"), PATIENCE_S)
    assert set(arms(stack, "대화")) == {("돌리", V1)}
    page = httpx2.get(f"{stack.gateway}/metrics", trust_env=False).text
    assert f'kodolly_gateway_arm_requests_total{{arm="돌리-2",checkpoint="{V2}",model="대화"' in page


def test_a_models_own_name_can_be_split_and_feedback_knows_the_arm(stack: InProcess) -> None:
    stack.worker("w3", ModelCard(name="돌리-3", checkpoint=V2))
    assert "x-kodolly-arm" not in stack.ask("돌리").headers
    put(stack, "돌리", split_of([("돌리", 50), ("돌리-3", 50)], "user"))
    wait_for(lambda: "x-kodolly-arm" in stack.ask("돌리").headers, PATIENCE_S)
    assert set(arms(stack, "돌리")) == {("돌리", V1), ("돌리-3", V2)}
    answer = stack.ask("돌리", stream=True, user="user 0")
    arm = unquote(answer.headers["x-kodolly-arm"])
    said = {"request_id": answer.headers["x-request-id"], "score": 4}
    told = stack.post("/v1/feedback", said).raise_for_status().json()
    assert (told["model"], told["arm"], told["checkpoint"]) == ("돌리", arm, {"돌리": V1}.get(arm, V2))
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = f"{stack.controller}/v1/aliases/{quote('돌리')}"
    httpx2.delete(url, headers=headers, trust_env=False).raise_for_status()
    wait_for(lambda: "x-kodolly-arm" not in stack.ask("돌리").headers, PATIENCE_S)


def test_the_command_splits_lists_and_says_what_is_wrong(
    stack: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KODOLLY_JOIN_TOKEN", TOKEN)
    asked = ["alias", "--controller", stack.controller]
    made = CliRunner().invoke(root, [*asked, "창구", "돌리=99", "없는 것=1", "--sticky", "key"])
    assert made.exit_code == 0, made.output
    assert "No worker serves 없는 것 now." in made.output
    assert "돌리 99%, 없는 것 1% (by key)" in CliRunner().invoke(root, asked).output
    wrong = CliRunner().invoke(root, [*asked, "창구", "돌리=99", "돌리-2=2"])
    assert isinstance(wrong.exception, UserError)
    assert "add up to 100%" in str(wrong.exception)
    CliRunner().invoke(root, [*asked, "--remove", "창구"])
    assert "창구" not in CliRunner().invoke(root, asked).output


def test_the_ledger_tells_arms_apart(tmp_path: Path) -> None:
    with in_process(tmp_path) as stack:
        stack.worker("w1", ModelCard(name="하나", checkpoint=V1))
        stack.worker("w2", ModelCard(name="둘", checkpoint=V2))
        put(stack, "chat", split_of([("하나", 50), ("둘", 50)], "user"))
        wait_for(lambda: stack.ask("chat", user="x").status_code == 200, PATIENCE_S)
        asked = Counter(arm for arm, _ in arms(stack, "chat", 20))
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'state' / 'kodolly.db'}")
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT arm, checkpoint, ok FROM usage WHERE model = 'chat'"))
        booked = {arm: (checkpoint, ok) for arm, checkpoint, ok in rows}
    engine.dispose()
    assert {arm: checkpoint for arm, (checkpoint, _) in booked.items()} == {"하나": V1, "둘": V2}
    assert sum(ok for _, ok in booked.values()) >= asked.total()
