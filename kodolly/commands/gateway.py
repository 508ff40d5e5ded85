"""`kodolly gateway`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly gateway
  kodolly gateway --port 8080 --controller http://10.0.0.5:21001
  OPENAI_API_KEY=... kodolly gateway      offers ChatGPT's models too
  kodolly gateway --static my-model=http://10.0.0.7:8001      without any controller
"""


@click.command("gateway", epilog=EPILOG)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 8000]")
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to follow; may be repeated."
)
@click.option(
    "--static",
    "static",
    multiple=True,
    metavar="NAME=URL",
    help="Model at a server that no controller knows; may be repeated. Alone, no controller is followed.",
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    host: str | None,
    port: int | None,
    controllers: tuple[str, ...],
    static: tuple[str, ...],
    config: Path | None,
) -> None:
    """Start the OpenAI-compatible gateway in front of all workers."""
    from common.logs import configure_logging
    from common.serve import serve
    from common.settings import load_settings
    from server.app import create_app
    from server.http_protocol import GatewayProtocol
    from server.settings import GatewaySettings

    flags = {"host": host, "port": port, "controllers": controllers or None, "static": static or None}
    settings = load_settings(GatewaySettings, flags, config)
    configure_logging(settings.log_level, settings.log_format)
    serve(
        create_app(settings),
        settings.host,
        settings.port,
        setting="--port or KODOLLY_GATEWAY_PORT",
        protocol=GatewayProtocol,
    )
