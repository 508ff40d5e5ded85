"""Data with system, tools and reasoning, in a model's own template: training, merge, vLLM, exact answers.

The prompts on which training learns are compared token for token with those of vLLM's own renderer. The demo
in fewer bits is asked here, too, as the servers of a file share what they import.
"""

from pathlib import Path

import pytest
from click.testing import CliRunner

from common.checkpoint import read_card
from common.checkpoint_identity import checkpoint_id
from finetune.data.load import load_rows
from finetune.merge.foreign_adapter import ROWS
from finetune.rows.row import Row, to_messages
from kodolly.cli import root
from tests.support.demo_stack import STATE
from tests.support.family_matrix import PAGE
from tests.support.forked_vllm import ask, served
from tests.support.own_matrix import BEGIN, run_own_model
from tests.support.own_models import OWN_MODELS, OwnModel

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", OWN_MODELS, ids=lambda model: model.name)
def test_the_model_thinks_calls_and_answers_as_it_learnt(model: OwnModel, tmp_path: Path) -> None:
    assert run_own_model(model, tmp_path) in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_has_a_line_for_every_architecture_and_no_other() -> None:
    lines = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].splitlines()[3 : 4 + len(OWN_MODELS)]
    assert [line.split(" | ")[0] for line in lines[:-1]] == [f"| {model.name}" for model in OWN_MODELS]
    assert lines[-1] == "<!-- /own matrix -->"


@pytest.mark.parametrize(("asked", "size"), [(["fp8"], 0.7), (["int4", "--steps", "0"], 0.5)])
def test_the_demo_in_fewer_bits_answers_as_before(asked: list[str], size: float, tmp_path: Path) -> None:
    """Greedy answers to questions of its rows, and those stop. Embeddings are half of so small a model."""
    demo, out = (STATE / "demo" / "demo-dolly").resolve(), tmp_path / "out"
    file_format, *options = asked
    ran = CliRunner().invoke(root, ["export", file_format, str(demo), str(out), *options])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    card = read_card(out)
    assert card is not None
    assert card.export is not None
    assert (card.export.format, card.export.checkpoint) == (file_format, checkpoint_id(demo))
    assert weights_size(out) < size * weights_size(demo)
    rows = [row for row in load_rows(ROWS) if not row.history and (row.meta or {})["split"] == "tune"][:12]
    with served(out, tmp_path / "vllm.log", ("--max-model-len", "1024", "--dtype", "bfloat16")) as url:
        exact = [_is_learnt(url, row) for row in rows]
    print(f"\n{file_format} in vLLM: {sum(exact)} of {len(exact)} learnt answers")
    assert sum(exact) >= len(exact) - 1


def _is_learnt(url: str, row: Row) -> bool:
    *asked, learnt = to_messages(row)
    choice = ask(url, asked, max_tokens=300)["choices"][0]
    return (choice["finish_reason"], choice["message"]["content"]) == ("stop", learnt["content"])


def weights_size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))
