"""Flags for a model's own chat template: parsers of tool calls and thoughts, and what it is given."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.chat_template import read_own_template
from common.checkpoint import read_card
from common.template_parsers import THOUGHT_TOKENS, TOOL_TOKENS, find_parsers
from common.template_rendering import ChatTemplate, TemplateRefusal
from worker.flags import has_flag, value_of
from worker.tokenizer_tokens import missing_tokens

KWARGS, TOOLS, REASONING = "--default-chat-template-kwargs", "--tool-call-parser", "--reasoning-parser"
AUTO_TOOLS = "--enable-auto-tool-choice"
logger = logging.getLogger(__name__)


def parser_flags(directory: Path, args: Sequence[str]) -> list[str]:
    """vLLM's flags for the checkpoint's chat template, without those that `args` have; says what it chose.

    A configuration file may hold any flag, so with `--config` none is added.
    """
    if has_flag(args, "--config"):
        return []
    file = value_of(args, ("--chat-template",))
    text = _read(Path(file)) if file is not None else read_own_template(directory)
    if not text:
        return []
    card = read_card(directory)
    kwargs = card.own_template.template_kwargs if card is not None and card.own_template else {}
    try:
        found = find_parsers(ChatTemplate(text, _special_tokens(directory)), kwargs)
    except TemplateRefusal as error:
        logger.warning("the chat template cannot be tried (%s); no parsers are set", error)
        return []
    flags = {KWARGS: json.dumps(kwargs, ensure_ascii=False) if kwargs else None}
    for flag, parser, tokens in (
        (TOOLS, found.tools, TOOL_TOKENS),
        (REASONING, found.reasoning, THOUGHT_TOKENS),
    ):
        flags[flag] = None if has_flag(args, flag) else _usable(directory, parser, tokens)
    chosen = {flag: value for flag, value in flags.items() if value and not has_flag(args, flag)}
    made = [word for flag, value in chosen.items() for word in (flag, value)]
    if TOOLS in chosen and not has_flag(args, AUTO_TOOLS):
        made.append(AUTO_TOOLS)
    if made:
        logger.info("from the chat template: %s", " ".join(made))
    return made


def _usable(directory: Path, parser: str | None, needed: Mapping[str, tuple[str, ...]]) -> str | None:
    """`parser`, unless the tokenizer lacks a token that vLLM's parser asks for; says so."""
    tokens = needed.get(parser, ()) if parser is not None else ()
    lacking = missing_tokens(directory, tokens)
    if not lacking:
        return parser
    logger.warning(
        "the chat template writes what vLLM's parser %s reads, but the tokenizer has no token %s, without "
        "which that parser does not start; it is not set",
        parser,
        " and none ".join(lacking),
    )
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None  # vLLM takes a template's text, too, and says what is wrong with either


def _special_tokens(directory: Path) -> dict[str, str]:
    try:
        values: dict[str, Any] = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    tokens = {name: value for name, value in values.items() if name.endswith("_token")}
    named = {
        name: value.get("content") if isinstance(value, dict) else value for name, value in tokens.items()
    }
    return {name: value for name, value in named.items() if isinstance(value, str)}
