"""`kodolly merge lora`: an adapter into its base, tensor by tensor, and the proof that nothing was lost."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from common.chat_template import load_template, template_hash
from common.errors import UserError
from finetune.adapter import ADAPTER_FILE, AdapterCard, Probe, read_adapter
from finetune.checkpoint import (
    require_room,
    set_stop_tokens,
    weights_hash,
    whole_directory,
    write_card,
    write_tokenizer,
)
from finetune.encoding import encode_text
from finetune.merge_adapter import CONFIG, WEIGHTS, Edit, open_adapter
from finetune.merge_files import (
    INDEX,
    Planned,
    file_order,
    read_tensor,
    shard_names,
    stored_tensors,
    write_tensors,
)
from finetune.merge_names import Place, empty_model, read_config
from finetune.merge_parity import Parity, StreamedModel, Weights, compare, grow, open_weights
from finetune.model import load_tokenizer
from finetune.parity import check_tokens
from finetune.progress import Progress, Report, hide_library_bars
from finetune.recipe import file_hash

JOURNAL = ".finished.json"
"""In a directory that is being written: the shards that are whole, with their SHA-256."""
SENTENCES = (
    "오늘은 하늘이 맑고 바람이 시원해서 강가를 오래 걸었습니다.",
    "도서관은 평일 아침 아홉 시에 문을 열고 저녁 여덟 시에 닫습니다.",
    "물은 온도가 섭씨 영 도보다 낮아지면 얼음이 되고, 백 도에서 끓습니다.",
    "할머니께서 보내 주신 감자로 국을 끓여 온 가족이 함께 먹었다.",
)
"""What is compared for an adapter that was trained on plain text alone and so has no conversations."""


def merge(
    adapter_dir: Path,
    output: Path,
    report: Report,
    *,
    base: Path | None = None,
    dtype: str | None = None,
    prompts: int | None = None,
) -> Parity:
    """Write the complete checkpoint `output` and return how alike it is to base and adapter.

    base: where the base lies now, if it has moved. dtype: of the merged weights, in place of the base's own.
    prompts: training conversations to compare, at most; all that the adapter has when left out.
    A run that was killed goes on after its last whole shard. Memory holds a few tensors or one layer at a
    time, never the model. Raises UserError when the result would not be what training made.
    """
    hide_library_bars()
    adapter = read_adapter(adapter_dir)
    base = base or Path(adapter.base)
    if not base.is_dir():
        raise UserError(
            f"The adapter's base {base} does not exist.",
            hint="Put it back where it was, or say where it is now: --base DIRECTORY.",
        )
    config = read_config(base)
    _refuse_quantised(config, base)
    stage = f"{adapter.card.name}: merging"
    report(Progress(stage, 0.0, "checking the base"))
    if weights_hash(base) != adapter.base_sha256:
        raise UserError(
            f"{base} is not the base that this adapter was trained on: its weights differ.",
            hint="Train the adapter again on this base.",
        )
    _check_template(adapter)
    has_tokenizer = (adapter_dir / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(adapter_dir if has_tokenizer else base, adapter.card.template)
    if adapter.vocabulary_rows:
        config.get_text_config().vocab_size = adapter.vocabulary_rows
    model = empty_model(config)
    weights = open_weights(base, model, adapter.vocabulary_rows)
    tuned = StreamedModel(model, weights)
    edits = open_adapter(model, adapter_dir)
    with whole_directory(output, _mark(adapter_dir, adapter, dtype)) as directory:
        shards = _plan(base, weights, tuned.shapes(), dtype)
        there = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
        require_room(directory, sum(each.size for plan in shards.values() for each in plan) - there)
        _write_shards(directory, shards, weights, edits, stage, report)
        kept = _write_files(directory, base, config, tokenizer, shards)
        check_tokens(directory, adapter.probes)
        parity = _prove(directory, config, tuned, adapter, tokenizer, prompts, report)
        metrics = adapter.card.metrics | parity.metrics()
        write_card(directory, adapter.card.model_copy(update={"metrics": metrics, "dtype": kept}))
    report(Progress(f"{adapter.card.name}: comparing", 1.0, str(parity)))
    return parity


def _refuse_quantised(config: Any, base: Path) -> None:
    if getattr(config, "quantization_config", None):
        raise UserError(
            f"The weights of {base} are quantised; an adapter merged into them gives garbage.",
            hint="Train with method qlora on the full-precision base (it is quantised in memory only).",
        )


def _check_template(adapter: AdapterCard) -> None:
    if template_hash(load_template(adapter.card.template)) != adapter.card.template_hash:
        raise UserError(
            f"The chat template {adapter.card.template!r} has changed since this adapter was trained.",
            hint="Train again, or check out the version it was trained with.",
        )


def _mark(adapter_dir: Path, adapter: AdapterCard, dtype: str | None) -> str:
    """Changes with everything that decides the shards."""
    files = [file_hash(adapter_dir / name) for name in (WEIGHTS, CONFIG, ADAPTER_FILE)]
    return hashlib.sha256(" ".join([adapter.base_sha256, str(dtype), *files]).encode()).hexdigest()


@dataclass(frozen=True)
class Target:
    """One tensor of the result and where it belongs in the model, if it does."""

    planned: Planned
    place: Place | None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.planned.size


def _plan(
    base: Path, weights: Weights, shapes: Mapping[str, torch.Size], dtype: str | None
) -> dict[str, list[Target]]:
    """What each shard of the result will hold: the base's shards, with longer embeddings if need be."""
    where = {key: place for tensors in weights.places.values() for key, place in tensors}
    shards = {}
    for name in shard_names(base):
        targets = {}
        for key, stored in stored_tensors(base / name).items():
            place, shape, kind = where.get(key), stored.shape, stored.dtype
            if place is not None and weights.rows and shapes[place.parameter][0] == weights.rows:
                shape = (max(weights.rows, shape[0]), *shape[1:])
            if place is not None and dtype is not None and kind.is_floating_point:
                kind = getattr(torch, dtype)
            targets[key] = Target(Planned(key, kind, shape), place)
        shards[name] = [targets[each.key] for each in file_order([t.planned for t in targets.values()])]
    return shards


