"""A checkpoint or a served model in the arguments that lm-eval takes, and lm-eval's failures in one line."""

import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


WITHOUT_POSITIONS = 2048
"""Context in tokens of a model that has no number of positions (BLOOM): what lm-eval takes then."""
SEED = 1234
"""Seed by which few-shot examples are chosen: lm-eval's default."""


@dataclass(frozen=True)
class ServedEndpoint:
    """A model behind an OpenAI-compatible URL, and where its tokenizer and configuration are."""

    url: str
    name: str
    key: str
    tokenizer: Path | None
    """Directory of the tokenizer; None where nothing is ranked by log likelihood."""


def require_lm_eval() -> None:
    """Raises UserError when lm-eval is missing."""
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError(
            "This is measured with lm-eval, which is not installed.",
            hint="Install the extra `eval`: pip install 'kodolly[eval,finetune]'.",
        )


@contextmanager
def named_failures(model: Path | ServedEndpoint, what: str, *, from_hub: bool) -> Iterator[None]:
    """Raises UserError in place of lm-eval's network, data set and server errors; others pass unchanged.

    what: what was evaluated, for the message. from_hub: whether its data come from the hub.
    """
    try:
        yield
    except Exception as error:
        outside = type(error).__module__.partition(".")[0] in ("requests", "aiohttp", "tenacity", "datasets")
        if not (outside or isinstance(error, OSError)):
            raise
        raise _failure(error, model, what, from_hub) from error


def _failure(error: Exception, model: Path | ServedEndpoint, what: str, from_hub: bool) -> UserError:
    reason = first_line(error)
    if from_hub and "offline" in reason.lower():
        return UserError(
            f"The data of {what} are not in the hub's cache on this machine.",
            hint="Let --hub fetch them, or name a copy of them with --data.",
        )
    if from_hub and "hub" in reason.lower():
        return UserError(f"{what} cannot be fetched from the hub: {reason}")
    where = model.url if isinstance(model, ServedEndpoint) else str(model)
    return UserError(f"{where} cannot be measured: {reason}")


def tokenizer_and_context(model: Path | ServedEndpoint) -> tuple["PreTrainedTokenizerBase", int]:
    """(tokenizer, the model's context length in tokens). Raises UserError."""
    from finetune.models.auto import checkpoint_config, checkpoint_tokenizer, positions

    directory = model.tokenizer if isinstance(model, ServedEndpoint) else model
    if directory is None:
        raise UserError(
            "A served model's log likelihoods take its tokenizer.",
            hint="Name its checkpoint directory with --tokenizer.",
        )
    tokenizer = checkpoint_tokenizer(directory)
    return tokenizer, positions(checkpoint_config(directory)) or WITHOUT_POSITIONS


def likelihood_arguments(
    model: Path | ServedEndpoint, tokenizer: "PreTrainedTokenizerBase", context: int
) -> tuple[str, dict[str, object]]:
    """(name of lm-eval's model class, its arguments) for ranking by log likelihood.

    Both kinds of model are asked about the same tokens: a start token where the tokenizer sets one, and
    context - 1 tokens at most, as an engine needs room for the token that it generates. lm-eval's
    `max_length` differs between its two classes: hf scores one token more than it says, local-completions one
    less.
    """
    import torch

    first = tokenizer("가")["input_ids"][:1]
    starts = tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id]
    if isinstance(model, ServedEndpoint):
        from finetune.eval.served_model import ServedModel, api_root

        with closing(ServedModel(model.url, model.name, model.key)) as asked:
            asked.check()
        return "local-completions", {
            "model": model.name,
            "base_url": f"{api_root(model.url)}/completions",
            "tokenizer": str(model.tokenizer),
            "tokenizer_backend": "huggingface",
            "header": {"Authorization": f"Bearer {model.key}"} if model.key else {},
            "max_length": context,
            "add_bos_token": starts,
            "max_retries": 5,
        }
    on_gpu = torch.cuda.is_available()
    return "hf", {
        "pretrained": str(model),
        "backend": "causal",
        "device": "cuda" if on_gpu else "cpu",
        "dtype": "auto" if on_gpu else "float32",
        "max_length": context - 2,
        "add_bos_token": starts,
        "trust_remote_code": False,
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's warnings about what is done on purpose here off the terminal."""
    loggers = [
        logging.getLogger(name) for name in ("lm_eval", "lm-eval", "datasets", "httpx", "transformers")
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
        sys.stderr.flush()
