"""`kodolly export int4`: weights in 4 bits, rounded so that what each layer makes of conversations stays.

AutoRound (Cheng et al. 2023, arXiv:2309.05516) moves each weight's rounding by signed gradient descent. What
it writes is compressed-tensors' `pack-quantized`: eight weights in an int32, one scale for GROUP of a row.
"""

import importlib.util
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from common.errors import UserError
from finetune.data.load import load_rows
from finetune.encoding.encode import encode_conversations
from finetune.export.files import write_files
from finetune.export.likeness import Likeness, prove
from finetune.export.source import ExportSource, open_source
from finetune.files.whole import whole_directory
from finetune.merge.foreign_adapter import ROWS
from finetune.merge.parameter_names import empty_model
from finetune.merge.safetensors_io import StoredTensor, read_tensor, shard_names, stored_tensors
from finetune.merge.streamed_model import CheckpointWeights, open_weights
from finetune.models.auto import auto_class
from finetune.models.checkpoint import write_card
from finetune.models.quiet import hide_library_bars
from finetune.progress import Progress, Report, finished
from finetune.train.preflight import bytes_shown, host_memory

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune.rows.row import Row

GROUP = 128
"""Weights of a row that share a scale."""
LENGTH, SEQUENCES = 512, 128
"""Tokens of a sequence on which rounding is tuned, and how many there are at most."""
STEPS = 200
"""Of gradient descent for each layer; AutoRound's own."""
SERVED = ("gemma3_text", "gpt_neox", "llama", "mistral", "qwen2", "qwen3")
"""Model types whose export vLLM is known to load and answer with (tests/support/export_matrix.py)."""


def export_int4(
    checkpoint: Path, output: Path, report: Report, *, data: Path | None = None, steps: int = STEPS
) -> Likeness:
    """Write `output`, the complete checkpoint in 4 bits, and return how alike it is to `checkpoint`.

    data: rows on which rounding is tuned, the bundled ones when left out. steps: 0 rounds to the nearest. The
    whole model is in memory, and one layer at a time on the GPU where there is one. A run that was killed
    begins anew. Raises UserError when the model does not fit, when vLLM would not serve the result, or it
    would not be the same model.
    """
    hide_library_bars()
    source = open_source(checkpoint)
    model = empty_model(source.config)
    _require_served(source, model)
    sequences = _sequences(source, load_rows(data or ROWS))
    weights = open_weights(checkpoint, model)
    stage = f"{source.card.name}: to int4"
    needed = _require_memory(source, model, sequences)
    with whole_directory(output) as directory:
        told = f"{len(sequences)} sequences, {steps} steps a layer, {bytes_shown(needed)} of memory or more"
        report(Progress(stage, 0.0, told))
        written = _round(source, sequences, steps, directory)
        report(finished(stage))
        config = json.loads((written / "config.json").read_text(encoding="utf-8"))
        for path in (*written.glob("*.safetensors"), *written.glob("*.safetensors.index.json")):
            path.chmod(0o644)  # the library lets nobody else read them
            path.rename(directory / path.name)
        shutil.rmtree(directory / _SCRATCH)
        write_files(directory, checkpoint, config["quantization_config"])
        result = _open_packed(directory, weights)
        likeness = prove(source, model, weights, empty_model(source.config), result, report)
        write_card(directory, source.card_of("int4", "int4", likeness.metrics()))
    return likeness


def _require_served(source: ExportSource, model: "PreTrainedModel") -> None:
    kind = source.config.model_type
    if kind not in SERVED:
        raise UserError(
            f"An int4 export of {kind} has not been seen working in vLLM, so none is written.",
            hint=f"It is known of {', '.join(SERVED)}.",
        )
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head and module.in_features % GROUP:
            raise UserError(f"The inputs of {name} cannot be divided into groups of {GROUP}.")


