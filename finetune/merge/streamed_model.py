"""A model that has one layer at a time in memory."""

import ctypes
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from common.errors import UserError
from finetune.merge.parameter_names import ParameterPart, places
from finetune.merge.safetensors_io import StoredTensor, read_tensor, shard_names, stored_tensors
from finetune.models.adapter import Probe

if TYPE_CHECKING:
    from transformers import PreTrainedModel


TOKENS_AT_ONCE = 4096
"""Tokens, padding included, in one pass through the layers."""
ROWS_AT_ONCE = 256
"""Positions whose logits are in memory at once: each has a number for every token of the vocabulary."""
Watch = Callable[[float], None]
"""Called after each layer with the share of the work that is done, 0 to 1."""


@dataclass(frozen=True)
class CheckpointWeights:
    """A checkpoint's parameters, read by name."""

    stored: dict[str, StoredTensor]
    places: dict[str, list[tuple[str, ParameterPart]]]
    """Parameter name -> the tensors in files that make it up."""
    rows: int | None = None
    """Embedding rows of the model, where it has more than the files."""
    whole: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Parameters that an adapter brings along whole, in place of the files'."""

    def __contains__(self, name: str) -> bool:
        return name in self.whole or name in self.places

    def load(self, name: str, shape: torch.Size) -> torch.Tensor:
        """The parameter in float32. Raises UserError when the files do not hold it in this shape."""
        tensors = self.places.get(name, [])
        if name in self.whole:
            weight = self.whole[name].float()
        elif tensors[0][1].expert is None:
            weight = self.read(tensors[0][0]).float()
            if self.rows and shape[0] == self.rows > weight.shape[0]:
                weight = grow(weight, self.rows)
        else:
            weight = torch.empty(shape)
            for key, place in tensors:
                place.of(weight).copy_(self.read(key))
        if weight.shape != shape:
            raise UserError(f"{name} has shape {list(weight.shape)}, the configuration says {list(shape)}.")
        return weight

    def read(self, key: str) -> torch.Tensor:
        """One tensor of the files, in the files' type."""
        return read_tensor(self.stored[key])


def open_weights(
    directory: Path,
    model: "PreTrainedModel",
    rows: int | None = None,
    whole: Mapping[str, torch.Tensor] | None = None,
) -> CheckpointWeights:
    """The files of `directory` as the parameters of `model`; rows, whole: as in CheckpointWeights. Raises
    UserError."""
    stored: dict[str, StoredTensor] = {}
    for name in shard_names(directory):
        stored |= stored_tensors(directory / name)
    found: dict[str, list[tuple[str, ParameterPart]]] = defaultdict(list)
    for key, place in places(model, stored).items():
        found[place.parameter].append((key, place))
    return CheckpointWeights(stored, dict(found), rows, whole or {})


