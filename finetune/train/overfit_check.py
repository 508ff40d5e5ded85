"""The smoke test before a long run: can this model, with this template and these masks, learn a few rows by
heart and stop after each?

A mistake in the set-up (an end token that is masked or never trained, an adapter on the wrong layers, new
tokens with frozen rows) shows here within a minute, and otherwise after days.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from common.errors import UserError
from finetune.encoding.encode import IGNORED
from finetune.encoding.own_settings import stop_ids
from finetune.encoding.token_store import Array
from finetune.models.precision import Precision
from finetune.progress import Progress, finished
from finetune.train.batches import ChosenSequences, Padder
from finetune.train.fused_loss import without_logits
from finetune.train.session import TrainingSession

if TYPE_CHECKING:
    from transformers import PreTrainedModel


ROWS = 20
PASSES = 60
"""Most passes over the rows, unless they make fewer than STEPS steps."""
STEPS = 180
"""Steps that the test may take in any case: a handful of rows makes one step per pass, and no model learns
them in PASSES steps."""
LOOK_EVERY = 5
"""Passes between two measurements of the stop rate."""
RISE = ((0.0, 1.0), (1 / 3, 3.0), (2 / 3, 10.0))
"""(share of the test, factor of the learning rate from there on). The rate rises, as the test asks whether
the model can learn to stop, not whether the recipe's rate is the best."""

T = TypeVar("T")


@dataclass(frozen=True)
class SmokeTest:
    """The result of the smoke test."""

    rows: int
    passes: int
    loss: float
    stop_rate: float
    """Share of the rows for which the end token is the likeliest after the answer and nowhere before."""
    tokens_per_second: float
    """Tokens, padding included, that forward and backward passes took in a second."""


def smoke_test(session: TrainingSession, rows: ChosenSequences, rates: tuple[float, float]) -> SmokeTest:
    """Learn up to 20 rows by heart, then restore the model; rates: the least and the greatest learning rate.
    Raises UserError below a stop rate of 100%."""
    recipe, model, precision = session.recipe, session.model, session.precision
    stage = f"{recipe.name}: learning {min(ROWS, len(rows))} rows by heart"
    some = [rows.sequence(int(n)) for n in np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(int)]
    batches = _batches(session, some, recipe.batch_size)
    # Where training never holds the logits of a whole batch, there may be no room for them.
    looked_at = _batches(session, some, 1) if recipe.fused_loss else batches
    least, greatest = rates
    seen, loss, stopped, done, took = 0, math.nan, 0.0, 0, 0.0
    with _unchanged(model):
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, weight_decay=0)
        limit = max(PASSES, math.ceil(STEPS / len(batches)))
        while stopped < 1.0 and done < limit:
            factor = max(factor for first, factor in RISE if done >= first * limit)
            optimizer.param_groups[0]["lr"] = min(greatest, max(least, recipe.learning_rate) * factor)
            began = time.monotonic()
            loss = 0.0
            for batch in batches:
                loss += _step(session, batch, optimizer, trained) / len(batches)
                seen += batch["input_ids"].numel()
            took += time.monotonic() - began
            done += 1
            session.report(Progress(stage, done / limit, f"loss {loss:.3f}"))
            if done % LOOK_EVERY == 0:
                stopped = _stop_rate(model, looked_at, stop_ids(session.tokenizer), precision)
    session.report(finished(stage, f"stops after {stopped:.0%} of them"))
    if stopped < 1.0:
        raise UserError(
            f"After {done} passes over {len(some)} rows the model stops after {stopped:.0%} of them, "
            f"not after all (loss {loss:.3f}).",
            hint="A longer run would not stop either: see that lora.targets reaches all linear layers and "
            "lora.rank is 16 or more. A base with random weights needs smoke_test: false.",
        )
    return SmokeTest(len(some), done, loss, stopped, seen / took)


@torch.no_grad()
def forward_rate(session: TrainingSession, rows: ChosenSequences) -> float:
    """Training tokens per second, estimated from forward passes alone by the method's `forward_passes`."""
    model, precision = session.model, session.precision
    middle = np.argsort(rows.lengths)[len(rows) // 2]
    ids, labels = rows.sequence(int(middle))
    batch = Padder(session.tokenizer.pad_token_id)(
        [{"input_ids": ids, "labels": labels}] * min(session.recipe.batch_size, 4)
    )
    given = {name: values.to(model.device) for name, values in batch.items()}
    began = 0.0
    for _ in range(2):  # the first pass also sets up the device; the second is timed
        began = time.monotonic()
        with torch.autocast(model.device.type, precision.compute, _half(precision)):
            model(**given, **without_logits(session.recipe)).loss.item()
    return batch["input_ids"].numel() / (time.monotonic() - began) / session.recipe.forward_passes


def _half(precision: Precision) -> bool:
    return precision.compute != torch.float32


def _batches(
    session: TrainingSession, some: Sequence[tuple[Array, Array]], size: int
) -> list[dict[str, torch.Tensor]]:
    padder = Padder(session.tokenizer.pad_token_id)
    examples = [{"input_ids": ids, "labels": labels} for ids, labels in some]
    return [
        {name: values.to(session.model.device) for name, values in padder(chunk).items()}
        for chunk in _chunks(examples, size)
    ]


def _step(
    session: TrainingSession,
    batch: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    trained: list[torch.nn.Parameter],
) -> float:
    """Train on one batch; returns its loss."""
    model, precision = session.model, session.precision
    with torch.autocast(model.device.type, precision.compute, _half(precision)):
        loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, session.recipe.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def _chunks(rows: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@torch.no_grad()
def _stop_rate(
    model: "PreTrainedModel",
    batches: list[dict[str, torch.Tensor]],
    ends: Sequence[int],
    precision: Precision,
) -> float:
    """Share of the sequences in which end tokens are the likeliest exactly where the labels have them."""
    model.train(False)
    right = total = 0
    for batch in batches:
        with torch.autocast(model.device.type, precision.compute, _half(precision)):
            preferred = model(**{k: v for k, v in batch.items() if k != "labels"}).logits[:, :-1].argmax(-1)
        labels = batch["labels"][:, 1:]
        stops = torch.tensor(list(ends), device=labels.device)
        wrong = (torch.isin(preferred, stops) != torch.isin(labels, stops)) & (labels != IGNORED)
        right += int((~wrong.any(dim=1)).sum())
        total += len(labels)
    model.train()
    return right / total


@contextlib.contextmanager
def _unchanged(model: "PreTrainedModel") -> Iterator[None]:
    """Switch dropout off, and restore weights, mode and random state when the block ends."""
    before = [
        (weight, weight.detach().to("cpu", copy=True))
        for weight in model.parameters()
        if weight.requires_grad
    ]
    dropouts = [(module, module.p) for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    training, random = model.training, torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    model.train()  # gradient checkpointing works in training mode only
    for module, _ in dropouts:
        module.p = 0.0
    try:
        yield
    finally:
        for module, share in dropouts:
            module.p = share
        with torch.no_grad():
            for weight, value in before:
                weight.copy_(value)
                weight.grad = None
        model.train(training)
        torch.set_rng_state(random)
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)
