"""Calling mergekit: its output and its failures become one sentence of a UserError.

mergekit 0.1.5 is corrected in one point: GPT-NeoX files have not held mask and rotary tables for years.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import transformers

from common.errors import UserError

OLD_TABLES = (".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq")
"""Tensors that are computed, not trained. Old GPT-NeoX files hold them, and mergekit still asks for them."""


def run_mergekit(values: dict[str, object], directory: Path, seed: int) -> None:
    """Have mergekit write weights, configuration and tokenizer into `directory`.

    values: its configuration. Raises UserError with the reason that mergekit gives.
    """
    said: list[str] = []
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), _heard(said):
        warnings.simplefilter("ignore")  # its warnings are about numpy and itself
        try:
            _call_mergekit(values, directory, seed)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # its errors share no class, and some are exits
            reason = "; ".join(said) or " ".join(str(error).split())
            raise UserError(f"mergekit refuses the merge: {reason or type(error).__name__}") from error


def _call_mergekit(values: dict[str, object], directory: Path, seed: int) -> None:
    from mergekit.config import MergeConfiguration  # type: ignore[import-untyped]
    from mergekit.merge import run_merge  # type: ignore[import-untyped]
    from mergekit.moe.config import MoEMergeConfig  # type: ignore[import-untyped]
    from mergekit.options import MergeOptions  # type: ignore[import-untyped]
    from mergekit.scripts.moe import build  # type: ignore[import-untyped]

    options = MergeOptions(device="auto", random_seed=seed, write_model_card=False, quiet=True)
    if "experts" in values:
        experts = MoEMergeConfig.model_validate({**values, "architecture": _moe_architecture(values)})
        torch.manual_seed(seed)
        build(experts, str(directory), options, device=options.device)
        return
    config = MergeConfiguration.model_validate(values)
    with _without_old_tables():
        run_merge(config, str(directory), options)


def _moe_architecture(values: Mapping[str, object]) -> str:
    """The architecture of the mixture: Mixtral for models of Llama's and Mistral's kind, which vLLM loads."""
    asked = str(values.get("architecture") or "mixtral").lower()
    if asked != "mixtral":
        raise UserError(f"A mixture of experts is written as Mixtral; {asked} is not supported.")
    return asked


@contextlib.contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Collect mergekit's complaints, which it logs, in `said` for the error message."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                said.append(record.getMessage())

    root, listener = logging.getLogger(), Listener()
    before, verbosity = root.handlers[:], transformers.logging.get_verbosity()
    root.handlers = [listener]
    transformers.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        root.handlers = before
        transformers.logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _without_old_tables() -> Iterator[None]:
    """Take OLD_TABLES out of mergekit's description of GPT-NeoX until the block ends."""
    from mergekit.architecture.json_definitions import (  # type: ignore[import-untyped]
        NAME_TO_ARCH,
        JsonModuleArchitecture,
    )

    before = NAME_TO_ARCH["GPTNeoXForCausalLM"]
    (architecture,) = before
    module = architecture.modules["default"]
    definition = module.architecture.definition
    learnt = [w for w in definition.layer_templates.weights if not w.name.endswith(OLD_TABLES)]
    templates = definition.layer_templates.model_copy(update={"weights": learnt})
    changed = JsonModuleArchitecture(definition=definition.model_copy(update={"layer_templates": templates}))
    modules = {"default": module.model_copy(update={"architecture": changed})}
    NAME_TO_ARCH["GPTNeoXForCausalLM"] = [architecture.model_copy(update={"modules": modules})]
    try:
        yield
    finally:
        NAME_TO_ARCH["GPTNeoXForCausalLM"] = before
