"""How alike an exported GGUF file is to its source, by llama.cpp's own answers, where it is installed.

llama.cpp answers bundled Korean questions greedily; at each place of its answers the source finds the
likeliest token, too. One that computes alike finds the same.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common.child_environment import ENGINE, SYSTEM, child_environment
from common.child_process import ending_with_parent
from common.errors import UserError
from finetune.export.likeness import Likeness, answer_probes, compare
from finetune.export.llama_answers import TOKENS
from finetune.export.source import ExportSource
from finetune.merge.parameter_names import empty_model
from finetune.merge.streamed_model import StreamedModel, open_weights
from finetune.models.adapter import Probe
from finetune.progress import Progress, Report, finished

ASKED = 8
"""Questions, the first of the bundled ones."""
LIMIT_S = 600


def has_llama_cpp() -> bool:
    """Whether llama.cpp is installed as the package xllamacpp; nothing of it is loaded to find out."""
    return importlib.util.find_spec("xllamacpp") is not None


def prove_file(file: Path, source: ExportSource, report: Report) -> Likeness:
    """llama.cpp's greedy answers compared with what the source finds likeliest. Raises UserError when the two
    are too far apart, and when llama.cpp does not answer from the file."""
    stage = f"{source.card.name}: comparing"
    probes = answer_probes(source.tokenizer, source.stops[0])[:ASKED]
    prompts = [probe.input_ids[: probe.prompt_tokens] for probe in probes]
    report(Progress(stage, 0.0, "llama.cpp answers"))
    answers = _answered(file, prompts)
    asked = [
        Probe(messages=[], input_ids=[*prompt, *answer], prompt_tokens=len(prompt))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    model = empty_model(source.config)
    weights = open_weights(source.directory, model)
    found = StreamedModel(model, weights).likeliest(
        asked, lambda done: report(Progress(stage, 0.5 + done / 2, "source"))
    )
    likeness = compare(found, answers)
    report(finished(stage, f"{likeness}, as llama.cpp answers {len(prompts)} questions"))
    return likeness


def _answered(file: Path, prompts: list[list[int]]) -> list[list[int]]:
    """llama.cpp's answers, each of TOKENS tokens. Raises UserError."""
    with tempfile.TemporaryDirectory(prefix="kodolly-") as folder:
        asked, answers = Path(folder) / "asked.json", Path(folder) / "answers.json"
        asked.write_text(json.dumps(prompts), encoding="utf-8")
        argv = [sys.executable, "-m", "finetune.export.llama_answers", str(file), str(asked), str(answers)]
        done = subprocess.run(
            ending_with_parent(argv),
            env=child_environment(os.environ, (*SYSTEM, *ENGINE)),
            capture_output=True,
            timeout=LIMIT_S,
        )
        if done.returncode or not answers.exists():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise UserError(
                f"llama.cpp does not answer from the file that was written: {''.join(last)[:300]}"
            )
        found: list[list[int]] = json.loads(answers.read_text(encoding="utf-8"))
    if any(len(answer) != TOKENS for answer in found):
        raise UserError("llama.cpp ends its answers before it should, from the file that was written.")
    return found
