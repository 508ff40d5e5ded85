"""`kodolly documents bind`."""

from pathlib import Path

import click

from kodolly.document_store import opened_storage

EPILOG = """\b
Examples:
  kodolly documents bind my-dolly handbook                 my-dolly@handbook answers from this store
  kodolly documents bind my-dolly vs_1a2b --as handbook    a vector store
  kodolly documents bind                                   list what is bound
"""


@click.command("bind", epilog=EPILOG)
@click.argument("model", required=False)
@click.argument("store", required=False)
@click.option("--as", "name", help="Name behind the @.  [default: STORE]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(model: str | None, store: str | None, name: str | None, config: Path | None) -> None:
    """Offer MODEL@STORE: MODEL, answering from the passages of STORE, with citations.

    STORE is a store of `kodolly documents add` or the id of a vector store, where `kodolly documents serve`
    finds it: on its machine, or in its database. Whoever may use MODEL@STORE may read what it quotes.
    Gateways list it within some seconds.
    """
    from kodolly.echo import echo_line

    if (model is None) != (store is None):
        raise click.UsageError("MODEL and STORE belong together.")
    with opened_storage(config) as storage:
        from documents.service.bindings import bind, bindings

        if model is not None and store is not None:
            echo_line(f"bound  {bind(storage, model, store, name or store)}")
            return
        for row in bindings(storage.catalogue):
            echo_line(f"{row['name']}  {row['store']}")
