"""Pools of processes that leave Ctrl-C to their parent and never outlive it."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any


def process_pool(
    processes: int, begin: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """A pool whose processes run `begin(*arguments)` first.

    They are spawned, as a forked process would inherit our open files and locks, without the threads that
    hold them.
    """
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_begin_process, initargs=(begin, arguments)
    )
    # A child inherits the signals that are blocked here: Ctrl-C must not reach one that has not begun to
    # ignore it. Submitting the tasks below makes the pool start all of its processes.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(processes):
            pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pool


def _begin_process(begin: Callable[..., None] | None, arguments: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None  # this runs in a child

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    if begin is not None:
        begin(*arguments)
