"""`python tests/support/fsdp_on_cpu.py train ...` under torchrun: a model in parts, without GPUs.

torch shards on CPUs as it does on GPUs, but accelerate hands FSDP to accelerators only. So it is told that
the processes are of another kind of device; devices and everything else stay as they are.
"""

import sys
from pathlib import Path
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType

FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_MIXED_PRECISION": "no",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_OFFLOAD_PARAMS": "false",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}
"""What `accelerate launch --config_file finetune/accelerate/fsdp.yaml` sets."""


def main() -> None:
    """Run the command line."""
    begin = PartialState.__init__

    def begin_as_accelerators(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_XPU

    PartialState.__init__ = begin_as_accelerators
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from kodolly.cli import main as kodolly

    kodolly()


if __name__ == "__main__":
    main()
