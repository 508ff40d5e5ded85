"""Libraries that keep to themselves what a run does not need to show."""

import contextlib
import logging
from collections.abc import Iterator


def hide_library_notes() -> None:
    """Call before peft is imported: it imports bitsandbytes, which tells everybody without a GPU that it
    would rather fetch a kernel from the hub."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def hide_library_bars() -> None:
    """No progress bars but ours: transformers draws one for every file it reads or writes."""
    import transformers

    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Trainer logs its set-up at warning level; none of it is for the person at the terminal."""
    import transformers

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
