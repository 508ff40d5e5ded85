"""DPO, KTO, ORPO and SimPO in a model's own chat template: answers are compared behind vLLM's own prompts."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from common.checkpoint import read_card
from finetune.encoding.encode import prompt_ids
from finetune.encoding.text_ids import decoded, inner_ids
from finetune.eval.checkpoint_model import load_eval_tokenizer
from finetune.merge.lora import merge
from finetune.models.adapter import read_adapter
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.train.run import train
from tests.support.own_models import QWEN3, make_own_model
from tests.support.preference_recipes import preference_recipe
from tests.support.tiny_training import pair, write_rows

pytestmark = pytest.mark.slow

ASKED = ({"role": "user", "content": "하늘은?"}, {"role": "assistant", "content": "파랗습니다."})
END = "<|im_end|>"


def answer(number: int, kind: str, **more: Any) -> dict[str, Any]:
    """A row with an exchange before its question, which the template writes otherwise once it is past."""
    both = pair(number)
    row = {"instruction": both["instruction"], "context": "", "category": "open_qa", "history": list(ASKED)}
    return {**row, "response": both[kind], **more}


def preferred(number: int) -> dict[str, Any]:
    return {**pair(number), "history": list(ASKED)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own-preferences")
    kinds = [(n, kind) for n in range(4) for kind in ("chosen", "rejected")]
    make_own_model(QWEN3, folder, [answer(n, kind) for n, kind in kinds])
    write_rows(folder / "pairs.jsonl", [preferred(n) for n in range(4)])
    write_rows(
        folder / "labelled.jsonl",
        [answer(n, kind, meta={"label": kind == "chosen"}) for n, kind in kinds],
    )
    shutil.move(folder / "base", folder / "tiny-base")
    return folder


def margin(model: Any, tokenizer: Any, number: int) -> float:
    """By how much the better answer is likelier behind the engine's prompt, in nats."""
    prompt = prompt_ids(tokenizer, [*ASKED, {"role": "user", "content": pair(number)["instruction"]}])
    both = []
    for kind in ("chosen", "rejected"):
        ids = torch.tensor([[*prompt, *inner_ids(tokenizer, pair(number)[kind] + END)]])
        with torch.no_grad():
            likely = model(ids).logits[0, :-1].log_softmax(-1)
        both.append(float(likely.gather(1, ids[0, 1:, None])[len(prompt) - 1 :].sum()))
    return both[0] - both[1]


@pytest.mark.parametrize("method", ["dpo", "kto", "orpo", "simpo"])
def test_the_better_answer_gains_behind_the_prompt_that_the_engine_sees(
    folder: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    data = "labelled.jsonl" if method == "kto" else "pairs.jsonl"
    (folder / f"{method}.yaml").write_text(preference_recipe(method, data), encoding="utf-8")
    train(load_recipe(folder / f"{method}.yaml", ["licence=Apache-2.0"]), tmp_path / "adapter", silent)
    probes = read_adapter(tmp_path / "adapter").probes
    tokenizer = load_eval_tokenizer(folder / "tiny-base", None)
    for probe in probes:
        assert probe.template_kwargs == {"enable_thinking": False}
        context = decoded(tokenizer, probe.input_ids[: probe.prompt_tokens])
        # As an engine has it: no thought in the past, the switch's empty one in front of the answer.
        assert "<|im_start|>assistant\n파랗습니다.<|im_end|>" in context
        assert context.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
        assert decoded(tokenizer, probe.input_ids[probe.prompt_tokens :]).endswith(END)
    base = AutoModelForCausalLM.from_pretrained(folder / "tiny-base", dtype=torch.float32)
    before = [margin(base, tokenizer, n) for n in range(4)]
    tuned = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    after = [margin(tuned, tokenizer, n) for n in range(4)]
    assert all(new > old + 3 for old, new in zip(before, after, strict=True)), (before, after)
    merge(tmp_path / "adapter", tmp_path / "merged", silent)
    card = read_card(tmp_path / "merged")
    assert card is not None
    assert card.own_template is not None
    assert card.own_template.template_kwargs == {"enable_thinking": False}
