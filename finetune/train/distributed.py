"""Training in several processes (torchrun, accelerate launch): who writes, and how the others wait."""

import os

from finetune.progress import Report, silent


def rank() -> int:
    """This process's number among all; 0 is the one that writes and prints."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes train one model together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def only_first(report: Report) -> Report:
    """`report` in the first process, silence in the others."""
    return report if rank() == 0 else silent


def wait_for_all() -> None:
    """Return when every process has come here; at once when there is one."""
    if world_size() > 1:
        import torch
        from accelerate import PartialState

        # Without being told, accelerate takes processes without a GPU for strangers to each other.
        PartialState(cpu=not torch.accelerator.is_available()).wait_for_everyone()


def leave_process_group() -> None:
    """Close the connections between the processes when all have come here; does nothing for one process.

    A process that just exits closes them under the others, and a backend thread that is still reading from
    one may take its whole process down; a launcher calls the finished run a failed one.
    """
    if world_size() > 1:
        from accelerate import PartialState

        wait_for_all()
        PartialState().destroy_process_group()


def sharded() -> bool:
    """Whether the launcher asks for a model in parts (FSDP, DeepSpeed): no process holds it whole."""
    return any(
        os.environ.get(f"ACCELERATE_USE_{name}", "").lower() in ("true", "1")
        for name in ("FSDP", "DEEPSPEED")
    )
