"""`kodolly webui`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from socket import socket

    from webui.settings import WebuiSettings

SETTING = "--port or KODOLLY_WEBUI_PORT"
# What follows an answer is held for half a second, and pages ask again by themselves.
GRACE_S = 2
EPILOG = """\b
Examples:
  kodolly webui
  kodolly webui --port 7861 --gateway http://10.0.0.5:8000
  KODOLLY_API_KEY=... kodolly webui       when the gateway asks for a key
  kodolly webui --processes 2           two processes on one port; SIGHUP exchanges them one by one
"""


@click.command("webui", epilog=EPILOG)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 7860]")
@click.option(
    "--gateway", "gateway_url", metavar="URL", help="The gateway.  [default: http://127.0.0.1:8000]"
)
@click.option("--processes", type=click.IntRange(1, 64), help="Processes that share the port.  [default: 1]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    host: str | None, port: int | None, gateway_url: str | None, processes: int | None, config: Path | None
) -> None:
    """Start the comparison page."""
    import importlib.util

    from common.errors import UserError
    from common.logs import configure_logging
    from common.settings import load_settings
    from kodolly.environment_names import warn_of_unknown_names
    from kodolly.stack.prefork import SharedPort, inherited_socket, run_several
    from webui.settings import WebuiSettings

    flags = {"host": host, "port": port, "gateway_url": gateway_url, "processes": processes}
    settings = load_settings(WebuiSettings, flags, config)
    if importlib.util.find_spec("gradio") is None:
        raise UserError("The web UI needs Gradio.", hint="Install it: pip install 'kodolly[webui]'.")
    configure_logging(settings.log_level, settings.log_format)
    listening = inherited_socket()
    if listening is None:
        warn_of_unknown_names("webui")
    if settings.processes > 1 and listening is None:
        run_several(SharedPort("web UI", settings.host, settings.port, SETTING, settings.processes), GRACE_S)
        return
    _serve(settings, listening)


def _serve(settings: "WebuiSettings", listening: "socket | None") -> None:
    """One process; `listening`: the socket that it shares with others, if it has any."""
    from common.serve import check_port, serve

    if listening is None:
        # Gradio takes seconds to import; a taken port is worth saying before.
        check_port(settings.host, settings.port, SETTING)
    from kodolly.feedback_export import masked_row
    from kodolly.paper_text import paper_reader
    from kodolly.stack.heartbeat import start_beating
    from kodolly.training_rows import training_rows
    from webui.app import create_app

    serve(
        create_app(settings, training_rows, masked_row, paper_reader()),
        settings.host,
        settings.port,
        setting=SETTING,
        grace_s=GRACE_S,
        on_ready=start_beating,
        listening=listening,
        # With `header` the page itself takes the proxy's word, once the login has seen who speaks.
        behind_proxy=settings.login != "header",
    )
