"""Packed rows learn what they would learn alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BloomConfig, GPTNeoXConfig, LlamaConfig

from common.errors import UserError
from finetune.encoding.encode import IGNORED, Example
from finetune.encoding.token_store import WHOLE, TokenWriter, open_store, pack_block
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.train.batches import ChosenSequences, Packed, Padder, Sequences, StepSampler, pack
from finetune.train.packing_check import check_packing
from finetune.train.run import train
from tests.support.random_models import Shape, random_model
from tests.support.tiny_training import make_base

pytestmark = pytest.mark.slow

VOCABULARY = 96
SHAPE = Shape(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)


def random_rows(folder: Path, lengths: list[int], seed: int = 3) -> ChosenSequences:
    """Sequences of chance tokens, the second half of each learnt."""
    chance = np.random.default_rng(seed)
    examples = []
    for number, length in enumerate(lengths):
        ids = chance.integers(1, VOCABULARY, length).tolist()
        half = length // 2
        examples.append((Example(ids, [IGNORED] * half + ids[half:]), number))
    folder.mkdir(exist_ok=True)
    with TokenWriter(folder) as writer:
        writer.add(pack_block(examples, [WHOLE] * len(examples)))
    places = np.stack([np.zeros(len(lengths), np.int64), np.arange(len(lengths))], axis=1)
    return ChosenSequences((open_store(folder),), places)


def tiny(config: Any, attention: str = "sdpa") -> Any:
    torch.manual_seed(5)
    model = random_model(config, attn_implementation=attention)
    model.config.use_cache = False  # as in training; with a cache transformers looks for no borders
    model.train(False)
    return model


NEOX = GPTNeoXConfig(intermediate_size=64, initializer_range=0.3, **SHAPE)
LLAMA = LlamaConfig(intermediate_size=64, num_key_value_heads=1, initializer_range=0.3, **SHAPE)
BLOOM = BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=2, initializer_range=0.3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(60, 128))
def test_every_row_is_packed_once_and_no_bin_overflows(lengths: list[int], limit: int) -> None:
    bins = pack(np.array(lengths), limit)
    assert sorted(index for members in bins for index in members) == list(range(len(lengths)))
    fills = [sum(lengths[index] for index in members) for members in bins]
    assert max(fills) <= limit
    # No two bins would go into one, which bounds the number at twice the optimum.
    assert len(fills) == 1 or sum(sorted(fills)[:2]) > limit


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=300), st.integers(1, 9), st.integers(0, 3))
def test_every_epoch_sees_every_sequence_once_in_its_own_order(
    lengths: list[int], per_step: int, epoch: int
) -> None:
    sampler = StepSampler(np.array(lengths), per_step, seed=1)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths)))
    assert order == list(sampler), "the order of an epoch must be the same after a resume"
    assert len(lengths) < 20 or _other_epoch(sampler, epoch) != order


def _other_epoch(sampler: StepSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch + 1)
    return list(sampler)


@pytest.mark.parametrize("config", [NEOX, LLAMA], ids=["GPT-NeoX", "Llama"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_rows_have_the_logits_and_the_loss_of_rows_alone(
    tmp_path: Path, config: Any, attention: str
) -> None:
    model = tiny(config, attention)
    rows = random_rows(tmp_path, [11, 7, 23, 16, 5, 9])
    packed = Packed(rows, limit=32)
    assert len(packed) < len(rows)
    batch = Padder(0)([packed[n] for n in range(len(packed))])
    together = model(**batch)
    logits: dict[int, torch.Tensor] = {}
    for line, members in enumerate(packed.bins):
        start = 0
        for index in members:
            length = int(rows.lengths[index])
            logits[index] = together.logits[line, start : start + length]
            start += length
    for index in range(len(rows)):
        alone = model(input_ids=torch.from_numpy(rows.sequence(index)[0])[None]).logits[0]
        assert torch.allclose(logits[index], alone, atol=1e-4), index
    separate = Sequences(rows)
    unpacked = model(**Padder(0)([separate[n] for n in range(len(separate))]))
    assert together.loss.item() == pytest.approx(unpacked.loss.item(), rel=1e-5)


def test_flat_batches_hold_the_same_tokens_in_one_line(tmp_path: Path) -> None:
    packed = Packed(random_rows(tmp_path, [11, 7, 23, 16]), limit=32)
    items = [packed[n] for n in range(len(packed))]
    flat = Padder(0, flat=True)(items)
    assert flat["input_ids"].shape == (1, 57)
    assert "attention_mask" not in flat
    assert int((flat["position_ids"] == 0).sum()) == 4
    assert (flat["labels"][flat["position_ids"] == 0] == IGNORED).all()


def test_a_model_without_borders_between_packed_rows_is_refused(tmp_path: Path) -> None:
    rows = random_rows(tmp_path, [20, 20])
    check_packing(tiny(NEOX), rows, flat=False)
    with_cache = tiny(NEOX)
    with_cache.config.use_cache = True
    for model in (tiny(BLOOM, "eager"), with_cache):
        with pytest.raises(UserError, match="packed rows see each other"):
            check_packing(model, rows, flat=False)


def test_a_packed_run_takes_fewer_steps_and_learns(tmp_path: Path) -> None:
    make_base(tmp_path)
    common = ("max_length=250", "batch_size=1", "smoke_test=false")
    train(load_recipe(tmp_path / "tune.yaml", [*common, "packing=true"]), tmp_path / "packed", silent)
    card = (tmp_path / "packed" / "kodolly-adapter.json").read_text(encoding="utf-8")
    log = (tmp_path / "packed" / "training-log.json").read_text(encoding="utf-8")
    assert '"packing": true' in card
    losses = [entry["loss"] for entry in json.loads(log) if "loss" in entry]
    assert len(losses) < 160, "four rows an epoch, forty epochs, one row a step"
    assert losses[-1] < 0.1 < losses[0]
