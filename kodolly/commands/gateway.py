"""`kodolly gateway`."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from socket import socket

    from server.settings import GatewaySettings

SETTING = "--port or KODOLLY_GATEWAY_PORT"
EPILOG = """\b
Examples:
  kodolly gateway
  kodolly gateway --port 8080 --controller http://10.0.0.5:21001
  OPENAI_API_KEY=... kodolly gateway      offers ChatGPT's models too
  kodolly gateway --processes 4         four processes on one port; SIGHUP exchanges them one by one
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
@click.option("--documents", "documents_url", metavar="URL", help="Where `kodolly documents serve` answers.")
@click.option("--processes", type=click.IntRange(1, 256), help="Processes that share the port.  [default: 1]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    host: str | None,
    port: int | None,
    controllers: tuple[str, ...],
    static: tuple[str, ...],
    documents_url: str | None,
    processes: int | None,
    config: Path | None,
) -> None:
    """Start the OpenAI-compatible gateway in front of all workers."""
    from common.logs import configure_logging
    from common.settings import load_settings
    from kodolly.environment_names import warn_of_unknown_names
    from kodolly.stack.prefork import SharedPort, inherited_socket, run_several
    from server.settings import GatewaySettings

    flags = {
        "host": host,
        "port": port,
        "controllers": controllers or None,
        "static": static or None,
        "documents_url": documents_url,
        "processes": processes,
    }
    settings = load_settings(GatewaySettings, flags, config)
    configure_logging(settings.log_level, settings.log_format)
    listening = inherited_socket()
    if listening is None:
        warn_of_unknown_names("gateway")
    if settings.processes > 1 and listening is None:
        shared = SharedPort("gateway", settings.host, settings.port, SETTING, settings.processes)
        run_several(shared, settings.drain_timeout_s)
        return
    _serve(settings, listening)


def _serve(settings: "GatewaySettings", listening: "socket | None") -> None:
    """One gateway process; `listening`: the socket that it shares with others, if it has any."""
    from common.serve import serve
    from kodolly.stack.heartbeat import start_beating
    from kodolly.stack.prefork import PROCESS
    from server.app import create_app
    from server.client.protocol import GatewayProtocol

    serve(
        create_app(settings, process=int(os.environ.get(PROCESS, "0"))),
        settings.host,
        settings.port,
        setting=SETTING,
        grace_s=math.ceil(settings.drain_timeout_s),
        protocol=GatewayProtocol,
        on_ready=start_beating,
        listening=listening,
    )
