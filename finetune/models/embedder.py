"""Models of vectors as sentence-transformers loads them, where vLLM makes the same vectors of them."""

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from common.errors import UserError, first_line

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import PretrainedConfig

MODULES_FILE = "modules.json"
SERVED_MODULES = ("Transformer", "Pooling", "Dense", "Normalize")
"""What vLLM 0.32 reads of sentence-transformers' modules (vllm/transformers_utils/config.py)."""
SERVED_POOLINGS = ("mean", "cls", "lasttoken")
_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def load_embedder(directory: Path) -> "SentenceTransformer":
    """The model in float32, whose vectors have length 1. One without sentence-transformers' files gets mean
    pooling, or the last token's vector where it is a model that writes. Raises UserError."""
    if importlib.util.find_spec("sentence_transformers") is None:
        raise UserError(
            "Models of vectors need sentence-transformers, which is not installed.",
            hint="Install the extra `finetune`.",
        )
    if not any(directory.glob("*.safetensors")):
        raise UserError(
            f"{directory} has no *.safetensors weights.",
            hint="Pickled weights are not loaded. Take a revision or a model with safetensors.",
        )
    try:
        model = _loaded(directory)
    except Exception as error:  # other people's files may be broken in any way
        raise UserError(
            f"{directory} is not a model of vectors that can be loaded: {first_line(error)}",
            hint="Name a checkpoint directory with config.json and *.safetensors.",
        ) from error
    _refuse_unserved(model, directory)
    tokenizer = model.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked by position
    return model


def pooling_of(model: "SentenceTransformer") -> "Pooling":
    """The module that makes one vector of those of the tokens."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    found: Pooling = next(module for module in model if isinstance(module, Pooling))
    return found


def body_config(model: "SentenceTransformer") -> "PretrainedConfig":
    """The configuration of the transformer below the pooling."""
    return cast("Transformer", model[0]).auto_model.config


def prompt_of(model: "SentenceTransformer", kind: str) -> str:
    """What stands before every text of a kind that sentence-transformers names: `query`, `document`."""
    return model.prompts.get(kind) or ""


def _loaded(directory: Path) -> "SentenceTransformer":
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    options = {"dtype": torch.float32, "use_safetensors": True}
    if (directory / MODULES_FILE).is_file():
        model = SentenceTransformer(str(directory), local_files_only=True, model_kwargs=options)
    else:
        body = Transformer(str(directory), model_kwargs={**options, "local_files_only": True})
        mode = "lasttoken" if _writes(directory) else "mean"
        width = body.get_embedding_dimension()
        model = SentenceTransformer(modules=[body, Pooling(width, pooling_mode=mode)])
    if not any(isinstance(module, Normalize) for module in model):
        model.append(Normalize())
    return model


def _writes(directory: Path) -> bool:
    named = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("architectures") or [""]
    return str(named[0]).endswith(_WRITERS)


def _refuse_unserved(model: "SentenceTransformer", directory: Path) -> None:
    """Raises UserError for parts that vLLM does not know: it would leave them out and give other vectors."""
    other = next((type(part).__name__ for part in model if type(part).__name__ not in SERVED_MODULES), None)
    if other is not None:
        raise UserError(f"{directory} has a module {other}, which vLLM does not serve.")
    modes, whole = pooling_of(model).pooling_mode, pooling_of(model).include_prompt
    if modes not in SERVED_POOLINGS or not whole:
        told = f"pooling {modes!r}" if whole else "pooling that leaves the prompt out"
        raise UserError(f"{directory} has {told}, which vLLM does not serve.")
