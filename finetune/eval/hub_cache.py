"""Data sets out of the hub's cache on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def downloads_are_found() -> Iterator[None]:
    """Have `datasets` find, in the block, what `hf download` has put into the hub's cache.

    Without the internet it knows only those tables that it has made itself of a data set before.
    """
    import datasets  # type: ignore[import-untyped]

    usual = datasets.load_dataset

    def load_dataset(path: str, *args: object, **kwargs: object) -> object:
        try:
            return usual(path, *args, **kwargs)
        except ConnectionError:
            downloaded = _downloaded(path, kwargs.pop("revision", "main"))
            if downloaded is None:
                raise
            return usual(downloaded, *args, **kwargs)

    datasets.load_dataset = load_dataset
    try:
        yield
    finally:
        datasets.load_dataset = usual


def _downloaded(name: str, revision: object) -> str | None:
    """The directory of a data set of the hub in its cache; None where it is not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return snapshot_download(name, repo_type="dataset", revision=str(revision), local_files_only=True)
    except LocalEntryNotFoundError:
        return None
