"""Which store the commands of `kodolly documents` work on."""

import importlib.util
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from common.errors import UserError

if TYPE_CHECKING:
    from documents.search.store import Store
    from documents.search.stored import StoredDocument
    from documents.service.catalogue import Catalogue
    from documents.service.places import Places

F = TypeVar("F", bound=Callable[..., Any])
LIBRARIES = ("kiwipiepy", "lxml", "pdfplumber", "pypdfium2", "docx", "regex", "unhwp")
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
    from common.private_files import make_private_directory, make_state_directory
    from common.settings import load_settings
    from documents.search.store import open_store
    from kodolly.stack.parts import UpSettings

    name = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of a store.",
            hint="Use letters, digits, `-`, `_` and `.`, at most 64.",
        )
    state = load_settings(UpSettings, config=config).state_dir
    if create:
        make_state_directory(state)
        make_private_directory(state / "documents")
    with open_store(state / "documents" / f"{name}.db", create=create) as store:
        yield store


@contextmanager
def opened_catalogue(config: Path | None) -> Iterator[tuple["Catalogue", "Places"]]:
    """The catalogue of the documents service on this machine, also while it runs. Raises UserError."""
    places = document_places(config)
    from common.private_files import make_state_directory
    from documents.service.catalogue import Catalogue

    make_state_directory(places.root.parent.parent)
    places.make()
    catalogue = Catalogue(places.catalogue)
    try:
        yield catalogue, places
    finally:
        catalogue.close()


def document_places(config: Path | None) -> "Places":
    """Where the documents service of this machine keeps what it has. Raises UserError."""
    require_documents()
    from common.settings import load_settings
    from documents.service.places import Places
    from kodolly.stack.parts import UpSettings

    return Places(load_settings(UpSettings, config=config).state_dir / "documents" / "service")


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
    plain = unicodedata.normalize("NFC", called)
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
