"""A small model that has learnt the handbook's answers, by `kodolly train`."""

import hashlib
import subprocess
from pathlib import Path

from filelock import FileLock

from tests.support.conformance.stacks import DEMO
from tests.support.handbook import CONTEXT, Handbook, written_rows
from tests.support.processes import kodolly

RECIPE = f"""
name: demo-reader
method: pretrain
architecture: {{layers: 2, width: 64, heads: 2, vocabulary: 900, context: {CONTEXT}}}
data: [{{path: rows.jsonl}}]
template: dolly
licence: Apache-2.0
epochs: 200
learning_rate: 5.0e-3
smoke_test: false
batch_size: 5
checkpoint_every: never
report_to: []
"""


def trained_model(handbook: Handbook, folder: Path) -> Path:
    """The checkpoint, trained where there is none yet for these rows and this recipe. `folder` is for what is
    made on the way."""
    rows = written_rows(handbook, folder).read_text(encoding="utf-8")
    place = DEMO.with_name("handbook") / hashlib.sha256((RECIPE + rows).encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):
        if not (place / "model").exists():
            (place / "rows.jsonl").write_text(rows, encoding="utf-8")
            (place / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
            argv = kodolly("train", "recipe.yaml", "--output", "model")
            done = subprocess.run(argv, cwd=place, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    return place / "model"
