"""The memory that a training run takes on each device, computed from the model's configuration alone.

Weights, gradients and Adam's two moments are counted exactly, on a model without storage. Activations for the
backward pass are estimated from the widths of the linear layers and norms that a token passes (of GPT these
are 32 and 4 bytes for each hidden unit in half precision, and Korthikanti et al. 2022 count 34 in all); no
matrix of attention is stored.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from finetune.recipes.recipe import EmbeddingTuning, Recipe
from finetune.recipes.sections import Lora

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig


# The constants of the formula. `benchmarks/gpu.py` prints what a GPU took beside each term.
WEIGHT = 4
"""Bytes of a trained weight (float32); frozen ones have the number format of the arithmetic."""
GRADIENT = 4
"""Bytes of a trained weight's gradient."""
ADAM = 8
"""Bytes per trained weight: two float32 moments."""
AUTOCAST_COPY = 2
"""Bytes of the half-precision copy of a trained weight that autocast keeps during a pass."""
DEQUANTISED = 2
"""Copies of a layer's weights, in the number format of the arithmetic, while 4-bit weights are used."""
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes per weight: 4 bits, an 8-bit scale for every 64 weights, a 32-bit scale for every 256 scales (double
quantisation)."""
KEPT = 1.0
"""Numbers in the format of the arithmetic that are kept for the backward pass, for each number that a linear
layer or a gate takes or gives."""
KEPT_BY_NORMS = 2.5
"""The same for each number that a norm takes. Counted on models without storage, in bfloat16: 1.8 of
GPT-NeoX, 3.1 of Qwen3, whose norms compute in float32."""
LOGITS_BYTES = 14
"""Bytes per token and vocabulary entry: the logits, their float32 copy, its gradient, and the logits'
gradient."""
TILE = (4096, 32768)
"""Tokens and vocabulary entries of which TRL's loss computes the logits at a time (trl/kernels)."""
TILE_COPIES = 7
"""How many tiles more TRL's loss holds on a CPU, where torch computes it step by step (measured)."""


@dataclass(frozen=True)
class MemoryPlan:
    """Memory of one process on one device, in bytes."""

    weights: int
    gradients: int
    optimizer: int
    copies: int
    """Weights in another number format, while a batch is computed."""
    activations: int
    logits: int
    accumulates: bool
    """Whether gradients stay while the next batch is computed (`gradient_accumulation`)."""

    @property
    def fixed(self) -> int:
        """Bytes that are needed whatever a batch takes: those of the optimiser's step."""
        return self.weights + self.gradients + self.optimizer

    @property
    def batch(self) -> int:
        """Bytes that a batch takes when its loss has been computed."""
        return self.copies + self.activations + self.logits

    @property
    def total(self) -> int:
        """Bytes at the peak. Gradients come as activations go, so that they take the same room, but for
        those of earlier batches."""
        if self.accumulates:
            return self.fixed + self.batch
        return max(self.fixed, self.weights + self.optimizer + self.batch)

    def on_each_of(self, devices: int) -> "MemoryPlan":
        """The plan of each of `devices` among which weights, gradients and moments are divided."""
        return replace(
            self,
            weights=self.weights // devices,
            gradients=self.gradients // devices,
            optimizer=self.optimizer // devices,
            copies=self.copies // devices,
        )


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
    passed: int
    """Numbers that linear layers and gates take and give for a token of text."""
    normed: int
    """Numbers that norms take for a token of text."""
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


def passed_widths(model: "torch.nn.Module", head: "torch.nn.Module | None", experts: int) -> tuple[int, int]:
    """(`passed`, `normed`) of WeightSizes. head: the output embedding, which does not count. experts: how
    many fused ones a token passes in each layer."""
    import torch

    from finetune.models.load import text_part

    text = text_part(model)
    modules = {name: module for name, module in model.named_modules() if name.startswith(text)}
    passed = normed = 0
    for name, module in modules.items():
        if isinstance(module, torch.nn.Linear) and module is not head:
            gates = {"gate_proj": module.out_features, "gate_up_proj": module.out_features // 2}
            passed += module.in_features + module.out_features + gates.get(name.rsplit(".", 1)[-1], 0)
        elif type(module).__name__.endswith("Norm") and isinstance(
            weight := getattr(module, "weight", None), torch.Tensor
        ):
            # A norm of queries or keys has the width of a head and takes all heads.
            heads = modules.get(name.removesuffix("_norm") + "_proj")
            normed += getattr(heads, "out_features", weight.numel())
    for name, weight in model.named_parameters():
        if weight.ndim == 3 and "experts" in name.split("."):
            passed += experts * sum(weight.shape[1:])
    return passed, normed


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
    passed, normed = passed_widths(model, head, int(getattr(text, "num_experts_per_tok", None) or 1))
    counted = WeightSizes(
        total=sum(weight.numel() for weight in model.parameters()),
        linear=sum(module.weight.numel() for module in linear),
        adapter=0,
        experts=expert_weights(model),
        layers=text.num_hidden_layers,
        passed=passed,
        normed=normed,
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
    if recipe.has_adapter:
        trained = size.adapter
        small = size.linear if recipe.four_bit else 0
        weights = round(small * NF4_BYTES) + (size.total - small) * compute_bytes + trained * WEIGHT
        copies = DEQUANTISED * compute_bytes * small // size.layers
    else:
        trained = size.total
        weights = trained * WEIGHT
        copies = trained * AUTOCAST_COPY if compute_bytes < 4 else 0
    tokens = recipe.batch_size * longest * recipe.sequences_per_row
    per_layer = round(_kept(size) * compute_bytes / size.layers)
    if recipe.gradient_checkpointing:
        activations = tokens * (size.width * compute_bytes * size.layers + per_layer)
    else:
        activations = tokens * per_layer * size.layers
    return MemoryPlan(
        weights=weights,
        gradients=trained * GRADIENT,
        optimizer=trained * ADAM,
        copies=copies,
        activations=activations,
        logits=_head(size, recipe, tokens, compute_bytes),
        accumulates=recipe.gradient_accumulation > 1,
    )


def _kept(size: WeightSizes) -> float:
    """Numbers that all layers keep of a token."""
    return KEPT * size.passed + KEPT_BY_NORMS * size.normed


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
    at_once = min(recipe.batch_size, recipe.embed.mini_batch or recipe.batch_size) * tokens
    per_layer = round(_kept(size) * compute_bytes / size.layers)
    kept = per_layer * size.layers
    if recipe.gradient_checkpointing:
        kept = size.width * compute_bytes * size.layers + per_layer
    return MemoryPlan(
        weights=(size.total + size.adapter) * WEIGHT,
        gradients=trained * GRADIENT,
        optimizer=trained * ADAM,
        copies=size.total * AUTOCAST_COPY if compute_bytes < 4 else 0,
        activations=at_once * kept,
        logits=0,
        accumulates=recipe.gradient_accumulation > 1,
    )
