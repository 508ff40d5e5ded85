"""Whether rows that are packed into one sequence attend to each other."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from common.errors import UserError
from finetune.train.batches import ChosenSequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune.encoding.token_store import Array


BORDER_TOLERANCE = 0.02
"""Relative difference between the logits of a row packed behind another and of the row alone. Rounding in
half precision stays below; a row that attends to its neighbour is far above."""


@torch.no_grad()
def check_packing(model: "PreTrainedModel", rows: ChosenSequences, flat: bool) -> None:
    """Raises UserError when a row changes the predictions for a row packed behind it.

    It is tried on the model as it trains (without a cache), as it depends on the architecture and on the
    attention in use whether positions that begin anew keep rows apart.
    """
    first, second = (rows.sequence(n % len(rows))[0][:48] for n in (0, 1))
    training = model.training
    model.train(False)

    def logits(ids: "Array", positions: "Array") -> torch.Tensor:
        device = model.device
        given = {"input_ids": torch.from_numpy(ids)[None], "position_ids": torch.from_numpy(positions)[None]}
        with torch.autocast(device.type, torch.bfloat16, enabled=flat):
            output = model(**{name: value.to(device) for name, value in given.items()})
        result: torch.Tensor = output.logits[0].float()
        return result

    try:
        alone = logits(second, np.arange(len(second)))
        behind = logits(
            np.concatenate([first, second]), np.concatenate([np.arange(len(first)), np.arange(len(second))])
        )[len(first) :]
    except (TypeError, ValueError) as error:
        raise UserError(
            "This architecture takes no positions, so packed rows would see each other.",
            hint="Set packing: false.",
        ) from error
    finally:
        model.train(training)
    difference = float((behind - alone).abs().max() / alone.abs().max())
    if not difference < BORDER_TOLERANCE:
        raise UserError(
            f"With this model and {model.config._attn_implementation} attention packed rows see each other "
            f"(the logits of a row change by {difference:.0%}).",
            hint="Set packing: false.",
        )
