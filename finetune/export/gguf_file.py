"""`kodolly export gguf`: a checkpoint as one file for llama.cpp, and a Modelfile for Ollama beside it."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gguf import MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFWriter, LlamaFileType, get_tensor_name_map
from gguf.quants import quantize
from numpy.typing import NDArray

from common.chat_template import TEMPLATE_FILE
from common.errors import UserError
from finetune.export.gguf_models import GgufModel, gguf_model, llama3_factors
from finetune.export.gguf_vocabulary import write_vocabulary
from finetune.export.llama_proof import prove_file
from finetune.export.ollama import NoModelfile, modelfile
from finetune.export.source import ExportSource, open_source, require_numbers
from finetune.files.whole import require_room, whole_directory
from finetune.merge.parameter_names import empty_model
from finetune.merge.safetensors_io import StoredTensor, read_tensor
from finetune.merge.streamed_model import open_weights
from finetune.models.checkpoint import write_card
from finetune.models.quiet import hide_library_bars
from finetune.progress import Progress, Report, finished

FILE = "model.gguf"
MODELFILE = "Modelfile"
TYPES = {
    "float32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "float16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bfloat16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
"""Types of weights; q8_0 is 8 bits with one scale for 32 numbers."""


@dataclass(frozen=True)
class GgufTensor:
    """One tensor of the file."""

    name: str
    """llama.cpp's."""
    parameter: str
    """The model's."""
    stored: StoredTensor
    kind: GGMLQuantizationType


def export_gguf(
    checkpoint: Path, output: Path, report: Report, dtype: str | None = None, *, llama_cpp: bool = False
) -> None:
    """Write the directory `output`: model.gguf, a Modelfile where there can be one, and the card.

    dtype: one of TYPES; the checkpoint's own when left out. llama_cpp: whether llama.cpp, which must be
    installed, is asked whether it answers alike. Memory holds one tensor at a time. A run that was killed
    begins anew. Raises UserError for an architecture or a tokenizer that llama.cpp does not compute, and
    where its answers differ.
    """
    hide_library_bars()
    source = open_source(checkpoint)
    model = gguf_model(source.text_config)
    dtype = dtype or str(source.config.dtype).removeprefix("torch.")
    if dtype not in TYPES:
        raise UserError(
            f"The configuration names no type of weights that a GGUF file has, but {dtype}.",
            hint=f"Choose one with --type: {', '.join(TYPES)}.",
        )
    kind, file_type = TYPES[dtype]
    tensors = _tensors(source, model, kind)
    with whole_directory(output) as directory:
        require_room(directory, sum(_bytes(each) for each in tensors))
        _write(directory / FILE, source, model, tensors, file_type, report)
        shutil.copyfile(checkpoint / TEMPLATE_FILE, directory / TEMPLATE_FILE)
        _write_modelfile(directory, source, report)
        metrics = prove_file(directory / FILE, source, report).metrics() if llama_cpp else {}
        write_card(directory, source.card_of("gguf", dtype, metrics))


def _tensors(source: ExportSource, model: GgufModel, kind: GGMLQuantizationType) -> list[GgufTensor]:
    """Every parameter of the text model. Raises UserError for one that llama.cpp has no place for."""
    names = get_tensor_name_map(model.arch, source.text_config.num_hidden_layers)
    weights = open_weights(source.directory, empty_model(source.config))
    tensors = []
    for parameter in sorted(weights.places):
        if _is_for_images(parameter, source):
            continue
        key = parameter.replace("language_model.", "")
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise UserError(f"A GGUF file is not written: llama.cpp has no place for {parameter}.")
        stored = weights.stored[weights.places[parameter][0][0]]
        tensors.append(GgufTensor(name, key, stored, _kind(name, stored, kind)))
    return tensors


def _is_for_images(parameter: str, source: ExportSource) -> bool:
    """Of a model that reads images the text part is written, as llama.cpp keeps the rest in another file."""
    text = ("model.language_model.", "lm_head.", "model.layers.", "model.embed_tokens.", "model.norm.")
    return source.config is not source.text_config and not parameter.startswith(text)


