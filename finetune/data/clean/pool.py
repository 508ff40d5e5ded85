"""All cores at work on chunks of rows, in order."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from typing import TypeVar

from common.errors import UserError
from finetune.data.clean.chunk import CleaningRules
from finetune.files.child_process import process_pool

_IN_FLIGHT = 2
"""Chunks that are read ahead for each process."""

T = TypeVar("T")


class Pool:
    """Runs a function over tasks on all cores, in order, with a bounded number of tasks waiting."""

    def __init__(self, processes: int, rules: CleaningRules) -> None:
        self.processes = processes
        self.rules = rules
        self.executor: ProcessPoolExecutor | None = None

    @staticmethod
    @contextmanager
    def opened(processes: int, rules: CleaningRules) -> Iterator["Pool"]:
        pool = Pool(processes, rules)
        try:
            yield pool
        except BrokenProcessPool as error:
            raise UserError(
                "A process was killed while it worked, most likely for want of memory.",
                hint="Give the same command again with --processes 1: it goes on where this run stopped.",
            ) from error
        finally:
            if pool.executor is not None:
                pool.executor.shutdown(cancel_futures=True)

    def map(
        self,
        function: Callable[..., T],
        tasks: Iterable[tuple[float, tuple[object, ...] | None]],
    ) -> Iterator[tuple[float, T | None]]:
        """(share done, result of `function(rules, *arguments)`) for (share done, arguments); None for
        None."""
        tasks = iter(tasks)
        ahead = list(islice(tasks, 2))
        every = chain(ahead, tasks)
        if self.processes == 1 or (len(ahead) < 2 and self.executor is None):
            for done, arguments in every:
                yield done, None if arguments is None else function(self.rules, *arguments)
            return
        executor = self._executor()
        waiting: list[tuple[float, Future[T] | None]] = []
        for done, arguments in every:
            waiting.append(
                (done, None if arguments is None else executor.submit(_in_process, function, *arguments))
            )
            if len(waiting) > self.processes * _IN_FLIGHT:
                finished, future = waiting.pop(0)
                yield finished, future.result() if future else None
        for finished, future in waiting:
            yield finished, future.result() if future else None

    def _executor(self) -> ProcessPoolExecutor:
        if self.executor is None:
            self.executor = process_pool(self.processes, _begin_process, self.rules)
        return self.executor


_rules_of_process: CleaningRules | None = None


def _begin_process(rules: CleaningRules) -> None:
    """The rules come once to each process, not with each task: an evaluation index may be large."""
    global _rules_of_process
    _rules_of_process = rules
    os.environ["RAYON_NUM_THREADS"] = "1"  # for rensa's threads: the processes use all cores already


def _in_process(function: Callable[..., T], *arguments: object) -> T:
    return function(_rules_of_process, *arguments)
