"""`kodolly documents serve`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  KODOLLY_DOCUMENTS_TOKEN=... kodolly documents serve
  KODOLLY_DOCUMENTS_TOKEN=... kodolly documents serve --host 0.0.0.0 --port 21501
"""


@click.command("serve", epilog=EPILOG)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 21501]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(host: str | None, port: int | None, config: Path | None) -> None:
    """Start the service of files and vector stores, which the gateway asks for its clients."""
    from kodolly.document_store import require_documents

    require_documents()
    from common.logs import configure_logging
    from common.serve import serve
    from common.settings import load_settings
    from documents.service.app import create_app
    from documents.service.settings import DocumentsSettings
    from kodolly.environment_names import warn_of_unknown_names

    settings = load_settings(DocumentsSettings, {"host": host, "port": port}, config)
    configure_logging(settings.log_level, settings.log_format)
    warn_of_unknown_names("documents")
    app = create_app(settings)
    serve(app, settings.host, settings.port, setting="--port or KODOLLY_DOCUMENTS_PORT")