def grow(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """`weight` extended to `rows` rows. Each new row is the mean of the old ones, so that none is ever the
    likeliest; transformers' `resize_token_embeddings` does the same, with noise of a billionth of the
    variance."""
    mean = weight.float().mean(0, keepdim=True).to(weight.dtype)
    return torch.cat([weight, mean.expand(rows - len(weight), *weight.shape[1:])])


@dataclass(frozen=True)
class ParameterSlot:
    """A parameter of a model, and every module that holds it (two for tied embeddings)."""

    names: tuple[str, ...]
    holders: tuple[tuple[nn.Module, str], ...]
    shape: torch.Size

    def put(self, parameter: nn.Parameter) -> None:
        """Set `parameter` in all modules that hold the slot."""
        for module, attribute in self.holders:
            module._parameters[attribute] = parameter


class StreamedModel:
    """A model that reads each layer's weights from files when its turn comes, and drops them after it.

    It must be made before PEFT puts an adapter on the model, so that the adapter's own weights stay in
    memory.
    """

    def __init__(self, model: "PreTrainedModel", weights: CheckpointWeights) -> None:
        self.model = model
        self.weights = weights
        self.device = torch.accelerator.current_accelerator() or torch.device("cpu")
        self.layers = _layers(model)
        inside: dict[str, list[ParameterSlot]] = {name: [] for name in self.layers}
        self.outside: list[ParameterSlot] = []
        for slot in _slots(model):
            layer = next((name for name in self.layers if slot.names[0].startswith(f"{name}.")), None)
            (self.outside if layer is None else inside[layer]).append(slot)
        self.inside = inside

    def shapes(self) -> dict[str, torch.Size]:
        """Parameter name -> shape."""
        slots = [*self.outside, *(slot for slots in self.inside.values() for slot in slots)]
        return {name: slot.shape for slot in slots for name in slot.names}

    @torch.no_grad()
    def likeliest(self, probes: Sequence[Probe], watch: Watch) -> list[list[int]]:
        """For each probe the id of the likeliest token at every position of its answer."""
        batches = _batches(probes)
        result: list[list[int]] = [[] for _ in probes]
        with ExitStack() as stack:
            for slot in self.outside:
                self._fill(slot)
                stack.callback(self._empty, slot)
            _move(self.model, self.device)
            done = 0
            for layer, module in self.layers.items():

                def after(_module: object, _inputs: object, _output: object, layer: str = layer) -> None:
                    nonlocal done
                    for slot in self.inside[layer]:
                        self._empty(slot)
                    _give_back_memory()
                    done += 1
                    watch(done / (len(batches) * len(self.layers)))

                def before(_module: object, _inputs: object, layer: str = layer) -> None:
                    for slot in self.inside[layer]:
                        self._fill(slot)

                stack.callback(module.register_forward_pre_hook(before).remove)
                stack.callback(module.register_forward_hook(after).remove)
            for batch in batches:
                for number, tokens in zip(batch, self._pass([probes[n] for n in batch]), strict=True):
                    result[number] = tokens
        return result

    def _pass(self, probes: Sequence[Probe]) -> Iterator[list[int]]:
        """The likeliest tokens for one batch. Padding is on the right, where causal attention never looks."""
        longest = max(len(probe.input_ids) for probe in probes)
        ids = torch.zeros(len(probes), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, probe in enumerate(probes):
            ids[number, : len(probe.input_ids)] = torch.tensor(probe.input_ids)
            mask[number, : len(probe.input_ids)] = 1
        hidden = self.model.base_model(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device), use_cache=False
        ).last_hidden_state
        head = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        for number, probe in enumerate(probes):
            answer = hidden[number, probe.prompt_tokens - 1 : len(probe.input_ids) - 1]
            yield [token for part in answer.split(ROWS_AT_ONCE) for token in head(part).argmax(-1).tolist()]

    def _fill(self, slot: ParameterSlot) -> None:
        name = next((name for name in slot.names if name in self.weights), None)
        if name is None:
            raise UserError(f"The checkpoint has no {slot.names[0]}.")
        value = self.weights.load(name, slot.shape).to(self.device)
        slot.put(nn.Parameter(value, requires_grad=False))

    def _empty(self, slot: ParameterSlot) -> None:
        slot.put(nn.Parameter(torch.empty(slot.shape, device="meta"), requires_grad=False))


def count_whole(model: "PreTrainedModel", weights: CheckpointWeights) -> int:
    """Number of weights in `model`. Raises UserError unless the files hold every parameter in its shape."""
    count = 0
    for slot in _slots(model):
        name = next((name for name in slot.names if name in weights.places), None)
        if name is None:
            raise UserError(f"The result lacks {slot.names[0]}; the model would not load.")
        found = sum(torch.Size(weights.stored[key].shape).numel() for key, _place in weights.places[name])
        if found != slot.shape.numel():
            raise UserError(f"The result's {name} does not have the shape {list(slot.shape)}.")
        count += found
    return count


def _layers(model: "PreTrainedModel") -> dict[str, nn.Module]:
    """Name -> layer: the members of the model's outermost module lists that have weights."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in found):
            found |= {f"{name}.{number}": layer for number, layer in enumerate(module)}
    return found


def _slots(model: "PreTrainedModel") -> list[ParameterSlot]:
    names: dict[int, list[str]] = defaultdict(list)
    holders: dict[int, list[tuple[nn.Module, str]]] = defaultdict(list)
    shapes: dict[int, torch.Size] = {}
    for prefix, module in model.named_modules():
        for attribute, parameter in module._parameters.items():
            if parameter is not None:
                names[id(parameter)].append(f"{prefix}.{attribute}" if prefix else attribute)
                holders[id(parameter)].append((module, attribute))
                shapes[id(parameter)] = parameter.shape
    return [ParameterSlot(tuple(names[key]), tuple(holders[key]), shapes[key]) for key in shapes]


def _move(model: "PreTrainedModel", device: torch.device) -> None:
    """Move buffers and the adapter's weights, which are small, to `device`; what is on `meta` stays there."""
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and weight.device.type not in ("meta", device.type):
                module._parameters[name] = nn.Parameter(weight.to(device), False)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.device.type not in ("meta", device.type):
                module._buffers[name] = buffer.to(device)


def _give_back_memory() -> None:
    """Return freed memory to the system. glibc keeps blocks of such sizes in its heap, in pieces too small
    for the next layer, so that in the end most of the model would be held."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _batches(probes: Sequence[Probe]) -> list[list[int]]:
    """Indices of probes in batches of similar length, each of at most TOKENS_AT_ONCE tokens or one probe."""
    batches: list[list[int]] = []
    for number in sorted(range(len(probes)), key=lambda n: -len(probes[n].input_ids)):
        longest = len(probes[batches[-1][0]].input_ids) if batches else 0
        if batches and (len(batches[-1]) + 1) * longest <= TOKENS_AT_ONCE:
            batches[-1].append(number)
        else:
            batches.append([number])
    return batches
