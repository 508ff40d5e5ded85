"""How the OpenMP threads of torch wait for each other."""

import os


def let_waiting_threads_sleep() -> None:
    """Let waiting threads sleep instead of spin. Must be called before torch is imported, as OpenMP reads the
    variable when it is loaded; a value that the user has set stays.

    A thread that spins takes the core from the thread that it waits for as soon as anything else needs the
    cores, too: on two busy cores the demo's training took 12 times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
