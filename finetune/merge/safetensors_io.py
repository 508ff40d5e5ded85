"""Safetensors files read and written one tensor at a time, so that a checkpoint never has to fit in memory.

The library can write a file only from tensors that are all in memory, and reads through a memory map whose
pages count as the process's memory. The format is simple (https://github.com/huggingface/safetensors#format):
the length of a JSON header in 8 bytes, the header, then the tensors' bytes without gaps.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
LONGEST_HEADER = 100_000_000
"""Most bytes of a header: the library's own limit."""
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: its place, type and shape."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    """Byte offset from the start of the file."""


@dataclass(frozen=True)
class Planned:
    """A tensor of a file that is to be written."""

    key: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.dtype.itemsize * torch.Size(self.shape).numel()


def shard_names(directory: Path) -> list[str]:
    """Names of the checkpoint's safetensors files, in order: a single one, or those of its index. Raises
    UserError."""
    if (directory / SINGLE).is_file():
        return [SINGLE]
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        return sorted(set(index["weight_map"].values()))
    except FileNotFoundError as error:
        raise UserError(f"{directory} has neither {SINGLE} nor {INDEX}.") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{directory / INDEX} is not an index of safetensors files.") from error


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """Name -> tensor, in the order of their bytes in the file. Raises UserError."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= LONGEST_HEADER:
                raise ValueError("its header has no sensible length")
            header: dict[str, Any] = json.loads(file.read(length))
            header.pop("__metadata__", None)
            ordered = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
            size = os.fstat(file.fileno()).st_size
        if ordered and 8 + length + ordered[-1][1]["data_offsets"][1] != size:
            raise ValueError("it ends too early")
        return {
            key: StoredTensor(
                path, DTYPES[entry["dtype"]], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]
            )
            for key, entry in ordered
        }
    except KeyError as error:
        raise UserError(f"{path} has weights of type {error}, which cannot be merged into.") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a whole safetensors file: {error}.") from error


def read_tensor(stored: StoredTensor) -> torch.Tensor:
    """Read one tensor into memory of its own. Raises UserError."""
    count = torch.Size(stored.shape).numel()
    if count == 0:
        return torch.empty(stored.shape, dtype=stored.dtype)
    data = bytearray(count * stored.dtype.itemsize)
    with stored.path.open("rb", buffering=0) as file:
        file.seek(stored.offset)
        view = memoryview(data)
        while view:
            got = file.readinto(view)
            if not got:
                raise UserError(f"{stored.path} ended while it was read.")
            view = view[got:]
    return torch.frombuffer(data, dtype=stored.dtype).view(stored.shape)


def write_tensors(path: Path, plan: Sequence[Planned], tensors: Iterator[torch.Tensor]) -> str:
    """Write `tensors`, which must come as `plan` lists them and are taken one by one; returns the file's
    SHA-256 in hex."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for each in plan:
        end = offset + each.size
        header[each.key] = {
            "dtype": CODES[each.dtype],
            "shape": each.shape,
            "data_offsets": (offset, end),
        }
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (len(text).to_bytes(8, "little"), text):
            file.write(part)
            digest.update(part)
        for each, tensor in zip(plan, tensors, strict=True):
            if tensor.dtype != each.dtype or tuple(tensor.shape) != each.shape:
                raise ValueError(f"{each.key} is {tensor.dtype} {tuple(tensor.shape)}, planned was {each}")
            data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
            file.write(data)
            digest.update(data)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def file_order(plan: Sequence[Planned]) -> list[Planned]:
    """The plan sorted by width of type, the widest first, so that every tensor begins at a multiple of its
    type's width."""
    return sorted(plan, key=lambda each: -each.dtype.itemsize)