def _kind(name: str, stored: StoredTensor, kind: GGMLQuantizationType) -> GGMLQuantizationType:
    """Vectors and norms are kept in float32, as llama.cpp computes them."""
    if len(stored.shape) == 1 or name.endswith("_norm.weight"):
        return GGMLQuantizationType.F32
    if kind is GGMLQuantizationType.Q8_0 and stored.shape[-1] % _Q8_BLOCK:
        return GGMLQuantizationType.F16
    return kind


_Q8_BLOCK = 32
_BYTES = {
    GGMLQuantizationType.F32: 4.0,
    GGMLQuantizationType.F16: 2.0,
    GGMLQuantizationType.BF16: 2.0,
    GGMLQuantizationType.Q8_0: 34 / _Q8_BLOCK,
}


def _bytes(tensor: GgufTensor) -> int:
    return int(torch.Size(tensor.stored.shape).numel() * _BYTES[tensor.kind])


def _write(
    path: Path,
    source: ExportSource,
    model: GgufModel,
    tensors: Sequence[GgufTensor],
    file_type: LlamaFileType,
    report: Report,
) -> None:
    stage = f"{source.card.name}: to gguf"
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[model.arch])
    try:
        _write_keys(writer, source, model, file_type)
        factors = llama3_factors(source.text_config)
        if factors is not None:
            writer.add_tensor_info("rope_freqs.weight", factors.shape, np.dtype(np.float32), 4 * len(factors))
        for each in tensors:
            shape = each.stored.shape
            writer.add_tensor_info(each.name, shape, np.dtype(np.float32), _bytes(each), raw_dtype=each.kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors.numpy())
        for number, each in enumerate(tensors, start=1):
            weight = model.weight(each.parameter, read_tensor(each.stored), source.text_config)
            writer.write_tensor_data(_numbers(each.parameter, weight, each.kind))
            report(Progress(stage, number / len(tensors), f"tensor {number} of {len(tensors)}"))
    finally:
        writer.close()
    report(finished(stage, f"{path.stat().st_size / 1e9:.2f} GB"))


def _numbers(name: str, weight: torch.Tensor, kind: GGMLQuantizationType) -> NDArray[np.generic]:
    """As they lie in the file. Raises UserError for a number that it does not hold."""
    require_numbers(name, weight.to(torch.float16) if kind is GGMLQuantizationType.F16 else weight)
    if kind is GGMLQuantizationType.BF16 and weight.dtype is torch.bfloat16:
        return weight.contiguous().view(torch.int16).numpy()
    if kind is GGMLQuantizationType.F16:
        return weight.to(torch.float16).contiguous().numpy()
    return quantize(weight.float().contiguous().numpy(), kind)


def _write_keys(writer: GGUFWriter, source: ExportSource, model: GgufModel, file_type: LlamaFileType) -> None:
    tokenizer = source.tokenizer
    writer.add_name(source.card.name)
    writer.add_license(source.card.licence)
    writer.add_file_type(file_type)
    model.settings(source.text_config, writer)
    write_vocabulary(tokenizer, source.text_config.vocab_size, writer)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(source.begins)
    for add, stop in zip(
        (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id),
        source.stops,
        strict=False,
    ):
        add(stop)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(_template(source))


def _template(source: ExportSource) -> str:
    """The checkpoint's own, with what a server of kodolly's gives it written before it: llama.cpp takes no
    such values from a file."""
    given = source.card.own_template.template_kwargs if source.card.own_template else {}
    sets = [f"{{%- set {name} = {_jinja(value)} -%}}" for name, value in given.items()]
    return "".join([*sets, str(source.tokenizer.chat_template)])


def _jinja(value: object) -> str:
    names = {True: "true", False: "false", None: "none"}
    return names[value] if value is None or isinstance(value, bool) else json.dumps(value)


def _write_modelfile(directory: Path, source: ExportSource, report: Report) -> None:
    try:
        text = modelfile(source, FILE)
    except NoModelfile as error:
        report(
            finished(f"{source.card.name}: no Modelfile", f"the chat template cannot be said in Go: {error}")
        )
        return
    (directory / MODELFILE).write_text(text, encoding="utf-8")
