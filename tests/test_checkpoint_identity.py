"""Every answer names its checkpoint: from the worker's card to header, ledger, status and log."""

import hashlib
import json
import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command as alembic
from alembic.config import Config

import server.store.migrations
from common.checkpoint_identity import CHECKPOINT_ID, checkpoint_id
from common.registry import ModelCard
from server.accounts.ledger import UsageReport
from server.store.opening import open_store
from tests.support.old_store import make_old_store
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.stack_in_process import InProcess, in_process
from worker.adapters import read_adapters
from worker.model_dir import describe_model, named_cards

V1, V2 = "0123456789ab", "fedcba987654"


def checkpoint(directory: Path, weights: bytes = bytes(64), card: dict[str, Any] | None = None) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text('{"max_position_embeddings": 512}')
    header = {"w": {"dtype": "U8", "shape": [len(weights)], "data_offsets": [0, len(weights)]}}
    text = json.dumps(header).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + weights)
    if card is not None:
        (directory / "kodolly.json").write_text(json.dumps(card))
    return directory


CARD = {
    "name": "돌리",
    "method": "lora",
    "licence": "MIT",
    "template": "dolly",
    "template_hash": "h",
    "context_length": 512,
    "dtype": "float32",
    "parameters": 1,
    "created": 5,
}


def test_the_id_of_one_of_ours_is_the_hash_of_its_card(tmp_path: Path) -> None:
    first = checkpoint(tmp_path / "v1", card=CARD)
    assert checkpoint_id(first) == hashlib.sha256((first / "kodolly.json").read_bytes()).hexdigest()[:12]
    assert checkpoint_id(checkpoint(tmp_path / "v2", card=CARD | {"created": 6})) != checkpoint_id(first)
    assert [card.checkpoint for card in describe_model(first, ["a", "b"])] == [checkpoint_id(first)] * 2


def test_one_without_a_card_is_told_by_its_weights_though_sizes_are_the_same(tmp_path: Path) -> None:
    ids = [
        checkpoint_id(checkpoint(tmp_path / name, weights))
        for name, weights in (("a", bytes(9000)), ("b", bytes(9000)), ("c", bytes(4500) + b"\1" * 4500))
    ]
    assert ids[0] == ids[1] != ids[2]
    assert all(one.startswith("files-") and CHECKPOINT_ID.fullmatch(one) for one in ids)


def test_an_adapter_is_part_of_the_id(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", card=CARD)
    for name in ("a", "b"):
        adapter = checkpoint(tmp_path / name, name.encode() * 8)
        (adapter / "model.safetensors").rename(adapter / "adapter_model.safetensors")
        (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8}')
    (tmp_path / "b" / "kodolly-adapter.json").write_text(json.dumps({"card": CARD}))
    words = [f"{name}={tmp_path / name}" for name in ("a", "b")]
    cards = [adapter.card for adapter in read_adapters(words, describe_model(base)[0], base)]
    own = checkpoint_id(base)
    assert [str(card.checkpoint).startswith(f"{own}+files-") for card in cards] == [True, False]
    assert str(cards[1].checkpoint).startswith(f"{own}+")
    assert len({own, *(card.checkpoint for card in cards)}) == 3
    assert all(CHECKPOINT_ID.fullmatch(str(card.checkpoint)) for card in cards)


def test_an_attached_engines_checkpoint_is_not_guessed() -> None:
    assert [card.checkpoint for card in named_cards(["gpt"])] == [None]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[InProcess]:
    with in_process(tmp_path, access_log=True) as running:
        yield running


def test_the_answers_of_two_checkpoints_of_one_name_are_told_apart(
    stack: InProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "server.access")
    old = stack.worker("w1", ModelCard(name="돌리", checkpoint=V1))
    first = stack.ask("돌리")
    stack.worker("w2", ModelCard(name="돌리", checkpoint=V2), incarnation="incarnation-2")
    old.says("draining")
    wait_for(lambda: {w["checkpoint"] for w in stack.get("/v1/status")["models"]} == {V2}, PATIENCE_S)
    streamed = stack.ask("돌리", stream=True)
    assert first.headers["x-kodolly-checkpoint"] == V1
    assert streamed.headers["x-kodolly-checkpoint"] == V2
    wait_for(lambda: len(caplog.records) == 2, PATIENCE_S)
    assert [record.fields["checkpoint"] for record in caplog.records] == [V1, V2]  # type: ignore[attr-defined]
    assert_booked(tmp_path, {("돌리", "", V1, 1), ("돌리", "", V2, 1)})


def test_a_checkpoint_that_is_unknown_is_named_nowhere(stack: InProcess, tmp_path: Path) -> None:
    stack.worker("w1", ModelCard(name="남의 것"))
    assert "x-kodolly-checkpoint" not in stack.ask("남의 것").headers
    assert [model["checkpoint"] for model in stack.get("/v1/status")["models"]] == [None]
    assert_booked(tmp_path, {("남의 것", "", "", 1)})


def assert_booked(tmp_path: Path, expected: set[tuple[str, str, str, int]]) -> None:
    """(model, arm, checkpoint, requests) as the ledger has them, once everything is booked."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'state' / 'kodolly.db'}")

    def rows() -> set[tuple[str, str, str, int]]:
        with engine.connect() as connection:
            read = connection.execute(sa.text("SELECT model, arm, checkpoint, ok FROM usage"))
            return {tuple(row) for row in read}

    wait_for(lambda: sum(row[3] for row in rows()) == sum(row[3] for row in expected), PATIENCE_S)
    assert rows() == expected
    engine.dispose()


async def test_what_was_booked_before_is_kept_without_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "kodolly.db"
    make_old_store(path, "0001")
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(server.store.migrations.__file__).parent))
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0005")
        counts = ", ".join(["3"] * 8)
        connection.execute(sa.text(f"INSERT INTO usage VALUES ('k', '돌리', '2026-11-01', {counts})"))  # noqa: S608 constants
    engine.dispose()
    async with open_store(f"sqlite:///{path}") as store:
        report = UsageReport(store.database)
        assert [(row["checkpoint"], row["ok"]) for row in await report.rows("checkpoint")] == [("", 3)]
        assert [(row["model"], row["prompt_tokens"]) for row in await report.rows("model")] == [("돌리", 3)]
