"""A recipe: one YAML file that says what is trained, from what, on which rows and how."""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.chat_template import load_template
from common.errors import UserError
from common.yaml_text import BrokenYaml, parse_yaml
from finetune.data.unreadable import FILE_ENDINGS, HUB_ID, unreadable


class Part(BaseModel):
    """What every section of a recipe has in common: unknown keys are an error, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Part):
    """A file of Dolly rows."""

    path: Path
    """JSON Lines; relative to the recipe's file."""
    split: str | None = None
    """Only rows whose `meta.split` is this."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Part of the rows to use, drawn once by the recipe's seed."""


class Architecture(Part):
    """A GPT-NeoX (Polyglot's architecture) made from nothing, with its own byte-level BPE tokenizer."""

    layers: int = Field(ge=1)
    """Transformer blocks."""
    width: int = Field(ge=8)
    """Hidden size; the feed-forward layers are four times as wide."""
    heads: int = Field(ge=1)
    """Attention heads; `width` is an even multiple of them."""
    vocabulary: int = Field(ge=300)
    """Tokens; 256 bytes and two special ones are always in."""
    context: int = Field(default=2048, ge=16)
    """Longest conversation in tokens."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError("width must be an even multiple of heads")
        return self


class Lora(Part):
    """The low-rank adapter."""

    rank: int = Field(default=16, ge=1)
    """Width of the two small matrices beside each layer."""
    alpha: int = Field(default=32, ge=1)
    """What the adapter adds is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is left out in training."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Layers that get an adapter. PEFT's own default for GPT-NeoX, attention alone, learns too little."""


class Dpo(Part):
    """Direct preference optimisation (Rafailov et al. 2023, sigmoid loss); the reference is the adapter
    switched off, so it costs no second model."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the tuned model is held to the reference."""
    max_prompt_length: int | None = Field(default=None, ge=8)
    """Tokens of a prompt, where that is less than max_length allows."""


METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "pretrain": {"learning_rate": 2e-3, "schedule": "linear"},
    "full": {"learning_rate": 2e-5, "schedule": "cosine"},
    "lora": {"learning_rate": 2e-4, "schedule": "linear"},
    "qlora": {"learning_rate": 2e-4, "schedule": "linear", "max_grad_norm": 0.3, "quantize": "nf4"},
    "dpo": {"learning_rate": 5e-6, "schedule": "cosine", "warmup": 0.1},
}
"""What a recipe need not say. Preference training bears a fortieth of LoRA's usual learning rate."""


