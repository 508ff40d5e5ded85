"""Today's architectures in 8 and 4 bits: from rows to the answers of vLLM on the exported checkpoint.

`python -m tests.support.export_matrix int4` runs all of them, or those it is given, and prints who answered.
`finetune/export` writes those alone (SERVED); the demo's export is tested at every change. A class that
reads images, too (`gemma3`, `gemma4`, `mistral3`), needs torchvision, which PyPI has for CUDA alone:
its Python code on the path, with its operators declared, will do for text.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.openmp import let_waiting_threads_sleep
from tests.support.forked_vllm import served
from tests.support.own_matrix import check_answers, check_completions

if TYPE_CHECKING:  # a forked server imports the main module again, which must not be the training libraries
    from tests.support.own_models import OwnModel


def run_export(file_format: str, model: "OwnModel", folder: Path, architecture: str | None = None) -> str:
    """Train by LoRA, merge, export, serve; how alike the export was. AssertionError unless it answers.

    architecture: name of a class that reads images, too. It is asked in text alone.
    """
    from finetune.export.fp8 import export_fp8
    from finetune.export.int4 import export_int4
    from finetune.progress import silent
    from tests.support.own_models import train_own_model

    checkpoint, out, rows = (
        train_own_model(model, folder, architecture),
        folder / file_format,
        folder / "rows.jsonl",
    )
    if file_format == "fp8":
        likeness = export_fp8(checkpoint, out, silent)
    else:
        likeness = export_int4(checkpoint, out, silent, data=rows)
    others = '{"image": 0, "video": 0, "audio": 0}' if model.name == "gemma4" else '{"image": 0}'
    text_alone = ("--limit-mm-per-prompt", others) if architecture else ()
    with served(out, folder / "vllm.log", ("--dtype", "bfloat16", *text_alone)) as url:
        if model.chats:
            check_answers(url, model.template)
        else:
            check_completions(url, out, model.template)
    return f"{model.name}: {likeness}"


def main(file_format: str, names: Sequence[str]) -> None:
    """Run the architectures of `names`, all when there are none; file_format: fp8 or int4."""
    let_waiting_threads_sleep()
    from finetune.export import likeness
    from tests.support.own_models import OWN_MODELS
    from tests.support.vision_models import GEMMA3, GEMMA4, MISTRAL3

    likeness.LOWEST = 0.1  # they know two sentences by heart, and of other texts nothing
    with tempfile.TemporaryDirectory() as scratch:
        for architecture, model in (*((None, each) for each in OWN_MODELS), GEMMA3, GEMMA4, MISTRAL3):
            if names and model.name not in names:
                continue
            folder = Path(scratch) / model.name
            folder.mkdir()
            try:
                print(run_export(file_format, model, folder, architecture), flush=True)
            except Exception as error:
                print(
                    f"{model.name}: {type(error).__name__}: {' '.join(str(error).split())[-600:]}", flush=True
                )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
