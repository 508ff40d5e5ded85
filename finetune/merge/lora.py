"""`kodolly merge lora`: merges an adapter into its base tensor by tensor, and proves the result equal."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import GenerationConfig

from common.errors import UserError
from finetune.encoding.encode import encode_text
from finetune.encoding.parity import check_tokens
from finetune.files.hashes import file_hash
from finetune.files.whole import whole_directory
from finetune.merge.edits import Edit, open_adapter
from finetune.merge.foreign_adapter import foreign_source
from finetune.merge.parameter_names import ParameterPart, empty_model
from finetune.merge.parity import Parity, compare
from finetune.merge.safetensors_io import Planned, file_order, read_tensor, shard_names, stored_tensors
from finetune.merge.serving_proof import prove_serving
from finetune.merge.shards import require_room_for, write_shards
from finetune.merge.source import AdapterMerge, own_source
from finetune.merge.streamed_model import CheckpointWeights, StreamedModel, grow, open_weights
from finetune.models.adapter import ADAPTER_FILE, CONFIG, WEIGHTS, Probe, is_ours
from finetune.models.checkpoint import copy_processors, set_stop_tokens, write_card, write_tokenizer
from finetune.models.quiet import hide_library_bars
from finetune.progress import Progress, Report, finished

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


SENTENCES = (
    "오늘은 하늘이 맑고 바람이 시원해서 강가를 오래 걸었습니다.",
    "도서관은 평일 아침 아홉 시에 문을 열고 저녁 여덟 시에 닫습니다.",
    "물은 온도가 섭씨 영 도보다 낮아지면 얼음이 되고, 백 도에서 끓습니다.",
    "할머니께서 보내 주신 감자로 국을 끓여 온 가족이 함께 먹었다.",
)
"""Texts to compare for an adapter that was trained on plain text alone and so has no conversations."""


def merge(
    adapter_dir: Path,
    output: Path,
    report: Report,
    *,
    base: Path | None = None,
    dtype: str | None = None,
    prompts: int | None = None,
    template: str | None = None,
    licence: str | None = None,
    renderer: bool = False,
) -> Parity:
    """Write the complete checkpoint `output` and return how it compares with base and adapter.

    base: its directory, if it has moved. dtype: of the merged weights, by default the base's. prompts: most
    conversations to compare, by default all. template, licence: for an adapter of another trainer, where
    neither it nor its base says. renderer: compare with vLLM's, too. A killed run resumes after its last
    whole shard. Memory holds a few tensors or one layer at a time, never the model. Raises UserError when the
    result would differ from what training made.
    """
    hide_library_bars()
    source = _open_source(adapter_dir, base, output.name, template, licence)
    stage = f"{source.card.name}: merging"
    report(Progress(stage, 0.0, f"into {source.base}"))
    model = empty_model(source.config)
    weights = open_weights(source.base, model, source.rows, source.files.whole)
    tuned = StreamedModel(model, weights)
    edits = open_adapter(model, source.files, source.base)
    with whole_directory(output, _mark(adapter_dir, source, dtype)) as directory:
        shards = _plan(source.base, weights, tuned.shapes(), dtype)
        _write_weights(directory, shards, weights, edits, stage, report)
        kept = _write_files(directory, source, shards)
        check_tokens(directory, source.probes, source.card.own_template)
        parity = _prove(directory, source, tuned, prompts, report)
        metrics = source.card.metrics | parity.metrics()
        metrics |= _prove_serving(directory, source, report) if renderer else {}
        write_card(directory, source.card.model_copy(update={"metrics": metrics, "dtype": kept}))
    report(finished(f"{source.card.name}: comparing", str(parity)))
    return parity


def _open_source(
    directory: Path, base: Path | None, name: str, template: str | None, licence: str | None
) -> AdapterMerge:
    if not is_ours(directory):
        return foreign_source(directory, base, name, template, licence)
    if template or licence:
        raise UserError(
            f"{directory} says its chat template and licence itself.",
            hint="--template and --licence are for adapters of other trainers.",
        )
    return own_source(directory, base)


def _mark(adapter_dir: Path, source: AdapterMerge, dtype: str | None) -> str:
    """A hash of everything that decides the shards, by which a killed run of the same merge is recognised."""
    names = [name for name in (WEIGHTS, CONFIG, ADAPTER_FILE) if (adapter_dir / name).is_file()]
    files = [file_hash(adapter_dir / name) for name in names]
    rows = source.config.get_text_config().vocab_size
    told = [str(source.card.base_revision), str(dtype), str(rows), *files]
    return hashlib.sha256(" ".join(told).encode()).hexdigest()


@dataclass(frozen=True)
class Target:
    """A tensor of the result, and the part of the model's parameters that it is, if any."""

    planned: Planned
    place: ParameterPart | None

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.planned.size


