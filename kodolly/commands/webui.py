"""`kodolly webui`: the comparison page in the foreground."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly webui                                     the page of the gateway on this machine
  kodolly webui --port 7861 --gateway-url http://127.0.0.1:8001
  KODOLLY_API_KEY=... kodolly webui                 when the gateway asks for a key
"""


@click.command(name="webui", epilog=EPILOG)
@click.option("--host", help="Address to listen on [default: 127.0.0.1].")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on, 0 for a free one [default: 7860]."
)
@click.option("--gateway-url", metavar="URL", help="The gateway [default: http://127.0.0.1:8000].")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file [default: ./kodolly.yaml].")
def command(host: str | None, port: int | None, gateway_url: str | None, config: Path | None) -> None:
    """Start the comparison page."""
    from common.errors import UserError
    from common.logs import configure_logging
    from common.settings import load_settings
    from webui.settings import WebuiSettings

    settings = load_settings(WebuiSettings, {"host": host, "port": port, "gateway_url": gateway_url}, config)
    configure_logging(settings.log_level)
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError(
            "The web UI needs Gradio.", hint="Install it: pip install 'kodolly[webui]'."
        ) from error
    _serve(settings)


def _serve(settings: "WebuiSettings") -> None:
    import socket

    import uvicorn

    from common.errors import UserError
    from webui.app import create_app

    try:
        listener = socket.create_server((settings.host, settings.port), backlog=512)
    except OSError as error:
        raise UserError(
            f"The web UI cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            hint="Choose another port with --port, or stop what uses this one.",
        ) from error
    address = f"http://{settings.host}:{listener.getsockname()[1]}"
    click.echo(f"kodolly web UI: {address} (gateway {settings.gateway_url})", err=True)
    config = uvicorn.Config(create_app(settings), log_config=None, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listener])
