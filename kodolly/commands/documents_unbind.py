"""`kodolly documents unbind`."""

from pathlib import Path

import click

from common.errors import UserError
from kodolly.document_store import opened_storage

EPILOG = """\b
Examples:
  kodolly documents unbind my-dolly@handbook
"""


@click.command("unbind", epilog=EPILOG)
@click.argument("name")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(name: str, config: Path | None) -> None:
    """Offer NAME, such as my-dolly@handbook, no more. Model and store stay."""
    from kodolly.echo import echo_line

    with opened_storage(config) as storage:
        from documents.service.bindings import unbind

        if not unbind(storage.catalogue, name):
            raise UserError(
                f"No model is called {name!r}.", hint="`kodolly documents bind` shows what is bound."
            )
        echo_line(f"unbound  {name}")
