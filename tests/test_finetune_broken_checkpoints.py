"""Checkpoints that are broken, or have no number of positions: one line, in every command that loads one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import Gemma3Config

from common.errors import UserError
from finetune.eval.checkpoint_model import CheckpointModel
from finetune.eval.lm_eval_model import WITHOUT_POSITIONS, tokenizer_and_context
from finetune.merge.parameter_names import empty_model
from finetune.models.auto import checkpoint_config
from finetune.models.load import load_model
from finetune.models.memory import sizes
from tests.support.merge_stage import make_base

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("sound"), "Llama", shard="1GB")


def _set(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


BREAKS: dict[str, Callable[[Path], object]] = {
    "weights cut short": _cut,
    "weights empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "weights no safetensors": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 64),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "other sizes": lambda folder: _set(folder, hidden_size=32),
    "a size that is a word": lambda folder: _set(folder, hidden_size="wide"),
    "a size below zero": lambda folder: _set(folder, hidden_size=-64),
    "an unknown activation": lambda folder: _set(folder, hidden_act="gluon"),
    "an unknown architecture": lambda folder: _set(folder, model_type="unheard-of"),
    "code of its own": lambda folder: _set(
        folder, model_type="unheard-of", auto_map={"AutoConfig": "mine.Config"}
    ),
    "configuration a list": lambda folder: (folder / "config.json").write_text("[1, 2]"),
    "configuration no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "configuration no text": lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe{"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_checkpoint_is_one_line(kind: str, sound: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(sound, tmp_path / "broken")
    BREAKS[kind](broken)
    for read in (load_model, CheckpointModel):
        with pytest.raises(UserError) as refused:
            read(broken)
        assert str(broken) in refused.value.message
        assert "\n" not in refused.value.message


@pytest.mark.parametrize("kind", [kind for kind in BREAKS if kind.startswith("configuration")])
def test_a_broken_configuration_is_one_line(kind: str, sound: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(sound, tmp_path / "broken")
    BREAKS[kind](broken)
    with pytest.raises(UserError, match="is not a model"):
        checkpoint_config(broken)


@pytest.mark.parametrize("kind", ["a size below zero", "an unknown activation"])
def test_a_configuration_of_no_model_is_one_line(kind: str, sound: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(sound, tmp_path / "broken")
    BREAKS[kind](broken)
    config = checkpoint_config(broken)
    for made in (empty_model, sizes):
        with pytest.raises(UserError, match="describes no model"):
            made(config)


def test_a_model_without_a_number_of_positions_has_a_context(tmp_path: Path) -> None:
    assert tokenizer_and_context(make_base(tmp_path, "BLOOM"))[1] == WITHOUT_POSITIONS


def test_a_model_that_sees_has_the_context_of_its_part_for_text(sound: Path, tmp_path: Path) -> None:
    seeing = shutil.copytree(sound, tmp_path / "seeing")
    Gemma3Config(text_config={"max_position_embeddings": 777}).save_pretrained(seeing)
    assert tokenizer_and_context(seeing)[1] == 777
