"""What a run of transformers' Trainer takes: tokens/s after the first steps, and memory by what it is for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import Trainer, TrainerCallback

WARMING_UP = 2
"""Steps that no clock sees: kernels are loaded and chosen in them."""


class Meter(Protocol):
    """The memory of this process on one device, in bytes."""

    def now(self) -> int:
        """What is held."""

    def peak(self) -> int:
        """The most that was held since the last `reset`."""

    def reset(self) -> None:
        """Begin a new peak."""

    def wait(self) -> None:
        """Return when the device has done what it was asked."""

    def besides(self, highest: int) -> dict[str, float]:
        """What the process holds beyond its tensors; highest: bytes of these at the peak."""


class CudaMeter:
    """Memory of the GPU, as torch's allocator counts it."""

    def now(self) -> int:
        return torch.cuda.memory_allocated()

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated()

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def wait(self) -> None:
        torch.cuda.synchronize()

    def besides(self, highest: int) -> dict[str, float]:
        free, total = torch.cuda.mem_get_info()
        reserved = torch.cuda.memory_reserved()
        return {"CUDA context": total - free - reserved, "fragmentation": reserved - highest}


class HostMeter:
    """Memory of this process by Linux's count, above what it held when the meter was made."""

    def __init__(self) -> None:
        self.before = self._status("VmRSS")

    def now(self) -> int:
        return self._status("VmRSS") - self.before

    def peak(self) -> int:
        return self._status("VmHWM") - self.before

    def reset(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def wait(self) -> None:
        """A CPU's work is done when a call returns."""

    def besides(self, highest: int) -> dict[str, float]:
        return {}

    @staticmethod
    def _status(name: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class Readings(TrainerCallback):
    """Figures of a run, read at its borders. The peak of the logits is that between the output embedding's
    forward and backward pass; a loss that does not call that layer shows none."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.terms: dict[str, int] = {}
        self.batch = 1
        self.longest = 0
        self.highest = self.start = self.head = 0
        self.steps = self.tokens = 0
        self.began = self.seconds = 0.0

    def figures(self) -> dict[str, float]:
        """Bytes and tokens/s by name."""
        speed = self.tokens / self.seconds if self.seconds else 0.0
        return {"tokens/s": speed, "peak": self.highest, **self.terms, **self.meter.besides(self.highest)}

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Read the weights, and listen to the model and its output embedding."""
        model, self.batch = given["model"], args.per_device_train_batch_size
        self._mark()
        self._keep("weights", self.meter.now())
        model.register_forward_pre_hook(self._batch, with_kwargs=True)
        head = model.get_output_embeddings()
        head.register_forward_pre_hook(self._before_logits)
        head.register_full_backward_hook(self._after_logits)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Count the gradients."""
        weights = given["model"].parameters()
        self._keep("gradients", sum(w.grad.nbytes for w in weights if w.grad is not None))

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Count the moments, and start or stop the clock."""
        moments = given["optimizer"].state_dict()["state"].values()
        tensors = [each for group in moments for each in group.values() if isinstance(each, torch.Tensor)]
        self._keep("optimizer", sum(each.nbytes for each in tensors))
        self._mark()
        self.meter.wait()
        self.steps += 1
        if self.steps == WARMING_UP:
            self.began, self.tokens = time.monotonic(), 0
        self.seconds = time.monotonic() - self.began if self.steps > WARMING_UP else 0.0

    def _batch(self, _model: torch.nn.Module, _args: Any, given: dict[str, Any]) -> None:
        self._mark()
        self.start = self.meter.now()
        self.longest = max(self.longest, given["input_ids"].numel() // self.batch)
        self.tokens += given["input_ids"].numel()

    def _before_logits(self, *_: Any) -> None:
        self.head = self.meter.now()
        self._keep("copies and activations", self.head - self.start)
        self._mark()

    def _after_logits(self, *_: Any) -> None:
        self._keep("logits", self.meter.peak() - self.head)

    def _keep(self, name: str, size: int) -> None:
        self.terms[name] = max(size, self.terms.get(name, 0))

    def _mark(self) -> None:
        self.highest = max(self.highest, self.meter.peak() if self.steps or self.terms else 0)
        self.meter.reset()


@contextmanager
def watched_trainer(readings: Readings) -> Iterator[None]:
    """Any Trainer that trains inside tells `readings`."""
    train = Trainer.train

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.add_callback(readings)
        return train(self, *args, **kwargs)

    Trainer.train = watched  # type: ignore[method-assign]
    try:
        yield
    finally:
        Trainer.train = train  # type: ignore[method-assign]
