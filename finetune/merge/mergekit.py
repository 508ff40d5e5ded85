"""`kodolly merge models`: merges several models by mergekit into a complete checkpoint that vLLM loads.

What mergekit leaves to do: a path must not be looked up on the hub, Mixtral's experts must be stored one by
one for vLLM, and the result needs template, licence and card.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoTokenizer, GenerationConfig

from common.chat_message import ChatMessage
from common.chat_template import load_template, template_hash, template_names
from common.checkpoint import CheckpointCard, MergeSource, read_card
from common.errors import UserError
from common.yaml_text import BrokenYaml, parse_yaml
from finetune.encoding.encode import prompt_ids
from finetune.files.unreadable import HUB_ID
from finetune.files.whole import require_room, whole_directory
from finetune.merge.call_mergekit import run_mergekit
from finetune.merge.mixtral_experts import split_experts
from finetune.merge.parameter_names import empty_model
from finetune.merge.safetensors_io import shard_names, stored_tensors
from finetune.merge.streamed_model import count_whole, open_weights
from finetune.models.auto import checkpoint_config, checkpoint_tokenizer, positions
from finetune.models.checkpoint import set_stop_tokens, weights_hash, write_card, write_tokenizer
from finetune.models.quiet import hide_library_bars
from finetune.progress import Progress, Report, finished

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


METHODS = ("slerp", "dare_ties", "dare_linear", "ties", "linear", "passthrough", "task_arithmetic", "moe")
"""mergekit's methods that messages name; it has more, which are passed on as well."""
MODEL_KEYS = ("model", "base_model", "source_model", "tokenizer_source", "source", "path")
"""Keys of mergekit's configuration whose value names a model."""
NOT_MODELS = ("union", "base")
QUESTION: list[ChatMessage] = [{"role": "user", "content": "오늘 저녁에 무엇을 먹으면 좋을까요?"}]


@dataclass(frozen=True)
class MergedModel:
    """One of the models that go into the merge."""

    directory: Path
    card: CheckpointCard | None
    tokenizer: "PreTrainedTokenizerBase"
    sha256: str

    @property
    def name(self) -> str:
        """The model's name on the result's card."""
        return self.card.name if self.card else self.directory.name


@dataclass(frozen=True)
class Talk:
    """How the result is prompted: chat template and end token, in which its sources must agree."""

    template: str
    template_name: str
    end_token: str


def merge_models(
    config_file: Path,
    output: Path,
    report: Report,
    *,
    name: str | None = None,
    template: str | None = None,
    licence: str | None = None,
    seed: int = 42,
) -> None:
    """Merge as mergekit's YAML file `config_file` says, and write the complete checkpoint `output`.

    name: the result's name, by default the output's. template: one of ours, where the sources have none or
    different ones. licence: the result's, where a source does not say its own. seed: for methods that draw at
    random (DARE) and for random gates. Raises UserError.
    """
    hide_library_bars()
    values, listed = read_merge_config(config_file)
    sources = [_open(directory) for directory in listed]
    allowed = licence or _licence(sources)
    plan = _Plan(name or output.name, allowed, values, sources, _agree(values, sources, template), seed)
    stage = f"{plan.name}: merging"
    with whole_directory(output) as directory:
        require_room(directory, max(_bytes(source.directory) for source in sources))
        report(Progress(stage, 0.0, f"{len(sources)} models, {_method(values)}"))
        run_mergekit(values, directory, seed)
        report(Progress(stage, 0.9, "completing the checkpoint"))
        parameters, dtype = _complete(directory, values, sources, plan.talk)
        write_card(directory, plan.card(directory, parameters, dtype))
    report(finished(stage, f"{parameters / 1e9:.3g} billion parameters"))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is merged, and what is known of the result before the merge."""

    name: str
    licence: str
    values: dict[str, object]
    """mergekit's configuration."""
    sources: list[MergedModel]
    talk: Talk
    seed: int

    def card(self, directory: Path, parameters: int, dtype: str) -> CheckpointCard:
        """The card of the merged checkpoint in `directory`."""
        base = _base(self.values, self.sources)
        return CheckpointCard(
            name=self.name,
            base_model=base.name,
            base_revision=base.sha256,
            method="merge",
            recipe={"mergekit": _shortened(self.values), "seed": self.seed},
            data=_data(self.sources),
            sources=[
                MergeSource(name=source.name, sha256=source.sha256, licence=_licence_of(source))
                for source in self.sources
            ],
            licence=self.licence,
            template=self.talk.template_name,
            template_hash=template_hash(self.talk.template),
            context_length=_context_length(directory, self.sources),
            dtype=dtype,
            parameters=parameters,
            created=int(time.time()),
        )


