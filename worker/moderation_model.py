"""A moderation model as a worker serves it: in a small process of its own, without vLLM."""

import os
import secrets
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from common.checkpoint_identity import checkpoint_id
from common.child_environment import SYSTEM, child_environment
from common.errors import UserError
from common.registry import ModelCard
from worker.engine import EngineCommand
from worker.model_dir import named_cards
from worker.settings import WorkerSettings

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Its products are too small to be worth more."""


def describe_moderation(directory: Path, names: Sequence[str] = ()) -> list[ModelCard]:
    """The cards to register, one a name. Raises UserError when the model cannot be used here."""
    for library in ("numpy", "safetensors"):
        if find_spec(library) is None:
            raise UserError(
                f"A moderation model takes {library}, which is not installed.",
                hint="The extras worker, worker-cpu and finetune bring it.",
            )
    from moderation.model import load_model

    model = load_model(
        directory
    )  # fails here, with a reason, and not in a process that is started again and again
    about = {
        "kind": "moderation",
        "licence": model.card.licence,
        "created": model.card.created,
        "dtype": "float32",
        "parameters": model.parameters,
        "checkpoint": checkpoint_id(directory),
    }
    return [card.model_copy(update=about) for card in named_cards(names or [model.card.name])]


def moderation_command(settings: WorkerSettings, directory: Path, names: Sequence[str]) -> EngineCommand:
    """The service for `directory` under `names`, the first of which its answers carry."""
    from moderation.service import KEY_VARIABLE

    argv = [
        *(sys.executable, "-m", "moderation.service", str(directory)),
        *("--host", settings.host, "--port", str(settings.port)),
        *[word for name in names for word in ("--name", name)],
    ]
    key = secrets.token_urlsafe(32)  # by environment: argv is visible to every user of the machine
    env = child_environment(os.environ, SYSTEM) | THREADS | {KEY_VARIABLE: key, "PYTHONUNBUFFERED": "1"}
    return EngineCommand(argv, env, settings.local_url(), key)
