"""What a user asks of cleaning, as the rules that every process gets."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from finetune.data.clean_chunk import Rules
from finetune.data.evaluation_sets import build_index
from finetune.data.reasons import REJECTED

MUST_REJECT = ("not_utf8", "not_json", "schema", "category", "empty", "licence")
"""Reasons that nobody can allow: such a line is no row; and for licences there is `--commercial`."""


def rules(*, allow: Sequence[str] = (), against: Sequence[Path] = (), commercial: bool = False) -> Rules:
    """Raises UserError for a reason that does not exist or cannot be allowed, and for unreadable evaluation
    sets."""
    known = [name for name in REJECTED if name not in MUST_REJECT]
    for name in allow:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"{name!r} is no reason that can be allowed.",
                hint=f"Did you mean {near[0]}?" if near else "There are: " + ", ".join(known) + ".",
            )
    return Rules(
        allow=frozenset(allow),
        commercial=commercial,
        evaluation=build_index(against) if against else None,
        # Whoever wants copies wants near-copies: a copy is one of those, too.
        near_duplicates=not {"duplicate", "near_duplicate"} & set(allow),
    )
