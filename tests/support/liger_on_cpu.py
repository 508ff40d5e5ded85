"""Liger's loss beside that of all logits, on a CPU.

`TRITON_INTERPRET=1 python -m tests.support.liger_on_cpu FOLDER` prints both as JSON: a process by itself, as
Triton asks for its interpreter when it is first imported.
"""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, Qwen3Config
from transformers.integrations.liger import apply_liger_kernel

from finetune.models.load import add_adapter
from finetune.models.loss_kernels import loss_kernel_alone
from finetune.progress import silent
from finetune.recipes.recipe import validate_recipe
from finetune.recipes.sections import Lora
from finetune.train.run import train
from finetune.train.write import LOG_FILE
from tests.support.own_models import QWEN3, make_own_model, recipe_of, weather_rows
from tests.support.random_models import Shape, random_model

SMALL = Shape(vocab_size=320, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)


def losses_and_gradients(method: str) -> dict[str, Any]:
    """`plain` and `fused`: loss, gradients as numbers, and whether the answer has no logits."""
    plain = random_model(Qwen3Config(**SMALL, num_key_value_heads=1, head_dim=16, intermediate_size=64))
    if method == "lora":
        plain = add_adapter(plain, Lora(rank=4))
        for name, weight in plain.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    fused = copy.deepcopy(plain)
    apply_liger_kernel(fused, loss_kernel_alone())  # type: ignore[no-untyped-call]
    return {"plain": _step(plain), "fused": _step(fused)}


def _step(model: PreTrainedModel) -> dict[str, Any]:
    ids = torch.randint(0, 320, (2, 17), generator=torch.Generator().manual_seed(3))
    labels = ids.clone()
    labels[:, :5] = labels[1, 12:] = -100
    answer = model.train()(input_ids=ids, labels=labels, num_items_in_batch=torch.tensor(30))
    answer.loss.backward()
    gradients = {
        name: weight.grad.flatten()[:50].tolist()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    return {"loss": float(answer.loss), "gradients": gradients, "no_logits": answer.logits is None}


def runs(folder: Path) -> dict[str, Any]:
    """`plain` and `fused`: what the pre-flight showed of a run, and its losses with those of validation."""
    rows = weather_rows(QWEN3.template)
    base = make_own_model(QWEN3, folder, rows)
    found = {}
    for name in ("plain", "fused"):
        values = recipe_of(QWEN3, base, folder / "rows.jsonl", epochs=2).model_dump(exclude_unset=True)
        values |= {"liger": name == "fused", "validation": 0.5, "checkpoint_every": "epoch", "batch_size": 1}
        shown: list[str] = []
        train(validate_recipe(values), folder / name, silent, show=shown.append)
        log = json.loads((folder / name / LOG_FILE).read_text(encoding="utf-8"))
        losses = [entry[key] for entry in log for key in ("loss", "eval_loss") if key in entry]
        found[name] = {"shown": shown[-1], "losses": losses}
    return found


if __name__ == "__main__":
    found = {method: losses_and_gradients(method) for method in ("full", "lora")}
    print(json.dumps(found | {"runs": runs(Path(sys.argv[1]))}))