def read_merge_config(path: Path) -> tuple[dict[str, object], list[Path]]:
    """(mergekit's configuration with every model as an absolute path, the models' directories).

    A model is a directory, relative to the file or to the current directory, or a hub id that is in the local
    Hugging Face cache. Raises UserError.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The configuration {path} cannot be read: {error}.") from error
    except BrokenYaml as error:
        raise UserError(f"The configuration {path} is not valid YAML: {error}.") from error
    if not isinstance(values, dict) or not ("experts" in values or "merge_method" in values):
        raise UserError(
            f"{path} is not a mergekit configuration: it has neither `merge_method` nor `experts`.",
            hint=f"Methods: {', '.join(METHODS)}; docs/merging.md has one of each.",
        )
    found: dict[Path, None] = {}

    def resolve(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: resolve(each, str(name)) for name, each in value.items()}
        if isinstance(value, list):
            return [resolve(each, key) for each in value]
        if key in MODEL_KEYS and isinstance(value, str) and value not in NOT_MODELS:
            directory = _directory(value, path.parent)
            found[directory] = None
            return str(directory)
        return value

    resolved = resolve(values)
    if len(found) < 2 and resolved.get("merge_method") != "passthrough":
        raise UserError(f"{path} names {len(found)} models; a merge needs two.")
    return resolved, list(found)


def _directory(name: str, folder: Path) -> Path:
    for place in (folder / Path(name).expanduser(), Path(name).expanduser()):
        if (place / "config.json").is_file():
            return place.resolve()
    if "+" in name:
        raise UserError(
            f"{name} is a model with an adapter.", hint="Merge the adapter first: `kodolly merge lora`."
        )
    if HUB_ID.fullmatch(name):
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(name, "config.json")
        if isinstance(cached, str):
            return Path(cached).parent
        hint = f"Correct the path, or download the model with `hf download {name}`."
    else:
        hint = "Paths are relative to the configuration or to the current directory."
    raise UserError(f"The model {name} does not exist here.", hint=hint)


def _open(directory: Path) -> MergedModel:
    for file in shard_names(directory):
        stored_tensors(directory / file)
    if getattr(checkpoint_config(directory), "quantization_config", None):
        raise UserError(f"The weights of {directory} are quantised and cannot be merged.")
    tokenizer = checkpoint_tokenizer(directory)
    return MergedModel(directory, read_card(directory), tokenizer, weights_hash(directory))


def _agree(values: Mapping[str, object], sources: list[MergedModel], template: str | None) -> Talk:
    """The template and end token of all sources that have a template. Raises UserError when they differ, as
    the result would have been trained with neither."""
    if not ({"tokenizer", "tokenizer_source"} & values.keys()):
        first = sources[0].tokenizer.get_vocab()
        for source in sources[1:]:
            if source.tokenizer.get_vocab() != first:
                raise UserError(
                    f"{sources[0].name} and {source.name} have different vocabularies: their rows of the "
                    "embeddings do not mean the same tokens.",
                    hint="Let mergekit make one: `tokenizer: {source: union}`.",
                )
    speakers = [source for source in sources if source.tokenizer.chat_template]
    texts = {source.tokenizer.chat_template for source in speakers}
    ends = {source.tokenizer.eos_token for source in speakers or sources}
    if template is None and len(texts) != 1:
        told = ", ".join(f"{source.name} ({_template_name(source)})" for source in speakers)
        raise UserError(
            f"The models were trained with different chat templates: {told}."
            if texts
            else "None of the models has a chat template.",
            hint=f"Choose one with --template: {', '.join(template_names())}.",
        )
    if len(ends) != 1:
        raise UserError(
            f"The models end their answers with different tokens: {', '.join(sorted(map(str, ends)))}."
        )
    text = load_template(template) if template else next(iter(texts))
    return Talk(text, template or _template_name(speakers[0]), ends.pop())


def _template_name(source: MergedModel) -> str:
    if source.card:
        return source.card.template
    text = source.tokenizer.chat_template
    return next((name for name in template_names() if load_template(name) == text), "own")


def _licence_of(source: MergedModel) -> str | None:
    return source.card.licence if source.card else None


def _licence(sources: list[MergedModel]) -> str:
    """The licences joined with SPDX's AND, as all of them apply. Raises UserError when one is unknown."""
    for source in sources:
        if _licence_of(source) is None:
            raise UserError(f"{source.name} does not say its licence.", hint="Give --licence.")
    return " AND ".join(sorted({str(_licence_of(source)) for source in sources}))