def _plan(
    base: Path, weights: CheckpointWeights, shapes: Mapping[str, torch.Size], dtype: str | None
) -> dict[str, list[Target]]:
    """Shard name -> its tensors: those of the base's shards, with more embedding rows where they are
    needed."""
    where = {key: place for tensors in weights.places.values() for key, place in tensors}
    shards = {}
    for name in shard_names(base):
        targets = {}
        for key, stored in stored_tensors(base / name).items():
            place, shape, kind = where.get(key), stored.shape, stored.dtype
            if place is not None and place.parameter in weights.whole:
                shape = tuple(weights.whole[place.parameter].shape)
            elif place is not None and weights.rows and shapes[place.parameter][0] == weights.rows:
                shape = (max(weights.rows, shape[0]), *shape[1:])
            if place is not None and dtype is not None and kind.is_floating_point:
                kind = getattr(torch, dtype)
            targets[key] = Target(Planned(key, kind, shape), place)
        shards[name] = _in_order(targets.values())
    added = [name for name in weights.whole if name not in weights.places]
    kind = next(target.planned.dtype for targets in shards.values() for target in targets if target.place)
    last = list(shards)[-1]
    shards[last] = _in_order([*shards[last], *(_added(name, weights.whole[name], kind) for name in added)])
    return shards


def _in_order(targets: Iterable[Target]) -> list[Target]:
    by_key = {target.planned.key: target for target in targets}
    return [by_key[each.key] for each in file_order([target.planned for target in by_key.values()])]


def _added(name: str, value: torch.Tensor, kind: torch.dtype) -> Target:
    """The tensor of a parameter that the base's files lack: its embeddings are tied, and the result's are
    not."""
    return Target(Planned(name, kind, tuple(value.shape)), ParameterPart(name))


def _write_weights(
    directory: Path,
    shards: Mapping[str, Sequence[Target]],
    weights: CheckpointWeights,
    edits: Mapping[str, list[Edit]],
    stage: str,
    report: Report,
) -> None:
    targets = {target.planned.key: target for plan in shards.values() for target in plan}
    plans = {name: [target.planned for target in plan] for name, plan in shards.items()}
    require_room_for(directory, plans)
    write_shards(directory, plans, lambda each: _merged(targets[each.key], weights, edits), stage, report)


def _merged(target: Target, weights: CheckpointWeights, edits: Mapping[str, list[Edit]]) -> torch.Tensor:
    planned = target.planned
    if target.place is not None and target.place.parameter in weights.whole:
        weight = weights.whole[target.place.parameter].clone()
    else:
        weight = read_tensor(weights.stored[planned.key])
    if target.place is not None:
        changes = edits.get(target.place.parameter, [])
        if planned.shape[:1] != weight.shape[:1]:
            weight = grow(weight, planned.shape[0])
        if changes:
            weight = weight.float()
            for change in changes:
                weight = change.apply(weight, target.place)
    written = weight.to(planned.dtype)
    if written.is_floating_point() and not written.isfinite().all():
        # Where both models answer with NaN they agree, and the comparison would see nothing.
        raise UserError(
            f"The merged {planned.key} holds numbers that are not finite (NaN or infinity) in "
            f"{str(planned.dtype).removeprefix('torch.')}; the checkpoint was not written.",
            hint="Merge into wider numbers (--dtype float32), or look at the adapter's lora_alpha.",
        )
    return written


def _write_files(directory: Path, source: AdapterMerge, shards: dict[str, list[Target]]) -> str:
    """Write everything but weights and card; returns the name of the number format of most weights."""
    sizes: Counter[str] = Counter()
    for targets in shards.values():
        for target in targets:
            if target.planned.dtype.is_floating_point:
                sizes[str(target.planned.dtype).removeprefix("torch.")] += target.size
    kept = sizes.most_common(1)[0][0]
    source.config.use_cache = True
    source.config.dtype = kept
    source.config.save_pretrained(directory)
    if (source.base / "generation_config.json").is_file():
        generation = GenerationConfig.from_pretrained(source.base, local_files_only=True)
    else:
        generation = GenerationConfig.from_model_config(source.config)
    set_stop_tokens(generation, source.tokenizer, source.stops)
    generation.save_pretrained(directory)
    write_tokenizer(directory, source.tokenizer)
    copy_processors(source.base, directory)
    return kept


def _prove(
    directory: Path, source: AdapterMerge, tuned: StreamedModel, prompts: int | None, report: Report
) -> Parity:
    probes = source.probes or _plain_probes(source.tokenizer)
    probes = probes[:: -(-len(probes) // (prompts or len(probes)))]
    stage = f"{source.card.name}: comparing"
    expected = tuned.likeliest(probes, lambda done: report(Progress(stage, done / 2, "adapter")))
    model = empty_model(source.config)
    merged = StreamedModel(model, open_weights(directory, model))
    found = merged.likeliest(probes, lambda done: report(Progress(stage, 0.5 + done / 2, "merged")))
    return compare(probes, expected, found, source.stops if source.card.own_template else source.stops[:1])


def _prove_serving(directory: Path, source: AdapterMerge, report: Report) -> dict[str, float]:
    """Compare with vLLM's renderer where the template is the model's own; for our templates, tests do.

    gpt-oss is left out: vLLM writes its Harmony format by itself, whatever the template.
    """
    if source.card.own_template is None or source.config.model_type == "gpt_oss":
        return {}
    return prove_serving(directory, source.tokenizer, source.probes, source.card.name, report)


def _plain_probes(tokenizer: "PreTrainedTokenizerBase") -> list[Probe]:
    texts = [encode_text(tokenizer, text) for text in SENTENCES]
    return [Probe(messages=[], input_ids=text.input_ids, prompt_tokens=1) for text in texts]
