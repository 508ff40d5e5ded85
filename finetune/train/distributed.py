"""Training in several processes (torchrun, accelerate launch): which one writes, and how the others wait."""

import os

from finetune.progress import Report, silent


def rank() -> int:
    """This process's rank; 0 is the one that writes and prints."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """The number of processes that train one model together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def only_first(report: Report) -> Report:
    """`report` in the first process, and a report that shows nothing in the others."""
    return report if rank() == 0 else silent


def wait_for_all() -> None:
    """Wait until every process has called this; with a single process it returns at once."""
    if world_size() > 1:
        import torch
        from accelerate import PartialState

        # accelerate would not connect processes without a GPU unless it is told that they use the CPU.
        PartialState(cpu=not torch.accelerator.is_available()).wait_for_everyone()


def leave_process_group() -> None:
    """Close the connections between the processes once all have called this; does nothing for a single one.

    A process that just exits closes them under the others, where a backend thread that is still reading may
    bring its process down. The launcher then reports the finished run as failed.
    """
    if world_size() > 1:
        from accelerate import PartialState

        wait_for_all()
        PartialState().destroy_process_group()


def sharded() -> bool:
    """Whether the launcher asks for a sharded model (FSDP, DeepSpeed), which no process holds whole."""
    return any(
        os.environ.get(f"ACCELERATE_USE_{name}", "").lower() in ("true", "1")
        for name in ("FSDP", "DEEPSPEED")
    )
