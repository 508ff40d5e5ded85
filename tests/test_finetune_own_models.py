"""Data with system, tools and reasoning, in a model's own template: training, merge, vLLM, exact answers.

The prompts on which training learns are compared token for token with those of vLLM's own renderer.
"""

from pathlib import Path

import pytest

from tests.support.family_matrix import PAGE
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
