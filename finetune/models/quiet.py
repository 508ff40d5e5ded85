"""Keeping libraries' notes and progress bars off the terminal."""

import contextlib
import logging
from collections.abc import Iterator


def hide_library_notes() -> None:
    """Must be called before peft is imported: it imports bitsandbytes, which tells everybody without a GPU
    that it could fetch a kernel from the hub."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def hide_library_bars() -> None:
    """Switch transformers' progress bars off: it draws one for every file that it reads or writes."""
    import transformers

    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence transformers' log until the block ends: Trainer logs its set-up at warning level, and none of
    it is for the person at the terminal."""
    import transformers

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
