"""Whether a loss that is computed from the last hidden states runs here and sees everything that is trained.

Such losses never hold the logits of all tokens. Liger's kernel is one, where tokens are learnt for
themselves; TRL's tiles are another, for preferences. Both read the weights of the output embedding and never
call that layer.
"""

import importlib.util
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from common.errors import UserError
from finetune.models.auto import described_model
from finetune.recipes.keys import CommonKeys

LIGER_LOSS = "fused_linear_cross_entropy"
"""Liger's name for its loss among its kernels."""


def refuse_fused_loss(recipe: CommonKeys, base: Path, in_parts: bool) -> None:
    """Raises UserError where the recipe's fused loss would not run, or miss something that is trained.

    in_parts: whether the model is sharded over devices.
    """
    model = described_model(base)
    if model is None:
        return
    if recipe.fused_loss == "Liger":
        _require_liger(model.config.model_type, in_parts)
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    name = next(name for name, module in model.named_modules() if module is head)
    targets = recipe.adapter.targets if recipe.adapter is not None else ()
    if targets != "all-linear" and any(f".{name}".endswith(f".{target}") for target in targets):
        raise UserError(
            f"lora.targets names the output embedding ({name}), whose adapter the loss of method "
            f"{recipe.method} would not see: {recipe.fused_loss} reads the base's weights there.",
            hint=f"Leave {name} out" + (" or liger." if recipe.fused_loss == "Liger" else "."),
        )
    if recipe.fused_loss == "Liger" and getattr(head, "bias", None) is not None:
        raise UserError(
            "Liger's loss leaves out the bias of this base's output embedding.", hint="Leave liger out."
        )


def _require_liger(architecture: str, in_parts: bool) -> None:
    if importlib.util.find_spec("liger_kernel") is None:
        raise UserError(
            "`liger: true` needs liger-kernel, which is not installed.",
            hint="pip install liger-kernel, or leave liger out.",
        )
    if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
        raise UserError(
            "`liger: true` needs a GPU: Liger's loss is a Triton kernel, and this machine has none.",
            hint="Leave liger out; TRITON_INTERPRET=1 tries it on a CPU, very slowly.",
        )
    if in_parts:
        raise UserError(
            "`liger: true` is for models that each device holds whole: Liger reads the output embedding's "
            "weights, of which a sharded model has a part on each.",
            hint="Leave liger out.",
        )
    if LIGER_LOSS not in inspect.signature(_patches().get(architecture, _no_patch)).parameters:
        raise UserError(f"Liger has no loss for {architecture}.", hint="Leave liger out.")


def _patches() -> Mapping[str, Callable[..., None]]:
    """Model type -> Liger's function that puts its kernels into such a model."""
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    patches: Mapping[str, Callable[..., None]] = MODEL_TYPE_TO_APPLY_LIGER_FN
    return patches


def _no_patch() -> None:
    """In place of a function of Liger's."""


def loss_kernel_alone() -> dict[str, bool]:
    """transformers' `liger_kernel_config`, by which Liger changes the loss and no layer: what is trained
    computes as what is merged and served."""
    names = {name for patch in _patches().values() for name in inspect.signature(patch).parameters}
    return {name: name == LIGER_LOSS for name in sorted(names - {"model"})}
