"""The memory that a training run takes on each device, computed from the model's configuration alone.

Weights, gradients and Adam's two moments are counted exactly, on a model without storage. Activations for the
backward pass are estimated per token and layer, after Korthikanti et al. 2022 (34 bytes per hidden unit in
half precision, less what attention without a stored matrix and without dropout saves).
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from finetune.recipes.recipe import EmbeddingTuning, Recipe
from finetune.recipes.sections import Lora

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig


NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes per weight: 4 bits, an 8-bit scale for every 64 weights, a 32-bit scale for every 256 scales (double
quantisation)."""
KEPT_HALVES = 17
"""Activations that a layer keeps per token, in units of the hidden width and in the precision of the
arithmetic, with a feed-forward layer four times as wide."""
LOGITS_BYTES = 14
"""Bytes per token and vocabulary entry: the logits, their float32 copy, its gradient, and the logits'
gradient."""
TILE = (4096, 32768)
"""Tokens and vocabulary entries of which TRL's loss computes the logits at a time (trl/kernels)."""
TILE_COPIES = 7
"""How many tiles more TRL's loss holds on a CPU, where torch computes it step by step (measured)."""
ADAM = 8
"""Bytes per trained weight: two float32 moments."""


@dataclass(frozen=True)
class MemoryPlan:
    """Memory of one process on one device, in bytes."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def fixed(self) -> int:
        """Bytes that are needed before the first row."""
        return self.weights + self.gradients + self.optimizer

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return self.fixed + self.activations + self.logits


@dataclass(frozen=True)
class WeightSizes:
    """Numbers of weights of a model, by how they are stored and trained."""

    total: int
    linear: int
    """Weights in linear layers without the output embedding, which NF4 quantises."""
    adapter: int
    """Weights in the adapter; 0 without one."""
    experts: int
    """Weights in fused tensors of experts, which bitsandbytes does not quantise."""
    layers: int
    width: int
    """Hidden size."""
    vocabulary: int
    """Rows of the output embedding."""


def expert_weights(model: "torch.nn.Module") -> int:
    """Number of weights in fused tensors of experts, told apart from a vision tower's tensors of three
    dimensions."""
    return sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if weight.ndim == 3 and "experts" in name.split(".")
    )


def sizes(config: "PretrainedConfig", adapter: Lora | None = None) -> WeightSizes:
    """Count the weights of the model that `config` describes and of `adapter` on it; nothing is loaded."""
    import torch

    from finetune.models.auto import weightless_model
    from finetune.models.load import add_adapter

    model = weightless_model(config)
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    linear = [
        module for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not head
    ]
    text = config.get_text_config()
    counted = WeightSizes(
        total=sum(weight.numel() for weight in model.parameters()),
        linear=sum(module.weight.numel() for module in linear),
        adapter=0,
        experts=expert_weights(model),
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        vocabulary=text.vocab_size,
    )
    if adapter is None:
        return counted
    with torch.device("meta"):
        adapted = add_adapter(model, adapter)
    trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    return replace(counted, adapter=trained)


def plan_memory(
    config: "PretrainedConfig", recipe: Recipe, *, longest: int, compute_bytes: int
) -> MemoryPlan:
    """The memory plan for `recipe` on the model of `config`.

    longest: tokens of the longest sequence. compute_bytes: bytes of a number in the arithmetic, 4 for
    float32, else 2.
    """
    size = sizes(config, recipe.adapter)
    return plan_counted(size, recipe, longest=longest, compute_bytes=compute_bytes)


def plan_counted(size: WeightSizes, recipe: Recipe, *, longest: int, compute_bytes: int) -> MemoryPlan:
    """`plan_memory` for weights of model and adapter that have been counted already."""
    mixed = compute_bytes < 4
    if recipe.has_adapter:
        trained = size.adapter
        small = size.linear if recipe.four_bit else 0
        weights = round(small * NF4_BYTES) + (size.total - small) * compute_bytes + trained * 4
        if recipe.four_bit:  # a layer's weights are dequantised while they are used
            weights += 2 * compute_bytes * size.linear // size.layers
    else:
        trained = size.total
        weights = trained * (4 + (2 if mixed else 0))  # autocast caches half-precision copies
    tokens = recipe.batch_size * longest * recipe.sequences_per_row
    per_layer = KEPT_HALVES * size.width * compute_bytes
    if recipe.gradient_checkpointing:
        activations = tokens * (size.width * compute_bytes * size.layers + per_layer)
    else:
        activations = tokens * per_layer * size.layers
    return MemoryPlan(
        weights=weights,
        gradients=trained * 4,
        optimizer=trained * ADAM,
        activations=activations,
        logits=_head(size, recipe, tokens, compute_bytes),
    )


def _head(size: WeightSizes, recipe: Recipe, tokens: int, compute_bytes: int) -> int:
    """Bytes of logits, or of what a fused loss holds in place of all of them."""
    states = tokens * size.width
    if recipe.fused_loss == "TRL":
        copies = TILE_COPIES * min(size.vocabulary, TILE[1]) if compute_bytes == 4 else 0
        return min(tokens, TILE[0]) * (TILE[1] + copies) * compute_bytes + states * 4
    if recipe.fused_loss == "Liger":
        # At a time it takes as many tokens as have no more logits than all tokens have hidden units, rounded
        # up to a power of two. The gradient of trained weights waits for the backward pass.
        parts = math.ceil(size.vocabulary / size.width)
        chunk = min(tokens, 1 << math.ceil(math.log2(math.ceil(tokens / parts))))
        trained = 0 if recipe.has_adapter else size.vocabulary * size.width * 4
        return 2 * chunk * size.vocabulary * compute_bytes + states * compute_bytes + trained
    return tokens * size.vocabulary * LOGITS_BYTES


def plan_vectors(
    size: WeightSizes, recipe: EmbeddingTuning, *, tokens: int, compute_bytes: int
) -> MemoryPlan:
    """The memory plan for a model of vectors. tokens: of one question with its passages, at most."""
    trained = size.adapter if recipe.lora is not None else size.total
    halves = 0 if compute_bytes == 4 else 2  # autocast caches half-precision copies
    at_once = min(recipe.batch_size, recipe.embed.mini_batch or recipe.batch_size) * tokens
    per_layer = KEPT_HALVES * size.width * compute_bytes
    kept = per_layer * size.layers
    if recipe.gradient_checkpointing:
        kept = size.width * compute_bytes * size.layers + per_layer
    return MemoryPlan(
        weights=size.total * (4 + halves) + size.adapter * 4,
        gradients=trained * 4,
        optimizer=trained * ADAM,
        activations=at_once * kept,
        logits=0,
    )
