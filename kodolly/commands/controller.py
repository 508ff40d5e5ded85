"""`kodolly controller`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  KODOLLY_JOIN_TOKEN=... kodolly controller
  KODOLLY_JOIN_TOKEN=... kodolly controller --host 0.0.0.0 --port 21001
"""


@click.command("controller", epilog=EPILOG)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 21001]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(host: str | None, port: int | None, config: Path | None) -> None:
    """Start the registry that workers join and gateways follow."""
    from common.logs import configure_logging
    from common.serve import serve
    from common.settings import load_settings
    from controller.app import create_app, end_watches
    from controller.settings import ControllerSettings
    from kodolly.environment_names import warn_of_unknown_names

    settings = load_settings(ControllerSettings, {"host": host, "port": port}, config)
    configure_logging(settings.log_level, settings.log_format)
    warn_of_unknown_names("controller")
    app = create_app(settings)
    serve(
        app,
        settings.host,
        settings.port,
        setting="--port or KODOLLY_CONTROLLER_PORT",
        on_stop=lambda: end_watches(app),
    )