class Recipe(Part):
    """Everything that decides what comes out of a training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The model's name in the checkpoint and, unless told otherwise, in the gateway."""
    method: Literal["pretrain", "full", "lora", "qlora", "dpo"]
    """See the table above."""
    base: str | None = None
    """Checkpoint to start from (all but pretrain): a directory, or a hub id that is in the local cache."""
    quantize: Literal["nf4"] | None = None
    """4-bit weights below the adapter: qlora has them always, dpo when told."""
    architecture: Architecture | None = None
    """What to make from nothing (pretrain)."""
    data: tuple[Source, ...] = ()
    """Dolly rows; for dpo, rows with `chosen` and `rejected`."""
    replay: tuple[Source, ...] = ()
    """Rows that the base already knows, mixed in so that it does not forget them."""
    text: tuple[Path, ...] = ()
    """Plain text files; every token of them is learnt."""
    template: str = "dolly"
    """A name from common/templates."""
    new_tokens: tuple[str, ...] = ()
    """Special tokens to add. Their input and output rows are trained, whatever the method; the checkpoint
    must be merged before it is served. None is needed: the end token that the base has can be learnt."""
    end_token: str | None = None
    """The token that ends an answer, where it is not the tokenizer's own end token."""
    licence: str | None = None
    """Licence of the result; the base's when left out."""
    max_length: int = Field(default=512, ge=8)
    """Tokens. A longer row is never cut at its answer."""
    over_length: Literal["drop", "window", "error"] = "drop"
    """window: the oldest history goes first, then what is far from the answer in the context."""
    epochs: int = Field(default=3, ge=1)
    """Times that every row is seen."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps after which training ends, in place of `epochs`."""
    learning_rate: float = Field(gt=0)
    """AdamW's, at its highest."""
    schedule: Literal["linear", "cosine", "constant_with_warmup"]
    """How the learning rate falls after the warm-up: to nothing, or not at all."""
    warmup: float = Field(default=0.03, ge=0, lt=1)
    """Part of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are shortened to this."""
    batch_size: int = Field(default=16, ge=1)
    """Sequences in one pass on one device."""
    gradient_accumulation: int = Field(default=1, ge=1)
    """Passes to an optimiser step."""
    packing: bool = False
    """Several short rows in one sequence of max_length. Refused where the model lets them see each other."""
    gradient_checkpointing: bool = False
    """Keep one layer's activations and compute the others again: much less memory, about a third slower."""
    lora: Lora = Lora()
    """The adapter of lora, qlora and dpo; see below."""
    dpo: Dpo = Dpo()
    """Preference training; see below."""
    validation: float | Source | None = None
    """Part of the rows to hold out, or a file of rows. With it the best checkpoint is kept, not the last."""
    early_stopping: int | None = Field(default=None, ge=1)
    """End after this many evaluations without a better validation loss."""
    checkpoint_every: int | Literal["epoch", "never"] = "epoch"
    """Steps between two states on disk, from which a killed run goes on; validation runs as often."""
    smoke_test: bool = True
    """Before the run, see a copy of the model learn 20 rows by heart and stop after each."""
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    """Training curves: tensorboard writes files beside the output, wandb needs an account."""
    seed: int = 42
    """Of everything that is drawn: order, shares, fresh weights, dropout."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the saved weights."""

    @model_validator(mode="before")
    @classmethod
    def _fill_by_method(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {**METHOD_DEFAULTS.get(str(values.get("method")), {}), **values}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method == "pretrain":
            if self.base or not self.architecture:
                raise ValueError("method pretrain needs `architecture` and takes no `base`")
            if self.licence is None:
                raise ValueError("method pretrain needs `licence`")
            if "max_length" in self.model_fields_set and self.max_length > self.architecture.context:
                raise ValueError("max_length is more than `architecture.context`")
            if self.new_tokens or self.end_token:
                raise ValueError("method pretrain makes its own tokenizer and takes no `new_tokens`")
        elif not self.base or self.architecture:
            raise ValueError(f"method {self.method} needs `base` and takes no `architecture`")
        if not self.data and not self.text:
            raise ValueError("nothing to learn: give `data` or `text`")
        return self

    @model_validator(mode="after")
    def _method_allows(self) -> Self:
        if self.quantize and self.method not in ("qlora", "dpo"):
            raise ValueError(f"method {self.method} takes no `quantize`; 4-bit weights need method qlora")
        if self.method == "qlora" and not self.quantize:
            raise ValueError("method qlora trains on 4-bit weights; without them the method is lora")
        if self.method == "dpo" and (self.text or self.replay or self.packing or self.new_tokens):
            raise ValueError("method dpo takes pairs in `data`: no `text`, `replay`, `packing`, `new_tokens`")
        if self.early_stopping and self.validation is None:
            raise ValueError("early_stopping needs `validation`")
        if isinstance(self.validation, float) and not 0 < self.validation < 1:
            raise ValueError("validation as a part of the rows lies between 0 and 1")
        if self.validation is not None and self.checkpoint_every == "never":
            raise ValueError("validation needs checkpoints: the best one is what is kept")
        if isinstance(self.checkpoint_every, int) and self.checkpoint_every < 1:
            raise ValueError("checkpoint_every is a number of steps, `epoch` or `never`")
        return self

    @property
    def has_adapter(self) -> bool:
        """Whether what comes out is an adapter, to be merged."""
        return self.method in ("lora", "qlora", "dpo")

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every file of rows, the validation file included."""
        held_out = (self.validation,) if isinstance(self.validation, Source) else ()
        return (*self.data, *self.replay, *held_out)

    def card_dict(self) -> dict[str, Any]:
        """The recipe for `kodolly.json`; paths shortened to file names tell nothing of a machine."""
        shown = self.model_dump(mode="json", exclude_none=True)
        for key in ("data", "replay"):
            shown[key] = [{**source, "path": Path(source["path"]).name} for source in shown[key]]
        shown["text"] = [Path(path).name for path in shown["text"]]
        if isinstance(self.validation, Source):
            shown["validation"]["path"] = self.validation.path.name
        if self.base and Path(self.base).is_absolute():
            shown["base"] = Path(self.base).name
        return shown


SECTIONS: dict[str, type[Part]] = {
    "architecture": Architecture,
    "lora": Lora,
    "dpo": Dpo,
    "data": Source,
    "replay": Source,
    "validation": Source,
}
_HUB_ADDRESS = re.compile(rf"(?:huggingface\.co|hf\.co)/+({HUB_ID.pattern})")


def load_recipe(path: Path, overrides: Sequence[str] = (), folder: Path | None = None) -> Recipe:
    """Read a recipe and apply `key=value` overrides (`lora.rank=8`, `data.0.share=0.5`, `data=rows.jsonl`).

    Paths in the file are relative to `folder`, the file's own unless given; paths in overrides to the
    current directory. Raises UserError.
    """
    values = _anchored(_read_yaml(path), folder or path.parent)
    for override in overrides:
        key, value = _split_override(override)
        _assign(values, key.split("."), value, key)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise _explain(error, path) from error
    load_template(recipe.template)
    return recipe


def base_directory(recipe: Recipe) -> Path:
    """Where the base checkpoint lies; a hub id is looked up in the local cache and nowhere else.

    Raises UserError when it is not there; cheap enough to ask before torch loads.
    """
    assert recipe.base is not None
    if HUB_ID.fullmatch(recipe.base):
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(recipe.base, "config.json")
        if not isinstance(found, str):
            raise UserError(
                f"The base {recipe.base} is not in the local Hugging Face cache.",
                hint=f"Download it with `hf download {recipe.base}`, or give base=DIRECTORY.",
            )
        return Path(found).parent
    directory = Path(recipe.base)
    if (directory / "config.json").is_file():
        return directory
    if address := _HUB_ADDRESS.search(recipe.base):
        raise UserError(
            f"The base is an address of the Hugging Face hub; its name there is {address[1]}.",
            hint=f"Download it with `hf download {address[1]}`, and write base: {address[1]}.",
        )
    raise UserError(
        f"The base {directory} is not a checkpoint: it has no config.json.",
        hint="Correct `base` in the recipe, or give base=DIRECTORY on the command line. A model of the "
        "Hugging Face hub is named OWNER/NAME, after `hf download OWNER/NAME`.",
    )


def fingerprint(recipe: Recipe) -> str:
    """16 hex digits that change with anything in the recipe, its template or its files' content."""
    files = [*recipe.text, *(source.path for source in recipe.sources)]
    parts = [
        json.dumps(recipe.card_dict(), sort_keys=True, ensure_ascii=False),
        load_template(recipe.template),
        *(file_hash(file) for file in files),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file in hex. Raises UserError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def check_files(recipe: Recipe) -> None:
    """Raises UserError where a file of the recipe is not there; cheap enough to ask before torch loads."""
    for path in (*(source.path for source in recipe.sources), *recipe.text):
        try:
            path.open("rb").close()
        except OSError as error:
            raise unreadable(path, error) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    if path.suffix in FILE_ENDINGS and path.suffix != ".json":
        raise UserError(
            f"{path} is a data file, no recipe.",
            hint=f"`kodolly train RECIPE data={path}` trains on it; `kodolly recipes list` shows recipes.",
        )
    if (path / "config.json").is_file():
        raise UserError(
            f"{path} is a model, no recipe.",
            hint=f"`kodolly train RECIPE base={path}` begins with it; `kodolly recipes list` shows recipes.",
        )
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The recipe {path} is not UTF-8 text.") from error
    except BrokenYaml as error:
        where = f", line {error.line}" if error.line else ""
        raise UserError(f"The recipe {path}{where} is not valid YAML: {error.reason}.") from error
    if not isinstance(values, dict):
        raise UserError(f"The recipe {path} must hold `key: value` lines such as `method: lora`.")
    return values


def _anchored(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """`values` with every path made absolute from `folder`."""

    def anchor(value: Any) -> Any:
        return str((folder / Path(value).expanduser()).resolve()) if isinstance(value, str) else value

    def anchor_source(source: Any) -> Any:
        if isinstance(source, dict) and "path" in source:
            return {**source, "path": anchor(source["path"])}
        return source

    result = dict(values)
    for key in ("data", "replay"):
        if isinstance(result.get(key), list):
            result[key] = [anchor_source(source) for source in result[key]]
    if isinstance(result.get("text"), list):
        result["text"] = [anchor(item) for item in result["text"]]
    if "validation" in result:
        result["validation"] = anchor_source(result["validation"])
    base = result.get("base")
    if isinstance(base, str) and ((folder / base).is_dir() or not HUB_ID.fullmatch(base)):
        result["base"] = anchor(base)
    return result


def _split_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not key or not equals:
        raise UserError(
            f"The override {override!r} is not of the form key=value.", hint="For example: lora.rank=8"
        )
    try:
        value = parse_yaml(text)
    except BrokenYaml as error:
        raise UserError(f"The value in {override!r} cannot be read as YAML.") from error
    parts = key.split(".")
    if isinstance(value, str) and key in ("data", "replay", "validation"):
        value = {"path": value} if key == "validation" else [{"path": value}]
    if parts[-1] == "path":
        return key, str(Path(str(value)).expanduser().resolve())
    return key, _anchored({parts[0]: value}, Path.cwd())[parts[0]] if len(parts) == 1 else value


def _assign(values: Any, parts: Sequence[str], value: Any, key: str) -> None:
    """Set one dotted key; sections that are missing are made."""
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(values, list):
            if not part.isdigit() or int(part) >= len(values):
                raise UserError(
                    f"The override {key!r}: there is no item {part!r}; the list has {len(values)}."
                )
            slot: Any = int(part)
        elif isinstance(values, dict):
            slot = part
            if not last:
                values.setdefault(slot, {})
        else:
            raise UserError(f"The override {key!r}: {'.'.join(parts[:depth])!r} has no keys below it.")
        if last:
            values[slot] = value
        else:
            values = values[slot]


def _explain(error: ValidationError, path: Path) -> UserError:
    first = error.errors()[0]
    loc = [str(part) for part in first["loc"]]
    where = ".".join(loc)
    if first["type"] == "extra_forbidden":
        model = SECTIONS.get(loc[0], Recipe) if len(loc) > 1 else Recipe
        near = difflib.get_close_matches(loc[-1], model.model_fields, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(model.model_fields)}."
        return UserError(f"The recipe {path} has an unknown key {where!r}.", hint=hint)
    reason = first["msg"].removeprefix("Value error, ")
    return UserError(f"The recipe {path}: {f'{where}: ' if where else ''}{reason}.")
