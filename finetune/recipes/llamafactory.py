"""Recipes made of LLaMA-Factory's training files.

Keys and defaults are those of its `hparams` (August 2026).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from common.errors import UserError
from finetune.recipes.llamafactory_keys import BY_ITSELF, COUNTERPARTS, MISSING

_OURS = ("learning_rate", "max_steps", "weight_decay", "max_grad_norm", "seed")
_LOSSES = ("sigmoid", "hinge", "ipo")


@dataclass
class Imported:
    """A recipe, and the keys of the file for which it has no counterpart."""

    recipe: dict[str, object]
    missing: dict[str, str] = field(default_factory=dict)
    """LLaMA-Factory's key -> why it is missing, and what to do."""


def import_recipe(values: Mapping[str, Any]) -> Imported:
    """The recipe for a training file's keys. Everything that decides the result is written out, as the
    defaults differ.

    Raises UserError for what kodolly does not train (reward models, PPO, frozen layers), and without a model.
    """
    method = _method(values)
    base = values.get("model_name_or_path")
    if not isinstance(base, str):
        raise UserError("The file names no model_name_or_path.", hint="Is it a LLaMA-Factory training file?")
    name = PurePosixPath(str(values.get("output_dir") or f"{base}-{method}")).name
    made = Imported({"name": name, "method": method, "base": base})
    _data(values, made)
    _loop(values, made)
    if method != "full":
        _adapter(values, made)
    _preferences(values, made)
    for key, value in values.items():
        if key in COUNTERPARTS or key in BY_ITSELF or value in (None, False, 0, "", []):
            continue
        if key == "optim" and str(value).startswith("adamw"):
            continue
        made.missing.setdefault(key, MISSING.get(key, "no key of a recipe"))
    return made


def _method(values: Mapping[str, Any]) -> str:
    stage, kind = values.get("stage", "sft"), values.get("finetuning_type", "lora")
    if stage not in ("sft", "pt", "dpo", "kto") or kind not in ("full", "lora"):
        raise UserError(
            f"stage {stage} with finetuning_type {kind} has no counterpart.",
            hint="Stages sft, pt, dpo and kto, types full and lora have one.",
        )
    if stage == "dpo":
        loss = values.get("pref_loss", "sigmoid")
        return loss if loss in ("orpo", "simpo") else "dpo"
    if stage == "kto":
        return "kto"
    if kind == "full":
        return "full"
    return "qlora" if values.get("quantization_bit") == 4 else "lora"


def _data(values: Mapping[str, Any], made: Imported) -> None:
    names = _list(values.get("dataset"))
    if values.get("stage") == "pt":
        made.recipe["text"] = [f"{name}.txt" for name in names]
    else:
        kind = "pairs" if values.get("stage") == "dpo" else "rows"
        made.recipe["data"] = [{"path": f"{name}.{kind}.jsonl"} for name in names]
    if held_out := _list(values.get("eval_dataset")):
        made.recipe["validation"] = {"path": f"{held_out[0]}.jsonl"}
    elif size := values.get("val_size"):
        if 0 < float(size) < 1:
            made.recipe["validation"] = float(size)
        else:
            made.missing["val_size"] = "write `validation`, a part of the rows between 0 and 1"
    made.recipe["max_length"] = int(values.get("cutoff_len", 2048))
    if values.get("mask_history"):
        made.recipe["learn"] = "last"


def _loop(values: Mapping[str, Any], made: Imported) -> None:
    recipe = made.recipe
    recipe["learning_rate"] = 5e-5
    recipe |= {key: _number(values[key]) for key in _OURS if values.get(key) not in (None, -1)}
    epochs = float(values.get("num_train_epochs", 3))
    recipe["epochs"] = max(1, round(epochs))
    if epochs != recipe["epochs"]:
        made.missing["num_train_epochs"] = f"epochs are whole: {recipe['epochs']} is written for {epochs:g}"
    schedule = str(values.get("lr_scheduler_type", "linear"))
    schedule = {"constant": "constant_with_warmup"}.get(schedule, schedule)
    if schedule not in ("linear", "cosine", "constant_with_warmup"):
        made.missing["lr_scheduler_type"] = (
            "schedule is linear, cosine or constant_with_warmup; cosine is taken"
        )
        schedule = "cosine"
    recipe["schedule"] = schedule
    recipe["warmup"] = float(values.get("warmup_ratio") or 0)
    accumulated = int(values.get("gradient_accumulation_steps", 1))
    _batches(int(values.get("per_device_train_batch_size", 8)), accumulated, made)
    recipe["gradient_checkpointing"] = not values.get("disable_gradient_checkpointing", False)
    if recipe["method"] in ("full", "lora", "qlora"):
        packed = values.get("packing", values.get("stage") == "pt")
        recipe["packing"] = bool(packed or values.get("neat_packing"))
        if noise := values.get("neftune_noise_alpha"):
            recipe["neftune"] = float(noise)
        recipe |= {"liger": True} if values.get("enable_liger_kernel") else {}
    saving = values.get("save_strategy", "steps")
    steps = int(values.get("save_steps", 500))
    recipe["checkpoint_every"] = {"epoch": "epoch", "no": "never"}.get(str(saving), steps)
    if patience := values.get("early_stopping_steps"):
        recipe["early_stopping"] = int(patience)
    reporters = _list(values.get("report_to"))
    recipe["report_to"] = [one for one in reporters if one in ("tensorboard", "wandb", "mlflow")]
    if others := set(reporters) - {"tensorboard", "wandb", "mlflow", "none"}:
        made.missing["report_to"] = f"{', '.join(sorted(others))}: not there"