def _write_shards(
    directory: Path,
    shards: dict[str, list[Target]],
    weights: Weights,
    edits: Mapping[str, list[Edit]],
    stage: str,
    report: Report,
) -> None:
    finished = _finished(directory)
    total = sum(target.size for targets in shards.values() for target in targets)
    done = 0
    for number, (name, targets) in enumerate(shards.items()):
        if name not in finished:
            tensors = (_merged(target, weights, edits) for target in targets)
            finished[name] = write_tensors(directory / name, [target.planned for target in targets], tensors)
            _write_journal(directory, finished)
        done += sum(target.size for target in targets)
        report(Progress(stage, done / total, f"shard {number + 1} of {len(shards)}"))
    (directory / JOURNAL).unlink()


def _merged(target: Target, weights: Weights, edits: Mapping[str, list[Edit]]) -> torch.Tensor:
    planned = target.planned
    weight = read_tensor(weights.stored[planned.key])
    if target.place is not None:
        changes = edits.get(target.place.parameter, [])
        if planned.shape[:1] != weight.shape[:1]:
            weight = grow(weight, planned.shape[0])
        if changes:
            weight = weight.float()
            for change in changes:
                weight = change.apply(weight, target.place)
    return weight.to(planned.dtype)


def _finished(directory: Path) -> dict[str, str]:
    """Shards of a killed run whose bytes are what it wrote; everything else is removed."""
    try:
        journal: dict[str, str] = json.loads((directory / JOURNAL).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        journal = {}
    return {
        name: digest
        for name, digest in journal.items()
        if (directory / name).is_file() and file_hash(directory / name) == digest
    }


def _write_journal(directory: Path, finished: dict[str, str]) -> None:
    part = directory / f"{JOURNAL}.part"
    part.write_text(json.dumps(finished), encoding="utf-8")
    part.rename(directory / JOURNAL)


def _write_files(
    directory: Path, base: Path, config: Any, tokenizer: Any, shards: dict[str, list[Target]]
) -> str:
    """Everything but weights and card; returns the name of the type that most weights have."""
    sizes: Counter[str] = Counter()
    for targets in shards.values():
        for target in targets:
            if target.planned.dtype.is_floating_point:
                sizes[str(target.planned.dtype).removeprefix("torch.")] += target.size
    kept = sizes.most_common(1)[0][0]
    if list(shards) != ["model.safetensors"]:
        index = {
            "metadata": {"total_size": sum(t.size for targets in shards.values() for t in targets)},
            "weight_map": {t.planned.key: name for name, targets in shards.items() for t in targets},
        }
        (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    config.use_cache = True
    config.dtype = kept
    config.save_pretrained(directory)
    if (base / "generation_config.json").is_file():
        generation = GenerationConfig.from_pretrained(base, local_files_only=True)
    else:
        generation = GenerationConfig.from_model_config(config)
    set_stop_tokens(generation, tokenizer)
    generation.save_pretrained(directory)
    write_tokenizer(directory, tokenizer)
    return kept


def _prove(
    directory: Path,
    config: Any,
    tuned: StreamedModel,
    adapter: AdapterCard,
    tokenizer: Any,
    prompts: int | None,
    report: Report,
) -> Parity:
    probes = _probes(adapter, tokenizer)
    probes = probes[:: -(-len(probes) // (prompts or len(probes)))]
    stage = f"{adapter.card.name}: comparing"
    expected = tuned.likeliest(probes, lambda done: report(Progress(stage, done / 2, "adapter")))
    model = empty_model(config)
    merged = StreamedModel(model, open_weights(directory, model))
    found = merged.likeliest(
        probes, lambda done: report(Progress(stage, min(0.5 + done / 2, 0.999), "merged"))
    )
    return compare(probes, expected, found, tokenizer.eos_token_id)


def _probes(adapter: AdapterCard, tokenizer: Any) -> list[Probe]:
    if adapter.probes:
        return adapter.probes
    texts = [encode_text(tokenizer, text) for text in SENTENCES]
    return [Probe(messages=[], input_ids=text.input_ids, prompt_tokens=1) for text in texts]