def _require_memory(source: ExportSource, model: "PreTrainedModel", sequences: list[torch.Tensor]) -> int:
    """The least bytes of memory that rounding takes: all weights as they are stored, weights, gradients and
    roundings of a layer in float32, and what goes into it and comes out for every sequence. Raises UserError
    where there are fewer."""
    stored = sum(path.stat().st_size for path in source.directory.glob("*.safetensors"))
    text = source.config.get_text_config()
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    layer = int(linear) // int(text.num_hidden_layers) * 3 * 4
    between = sum(one.numel() for one in sequences) * int(text.hidden_size) * 2 * 4
    needed, free = stored + layer + between, host_memory()
    if needed > free:
        raise UserError(
            f"Rounding to 4 bits keeps the whole model in memory: {bytes_shown(needed)} at least; this "
            f"machine has {bytes_shown(free)}.",
            hint="`kodolly export fp8` goes through the model tensor by tensor; else take a larger machine.",
        )
    return needed


def _sequences(source: ExportSource, rows: "list[Row]") -> list[torch.Tensor]:
    """Conversations one behind the other, cut into (1, LENGTH): every place counts, and none is padding."""
    examples = encode_conversations(source.tokenizer, rows)
    ids = [number for made in examples for example in made for number in example.input_ids]
    length = min(LENGTH, source.card.context_length, len(ids))
    if not ids:
        raise UserError("There are no rows to tune the rounding on.", hint="Name others: --data ROWS.jsonl.")
    cut = [torch.tensor([ids[n : n + length]]) for n in range(0, len(ids) - length + 1, length)]
    return cut[:SEQUENCES]


_SCRATCH = "rounded"


def _round(source: ExportSource, sequences: list[torch.Tensor], steps: int, directory: Path) -> Path:
    """Where AutoRound has written weights and configuration: a folder below `directory`."""
    with _quiet():
        from auto_round import AutoRound

        model = auto_class(source.config).from_pretrained(
            source.directory,
            dtype="auto",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        rounding = AutoRound(
            model,
            source.tokenizer,
            scheme="W4A16",
            group_size=GROUP,
            iters=steps,
            dataset=sequences,
            nsamples=len(sequences),
            seqlen=sequences[0].shape[1],
            device_map=0 if torch.cuda.is_available() else "cpu",
            enable_torch_compile=False,
        )
        rounding.quantize_and_save(output_dir=str(directory / _SCRATCH), format="llm_compressor")
    return next((directory / _SCRATCH).rglob("config.json")).parent


@contextmanager
def _quiet() -> Iterator[None]:
    """AutoRound draws bars and tells of each layer's memory. Raises UserError with what it says last."""
    logging.getLogger("autoround").setLevel(logging.ERROR)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        try:
            with redirect_stdout(said), redirect_stderr(said), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what it imports, and nothing that users can mend
                yield
        except SystemExit as error:
            said.seek(0)
            last = " ".join(said.read().strip().splitlines()[-1:])
            raise UserError(f"AutoRound gives up: {last}") from error


@dataclass(frozen=True)
class _PackedWeights(CheckpointWeights):
    """Of an int4 checkpoint: what its numbers stand for."""

    def read(self, key: str) -> torch.Tensor:
        layer = key.removesuffix("weight")
        packed = self.stored.get(f"{layer}weight_packed")
        if packed is None:
            return super().read(key)
        return unpacked(read_tensor(packed), read_tensor(self.stored[f"{layer}weight_scale"]))


def unpacked(packed: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Weights (outputs, inputs) of (outputs, inputs / 8) int32 and (outputs, groups) scales, in float32."""
    places = torch.arange(0, 32, 4, dtype=torch.int32)
    numbers = ((packed.unsqueeze(-1) >> places) & 15).reshape(len(packed), scales.shape[1], -1) - 8
    return (numbers * scales.float().unsqueeze(-1)).reshape(len(packed), -1)


def _open_packed(directory: Path, source: CheckpointWeights) -> CheckpointWeights:
    stored: dict[str, StoredTensor] = {}
    for name in shard_names(directory):
        stored |= stored_tensors(directory / name)
    return _PackedWeights(stored, source.places)


def require_autoround() -> None:
    """Raises UserError where it is not installed."""
    if importlib.util.find_spec("auto_round") is None:
        raise UserError("Weights of 4 bits need auto-round.", hint="Install the extra `export`.")