def _batches(batch: int, accumulated: int, made: Imported) -> None:
    if made.recipe["method"] == "kto" and batch == 1:
        batch, accumulated = 2, max(1, accumulated // 2)
        made.missing["per_device_train_batch_size"] = (
            "kto compares an answer with its neighbour's: batch_size 2 is written, with half the accumulation"
        )
    made.recipe |= {"batch_size": batch, "gradient_accumulation": accumulated}


def _adapter(values: Mapping[str, Any], made: Imported) -> None:
    rank = int(values.get("lora_rank", 8))
    targets = _list(values.get("lora_target", "all"))
    lora: dict[str, object] = {
        "rank": rank,
        "alpha": int(values.get("lora_alpha") or 2 * rank),
        "dropout": float(values.get("lora_dropout", 0)),
        "targets": "all-linear" if targets == ["all"] else targets,
    }
    lora |= {"rslora": True} if values.get("use_rslora") else {}
    lora |= {"dora": True} if values.get("use_dora") else {}
    lora |= {"plus": float(values["loraplus_lr_ratio"])} if values.get("loraplus_lr_ratio") else {}
    made.recipe["lora"] = lora
    bits = values.get("quantization_bit")
    if bits == 4 and made.recipe["method"] != "qlora":
        made.recipe["quantize"] = "nf4"
    elif bits not in (None, 4):
        made.missing["quantization_bit"] = "4 bits alone; without them the base is held in 16"
    if values.get("finetuning_type") == "full":
        made.missing["finetuning_type"] = "preferences train an adapter here, to be merged"


_WITHOUT_SFT = {
    "kto": "kto learns no rows beside the verdicts; train those in a recipe of their own",
    "orpo": "orpo learns the chosen answers with a weight of 1 as it is; there is no other",
}


def _preferences(values: Mapping[str, Any], made: Imported) -> None:
    method, beta = made.recipe["method"], float(values.get("pref_beta", 0.1))
    sft = float(values.get("pref_ftx") or 0)
    if sft and method in _WITHOUT_SFT:
        made.missing["pref_ftx"] = _WITHOUT_SFT[method]
    if method == "kto":
        weights = ("desirable_weight", "kto_chosen_weight"), ("undesirable_weight", "kto_rejected_weight")
        made.recipe["kto"] = {"beta": beta} | {o: float(values[t]) for o, t in weights if t in values}
    elif method == "orpo":
        made.recipe["orpo"] = {"beta": beta}
    elif method == "simpo":
        made.recipe["simpo"] = {"beta": beta, "gamma": float(values.get("simpo_gamma", 0.5)), "sft": sft}
    elif method == "dpo":
        loss = values.get("pref_loss", "sigmoid")
        if loss not in _LOSSES:
            made.missing["pref_loss"] = f"{loss} is not there; sigmoid is written"
            loss = "sigmoid"
        dpo: dict[str, object] = {"beta": beta, "loss_type": [loss, "sft"] if sft else [loss]}
        dpo |= {"loss_weights": [1.0, sft]} if sft else {}
        for theirs, ours in (("dpo_label_smoothing", "label_smoothing"), ("ld_alpha", "ld_alpha")):
            dpo |= {ours: float(values[theirs])} if values.get(theirs) else {}
        made.recipe["dpo"] = dpo


def _list(value: object) -> list[str]:
    """The items of `a,b` or of a list; [] for nothing."""
    parts = value if isinstance(value, list) else str(value or "").split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def _number(value: str | float) -> int | float:
    """The number in `value`, which may be text: YAML reads `1e-4`, without a point, as such."""
    number = float(value)
    return int(number) if isinstance(value, int) or (number.is_integer() and number > 1) else number
