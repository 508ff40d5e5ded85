"""vLLM flags that the worker has an opinion about. All others pass through untouched."""

from collections.abc import Sequence
from importlib.util import find_spec

from common.errors import UserError

OWN_FLAGS = {
    "--model": "Name the checkpoint as MODEL_DIR.",
    "--served-model-name": "Use `kodolly worker --name`.",
    "--host": "Use `kodolly worker --host`, before the `--`.",
    "--port": "Use `kodolly worker --port`, before the `--`.",
    "--uds": "Gateways reach the engine by TCP; use --host and --port before the `--`.",
    "--api-key": "The engine gets a new random key at every start; only gateways need it.",
    "--enable-lora": "Use `kodolly worker --adapter NAME=DIR`, before the `--`.",
    "--lora-modules": "Use `kodolly worker --adapter NAME=DIR`, before the `--`.",
}
"""vLLM flags that would contradict what the worker registers, and what to do instead."""

BAD_FLAGS = {
    "--disable-log-stats": "Load and drain are read from vLLM's figures, which it turns off.",
    "--headless": "A headless vLLM answers nobody. Start it by hand (`vllm serve --headless`) on the further "
    "nodes, and the worker on the first.",
    "--ssl-keyfile": "Gateways talk to engines in plain HTTP; encrypt between machines by other means.",
    "--ssl-certfile": "Gateways talk to engines in plain HTTP; encrypt between machines by other means.",
    "--root-path": "Gateways expect the API at /v1.",
}
"""vLLM flags with which a worker cannot do its work, and why."""


def check_flags(args: Sequence[str]) -> None:
    """Raises UserError for a flag that is the worker's own or cannot work, before the engine spends a minute
    on starting with it."""
    for word in args:
        flag = _name(word)
        # vLLM takes unique beginnings of flags too.
        for own, instead in OWN_FLAGS.items() if len(flag) > 2 else ():
            if own.startswith(flag):
                raise UserError(f"The vLLM flag {own} is set by the worker.", hint=instead)
        for bad, why in BAD_FLAGS.items() if len(flag) > 2 else ():
            if bad.startswith(flag):
                raise UserError(f"The vLLM flag {bad} cannot be used here.", hint=why)
    if (number_of(args, ("--node-rank", "-r")) or 0) > 0:
        raise UserError(
            "A worker runs on the first node (--node-rank 0) only.",
            hint="Start the further nodes with `vllm serve ... --headless --node-rank N`.",
        )
    if value_of(args, ("--distributed-executor-backend",)) == "ray" and find_spec("ray") is None:
        raise UserError(
            "--distributed-executor-backend ray needs Ray.", hint="Install it: pip install 'ray[cgraph]'."
        )


def capacity(args: Sequence[str]) -> int:
    """Requests that the engine runs at once, if the flags say so; 0 is unknown."""
    return (number_of(args, ("--max-num-seqs",)) or 0) * (number_of(args, DATA_PARALLEL) or 1)


DATA_PARALLEL = ("--data-parallel-size", "-dp")
TENSOR_PARALLEL = ("--tensor-parallel-size", "-tp")
PIPELINE_PARALLEL = ("--pipeline-parallel-size", "-pp")


def processes(args: Sequence[str]) -> int:
    """Over how many processes the flags spread one model."""
    size = 1
    for names in (TENSOR_PARALLEL, PIPELINE_PARALLEL, DATA_PARALLEL):
        size *= number_of(args, names) or 1
    return size


def has_flag(args: Sequence[str], flag: str) -> bool:
    """Whether `args` hold `flag`, a field of it (`--flag.field`), or the beginning of its name, which vLLM
    takes too."""
    names = (_name(word).partition(".")[0] for word in args)
    return any(len(name) > 4 and flag.startswith(name) for name in names)


def value_of(args: Sequence[str], names: Sequence[str]) -> str | None:
    """The last value given to any of `names` (`--flag value` or `--flag=value`); None when there is none."""
    found = None
    for index, word in enumerate(args):
        if _name(word) in names:
            _, equals, value = word.partition("=")
            found = value if equals else next(iter(args[index + 1 : index + 2]), None)
    return found


def number_of(args: Sequence[str], names: Sequence[str]) -> int | None:
    """`value_of` as a number; None when it is none."""
    value = value_of(args, names) or ""
    return int(value) if value.isascii() and value.isdigit() else None


def _name(word: str) -> str:
    flag = word.partition("=")[0]
    return flag.replace("_", "-") if flag.startswith("--") else flag if flag.startswith("-") else ""
