"""How torch's worker threads wait for each other."""

import os


def let_waiting_threads_sleep() -> None:
    """Call before torch is imported; a value that the user has set stays.

    By default a thread that waits spins. As soon as the cores are shared with anything else, it spins away
    the time that the thread it waits for needs: on two busy cores the demo's training took 12 times as
    long. OpenMP reads the variable when it is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
