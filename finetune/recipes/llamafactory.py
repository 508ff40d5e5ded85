"""LLaMA-Factory's training files: what each of their keys is called here, and a recipe made of one.

Keys and defaults are those of their `hparams` (2025); docs/from_llama_factory.md is made from these tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from common.errors import UserError

COUNTERPARTS: dict[str, tuple[str, str]] = {
    "model_name_or_path": ("base", ""),
    "stage": (
        "method",
        "sft and pt: `full`, `lora` or `qlora`; dpo: `dpo`, `orpo` or `simpo`; kto: `kto`",
    ),
    "finetuning_type": ("method", "`full` or `lora`; lora on 4 bits is `qlora`"),
    "quantization_bit": ("method: qlora", "4 bits; for preferences `quantize: nf4`"),
    "dataset": ("data", "files of rows in place of names in dataset_info.json; stage pt: `text`"),
    "eval_dataset": ("validation", ""),
    "val_size": ("validation", "a part of the rows, not a number of them"),
    "template": ("template", "left out: the base's own chat template, as the engine renders it"),
    "cutoff_len": (
        "max_length",
        "a longer row is left out or windowed, never cut at its answer",
    ),
    "mask_history": ("learn: last", ""),
    "packing": ("packing", "rows in one sequence never see each other"),
    "neat_packing": ("packing", "the same here"),
    "learning_rate": ("learning_rate", ""),
    "num_train_epochs": ("epochs", "whole numbers"),
    "max_steps": ("max_steps", ""),
    "per_device_train_batch_size": ("batch_size", ""),
    "gradient_accumulation_steps": ("gradient_accumulation", ""),
    "lr_scheduler_type": ("schedule", "linear, cosine, constant_with_warmup"),
    "warmup_ratio": ("warmup", ""),
    "weight_decay": ("weight_decay", ""),
    "max_grad_norm": ("max_grad_norm", ""),
    "seed": ("seed", ""),
    "neftune_noise_alpha": ("neftune", ""),
    "disable_gradient_checkpointing": ("gradient_checkpointing", "the other way round"),
    "lora_rank": ("lora.rank", ""),
    "lora_alpha": ("lora.alpha", "left out there: twice the rank"),
    "lora_dropout": ("lora.dropout", ""),
    "lora_target": ("lora.targets", "`all` is `all-linear`"),
    "use_rslora": ("lora.rslora", ""),
    "use_dora": ("lora.dora", ""),
    "loraplus_lr_ratio": ("lora.plus", ""),
    "pref_beta": ("dpo.beta", "also `kto.beta`, `orpo.beta`, `simpo.beta`"),
    "pref_loss": ("dpo.loss_type", "orpo and simpo are methods of their own"),
    "pref_ftx": (
        "dpo.loss_weights",
        "`[1, pref_ftx]` with `loss_type: [sigmoid, sft]`; `simpo.sft`",
    ),
    "dpo_label_smoothing": ("dpo.label_smoothing", ""),
    "ld_alpha": ("dpo.ld_alpha", ""),
    "simpo_gamma": ("simpo.gamma", ""),
    "kto_chosen_weight": ("kto.desirable_weight", "left out: both kinds count the same in sum"),
    "kto_rejected_weight": ("kto.undesirable_weight", ""),
    "save_steps": ("checkpoint_every", "validation runs as often"),
    "save_strategy": ("checkpoint_every", "`epoch`; no is `never`"),
    "report_to": ("report_to", "tensorboard, wandb"),
    "output_dir": ("name", "its last part; `--output` of `kodolly train` names another directory"),
}
"""Their key to ours, with what differs."""
BY_ITSELF: dict[str, str] = {
    **dict.fromkeys(("do_train", "overwrite_cache", "overwrite_output_dir", "plot_loss"), "not needed"),
    **dict.fromkeys(
        ("ddp_timeout", "dataloader_num_workers", "logging_steps", "save_only_model"), "not needed"
    ),
    **dict.fromkeys(("preprocessing_num_workers", "preprocessing_batch_size"), "all cores are used"),
    **dict.fromkeys(("bf16", "fp16", "pure_bf16"), "chosen by the device and shown"),
    **dict.fromkeys(("eval_strategy", "eval_steps", "per_device_eval_batch_size"), "with `checkpoint_every`"),
    "dataset_dir": "paths of `data` begin at the recipe's folder",
    "flash_attn": "FlashAttention 2 where it is installed",
    "quantization_method": "bitsandbytes' NF4",
    "resume_from_checkpoint": "a run that was killed goes on when it is started again",
    "export_dir": "`kodolly merge lora ADAPTER DIRECTORY`",
}
"""Keys that nobody has to say here."""
MISSING: dict[str, str] = {
    "adapter_name_or_path": "merge the adapter first (`kodolly merge lora`) and take the result as `base`",
    "max_samples": "write `share` beside a file of `data`",
    "warmup_steps": "write `warmup`, a part of the steps",
    "train_on_prompt": "only answers are learnt; plain text is `text`",
    "optim": "AdamW alone",
    "deepspeed": "`accelerate launch` with a configuration (docs/training.md)",
    "fsdp": "`accelerate launch` with a configuration (docs/training.md)",
    "trust_remote_code": "never: code of a checkpoint is not run",
    "streaming": "rows are tokenised once and read from disk",
    "rope_scaling": "not there",
    "enable_liger_kernel": "not there",
    "use_unsloth": "not there",
    "pissa_init": "not there",
    "additional_target": "not there",
    "use_galore": "not there",
    "use_apollo": "not there",
    "use_badam": "not there",
    "use_llama_pro": "not there",
    "ref_model": "the reference is the base without the adapter",
    "pref_bco_weight": "not there",
    "tool_format": "the base's own chat template writes tools",
    "mix_strategy": "`kodolly data mix`",
    "interleave_probs": "`kodolly data mix`",
    "push_to_hub": "not there",
}
"""Keys without a counterpart, and what to do."""
FORMATS: tuple[tuple[str, str], ...] = (
    ("alpaca (instruction, input, output, history, system)", "`kodolly data convert FILE rows.jsonl`"),
    ("sharegpt (conversations, system, tools)", "`kodolly data convert FILE rows.jsonl`"),
    ("openai (messages)", "`kodolly data convert FILE rows.jsonl`"),
    ("ranking (chosen, rejected)", "`kodolly data convert FILE pairs.jsonl --pairs`"),
    ("kto_tag", "rows with `meta.label`, true or false"),
    ("pre-training text", "a text file in `text`, paragraphs divided by blank lines"),
    ("images, videos, audios", "not there"),
)
_OURS = ("learning_rate", "max_steps", "weight_decay", "max_grad_norm", "seed")
_LOSSES = ("sigmoid", "hinge", "ipo")


@dataclass
class Imported:
    """A recipe and what of the file it does not hold."""

    recipe: dict[str, object]
    missing: dict[str, str] = field(default_factory=dict)
    """Their key to why, and what to do."""


def import_recipe(values: Mapping[str, Any]) -> Imported:
    """The recipe of a training file's keys; all that decides the result is written, as defaults differ.

    Raises UserError for what is no training here: reward models, PPO, frozen layers, no model.
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
    recipe["batch_size"] = int(values.get("per_device_train_batch_size", 8))
    recipe["gradient_accumulation"] = int(values.get("gradient_accumulation_steps", 1))
    recipe["gradient_checkpointing"] = not values.get("disable_gradient_checkpointing", False)
    if recipe["method"] in ("full", "lora", "qlora"):
        packed = values.get("packing", values.get("stage") == "pt")
        recipe["packing"] = bool(packed or values.get("neat_packing"))
        if noise := values.get("neftune_noise_alpha"):
            recipe["neftune"] = float(noise)
    saving = values.get("save_strategy", "steps")
    steps = int(values.get("save_steps", 500))
    recipe["checkpoint_every"] = {"epoch": "epoch", "no": "never"}.get(str(saving), steps)
    reporters = _list(values.get("report_to"))
    recipe["report_to"] = [one for one in reporters if one in ("tensorboard", "wandb")]
    if others := set(reporters) - {"tensorboard", "wandb", "none"}:
        made.missing["report_to"] = f"{', '.join(sorted(others))}: not there"


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


def _preferences(values: Mapping[str, Any], made: Imported) -> None:
    method, beta = made.recipe["method"], float(values.get("pref_beta", 0.1))
    sft = float(values.get("pref_ftx") or 0)
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
    """`a,b`, a list, or nothing."""
    parts = value if isinstance(value, list) else str(value or "").split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def _number(value: str | float) -> int | float:
    """YAML reads `1e-4`, without a point, as text."""
    number = float(value)
    return int(number) if isinstance(value, int) or (number.is_integer() and number > 1) else number
