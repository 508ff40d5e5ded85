"""The options of `kodolly data check` and `kodolly data clean` that say which rows are good."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click


def cleaning_options(decorated: Callable[..., None]) -> Callable[..., None]:
    """Options of both commands, so that a check finds what cleaning would; the command gets `rules`."""

    @wraps(decorated)
    def command(
        *args: Any,
        allow: tuple[str, ...],
        against: tuple[Path, ...],
        commercial: bool,
        mask: str,
        **kwargs: Any,
    ) -> None:
        from finetune.data.clean.rules import rules

        asked = rules(allow=allow, against=against, commercial=commercial, mask=mask)
        decorated(*args, rules=asked, **kwargs)

    return _with_options(command)


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option(
                "--allow",
                multiple=True,
                metavar="REASON",
                help="Finding for which no row is rejected; it is counted.",
            ),
            click.option(
                "--against",
                multiple=True,
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Evaluation set whose items no row may hold (KoBEST .tsv, KorQuAD .json, .jsonl, .txt).",
            ),
            click.option(
                "--commercial", is_flag=True, help="Every row's meta.licence must allow commercial use."
            ),
            click.option(
                "--mask",
                default="on",
                show_default=True,
                metavar="on|off|KIND,...",
                help="Personal data to mask: rrn, card, phone, driver, passport, business, account, email.",
            ),
        )
    ):
        command = option(command)
    return command
