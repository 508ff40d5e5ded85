"""Puts a loss into the model that never holds the logits of all tokens, and shows that it is the same."""

import numpy as np
import torch
from transformers.integrations.liger import apply_liger_kernel

from common.errors import UserError
from finetune.models.loss_kernels import loss_kernel_alone
from finetune.recipes.keys import CommonKeys
from finetune.train.batches import ChosenSequences, Padder
from finetune.train.distributed import sharded
from finetune.train.preflight import Fact
from finetune.train.session import TrainingSession

TOLERANCE = 0.02
"""Most difference between both losses of a row, in nats per token, or of a loss above one nat relative.
Rounding in half precision stays below; a scale or cap of logits that only one of them knows is above."""


def fuse_loss(session: TrainingSession, rows: ChosenSequences) -> list[Fact]:
    """Have the session's model compute the recipe's fused loss, if it has one, from now on. Raises UserError
    where the loss of a row is not the one that the whole logits give."""
    recipe = session.recipe
    if recipe.fused_loss is None:
        return []
    plain = None if sharded() else _loss_of_a_row(session, rows, {})
    if recipe.fused_loss == "Liger":
        apply_liger_kernel(session.model, loss_kernel_alone())  # type: ignore[no-untyped-call]
    else:
        from trl.trainer.utils import add_fused_lm_head

        add_fused_lm_head(session.model)
    said = f"{recipe.fused_loss}'s, without the logits of all tokens"
    if plain is None:
        return [Fact("loss", said)]
    fused = _loss_of_a_row(session, rows, without_logits(recipe))
    if not abs(fused - plain) <= TOLERANCE * max(1.0, plain):
        raise UserError(
            f"{recipe.fused_loss} gives a row another loss than the model itself ({fused:.4f}, not "
            f"{plain:.4f}).",
            hint="Leave liger out." if recipe.fused_loss == "Liger" else "Use method lora.",
        )
    return [Fact("loss", f"{said}; {fused:.4f} of a row, {plain:.4f} with them")]


def without_logits(recipe: CommonKeys) -> dict[str, bool]:
    """What a call of the model is given so that it computes the recipe's fused loss, in training or not."""
    return {"Liger": {"skip_logits": True}, "TRL": {"fused_lm_head": True}}.get(str(recipe.fused_loss), {})


@torch.no_grad()
def _loss_of_a_row(session: TrainingSession, rows: ChosenSequences, how: dict[str, bool]) -> float:
    """Mean loss of a learnt token of the shortest row."""
    model, compute = session.model, session.precision.compute
    ids, labels = rows.sequence(int(np.argmin(rows.lengths)))
    batch = Padder(session.tokenizer.pad_token_id)([{"input_ids": ids, "labels": labels}])
    training = model.training
    model.train(False)
    with torch.autocast(model.device.type, compute, enabled=compute != torch.float32):
        loss = model(**{name: each.to(model.device) for name, each in batch.items()}, **how).loss
    model.train(training)
    return float(loss)
