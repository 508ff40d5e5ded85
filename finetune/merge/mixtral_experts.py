"""Mixtral's experts under the names of the published checkpoints, which are the ones that vLLM reads."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from finetune.merge.safetensors_io import (
    INDEX,
    Planned,
    StoredTensor,
    read_tensor,
    shard_names,
    stored_tensors,
    write_tensors,
)


def split_experts(directory: Path) -> None:
    """Rewrite the experts of the Mixtral in `directory` with the names and shapes of the published
    checkpoints.

    mergekit writes them as transformers 5 has them in memory, one tensor for all experts of a layer; vLLM
    reads `block_sparse_moe.experts.N.w1` (gate), `w3` (up) and `w2` (down).
    """
    index: dict[str, str] = {}
    names = shard_names(directory)
    for name in names:
        part = directory / f"{name}.part"
        pieces = [
            piece
            for key, stored in stored_tensors(directory / name).items()
            for piece in _pieces(key, stored)
        ]
        plan = [Planned(piece.key, piece.stored.dtype, piece.shape) for piece in pieces]
        write_tensors(part, plan, (piece.read() for piece in pieces))
        part.replace(directory / name)
        index |= {each.key: name for each in plan}
    if len(names) > 1:
        total = sum(_size_of(directory / name) for name in names)
        text = json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2)
        (directory / INDEX).write_text(text + "\n", encoding="utf-8")


def _size_of(path: Path) -> int:
    return sum(torch.Size(s.shape).numel() * s.dtype.itemsize for s in stored_tensors(path).values())


@dataclass(frozen=True)
class TensorPiece:
    """A slice of a stored tensor under a name of its own."""

    key: str
    stored: StoredTensor
    shape: tuple[int, ...]
    expert: int | None = None
    row: int = 0

    def read(self) -> torch.Tensor:
        """Read the slice, and only its bytes."""
        if self.expert is None:
            return read_tensor(self.stored)
        width = self.stored.dtype.itemsize * self.shape[1]
        first = self.expert * self.stored.shape[1] + self.row
        return read_tensor(
            StoredTensor(self.stored.path, self.stored.dtype, self.shape, self.stored.offset + first * width)
        )


def _pieces(key: str, stored: StoredTensor) -> list[TensorPiece]:
    prefix, fused, kind = key.partition(".mlp.experts.")
    if not fused:
        return [TensorPiece(key.replace(".mlp.gate.", ".block_sparse_moe.gate."), stored, stored.shape)]
    experts, rows, columns = stored.shape
    parts = {"gate_up_proj": ("w1", "w3"), "down_proj": ("w2",)}[kind]
    shape = (rows // len(parts), columns)
    return [
        TensorPiece(
            f"{prefix}.block_sparse_moe.experts.{expert}.{part}.weight",
            stored,
            shape,
            expert,
            number * shape[0],
        )
        for expert in range(experts)
        for number, part in enumerate(parts)
    ]
