"""`kodolly export int4`: what is refused, and what packed numbers stand for; own_models asks vLLM."""

from pathlib import Path

import pytest
import torch

from common.errors import UserError
from finetune.export import int4
from finetune.export.int4 import export_int4, unpacked
from finetune.progress import silent
from tests.support.merge_stage import make_source

pytestmark = pytest.mark.slow


def test_eight_numbers_lie_in_an_int32_the_first_one_lowest() -> None:
    numbers = torch.arange(16) - 8
    halves = [numbers[:8].tolist(), numbers[8:].tolist()]
    packed = torch.tensor([[sum((n + 8) << (4 * place) for place, n in enumerate(half))] for half in halves])
    scales = torch.tensor([[0.5], [2.0]])
    made = unpacked(packed.to(torch.uint32).view(torch.int32), scales)
    assert made.tolist() == [(numbers[:8] * 0.5).tolist(), (numbers[8:] * 2.0).tolist()]


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ("BLOOM", "An int4 export of bloom has not been seen working in vLLM"),
        ("GPTNeoX", "cannot be divided into groups of 128"),
    ],
)
def test_what_vllm_would_not_read_is_refused(architecture: str, said: str, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", architecture, seed=3)
    with pytest.raises(UserError, match=said):
        export_int4(source, tmp_path / "out", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_model_that_does_not_fit_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source(tmp_path / "source", "Llama", seed=3)
    monkeypatch.setattr(int4, "GROUP", 32)
    monkeypatch.setattr(int4, "host_memory", lambda: 200_000)
    with pytest.raises(
        UserError, match=r"keeps the whole model in memory: \d+\.\d MB at least; .* has 0\.2 MB"
    ):
        export_int4(source, tmp_path / "out", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