def _method(values: Mapping[str, object]) -> str:
    return "moe" if "experts" in values else str(values["merge_method"])


def _base(values: Mapping[str, object], sources: list[MergedModel]) -> MergedModel:
    named = values.get("base_model")
    path = named.get("path") if isinstance(named, dict) else named
    return next((source for source in sources if str(source.directory) == path), sources[0])


def _bytes(directory: Path) -> int:
    return sum((directory / name).stat().st_size for name in shard_names(directory))


def _complete(
    directory: Path, values: Mapping[str, object], sources: list[MergedModel], talk: Talk
) -> tuple[int, str]:
    """Complete mergekit's output to a checkpoint and check it; returns (number of weights, number format of
    most of them)."""
    if "experts" in values:
        split_experts(directory)
    tokenizer = _tokenizer(directory, values, sources)
    tokenizer.eos_token = talk.end_token
    tokenizer.chat_template = talk.template
    config = checkpoint_config(directory)
    model = empty_model(config)
    weights = open_weights(directory, model)
    parameters = count_whole(model, weights)
    kinds: Counter[str] = Counter()
    for stored in weights.stored.values():
        kinds[str(stored.dtype).removeprefix("torch.")] += torch.Size(stored.shape).numel()
    config.dtype = kinds.most_common(1)[0][0]
    config.use_cache = True
    config.save_pretrained(directory)
    speaker = next((source for source in sources if source.tokenizer.chat_template), sources[0])
    if (speaker.directory / "generation_config.json").is_file():
        generation = GenerationConfig.from_pretrained(speaker.directory, local_files_only=True)
    else:
        generation = GenerationConfig.from_model_config(config)
    set_stop_tokens(generation, tokenizer)
    generation.save_pretrained(directory)
    for file in directory.iterdir():  # what mergekit copied from one of the sources
        if file.name.startswith(("tokenizer", "special_tokens", "chat_template", "mergekit")):
            file.unlink()
    write_tokenizer(directory, tokenizer)
    _check_prompt(directory, values, speaker, talk)
    return parameters, str(config.dtype).removeprefix("torch.")


def _tokenizer(
    directory: Path, values: Mapping[str, object], sources: list[MergedModel]
) -> "PreTrainedTokenizerBase":
    """The tokenizer that mergekit made if the configuration asks for one, else the base's, unchanged."""
    if {"tokenizer", "tokenizer_source"} & values.keys():
        return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    return _base(values, sources).tokenizer


def _check_prompt(directory: Path, values: Mapping[str, object], speaker: MergedModel, talk: Talk) -> None:
    """Raises UserError unless the result's tokenizer makes the same tokens of a prompt as its source's."""
    written = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    trained = speaker.tokenizer
    trained.chat_template = talk.template
    ours, theirs = prompt_ids(written, QUESTION), prompt_ids(trained, QUESTION)
    if {"tokenizer", "tokenizer_source"} & values.keys():  # ids may change, tokens may not
        same = written.convert_ids_to_tokens(ours) == trained.convert_ids_to_tokens(theirs)
    else:
        same = ours == theirs
    if not same:
        raise UserError(f"The merged tokenizer gives other tokens than {speaker.name} was trained with.")


def _context_length(directory: Path, sources: list[MergedModel]) -> int:
    trained = [source.card.context_length for source in sources if source.card]
    length = positions(checkpoint_config(directory))
    return min([*trained, *([length] if length else [])], default=2048)


def _data(sources: list[MergedModel]) -> list[object]:
    """The files of rows that the sources were trained on, without duplicates."""
    unique = {(row.path, row.sha256): row for source in sources if source.card for row in source.card.data}
    return list(unique.values())


def _shortened(values: object) -> object:
    """The configuration with every path shortened to its last part: a card tells nothing of this machine."""
    if isinstance(values, dict):
        return {key: _shortened(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_shortened(value) for value in values]
    return Path(values).name if isinstance(values, str) and Path(values).is_absolute() else values
