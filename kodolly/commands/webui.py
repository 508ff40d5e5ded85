"""`kodolly webui`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly webui
  kodolly webui --port 7861 --gateway http://10.0.0.5:8000
  KODOLLY_API_KEY=... kodolly webui       when the gateway asks for a key
"""


@click.command("webui", epilog=EPILOG)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 7860]")
@click.option(
    "--gateway", "gateway_url", metavar="URL", help="The gateway.  [default: http://127.0.0.1:8000]"
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(host: str | None, port: int | None, gateway_url: str | None, config: Path | None) -> None:
    """Start the comparison page."""
    import importlib.util

    from common.errors import UserError
    from common.logs import configure_logging
    from common.serve import check_port, serve
    from common.settings import load_settings
    from kodolly.environment_names import warn_of_unknown_names
    from webui.settings import WebuiSettings

    settings = load_settings(WebuiSettings, {"host": host, "port": port, "gateway_url": gateway_url}, config)
    if importlib.util.find_spec("gradio") is None:
        raise UserError("The web UI needs Gradio.", hint="Install it: pip install 'kodolly[webui]'.")
    configure_logging(settings.log_level, settings.log_format)
    warn_of_unknown_names("webui")
    port_setting = "--port or KODOLLY_WEBUI_PORT"
    # Gradio takes seconds to import; a taken port is worth saying before.
    check_port(settings.host, settings.port, port_setting)
    from kodolly.feedback_export import masked_row
    from kodolly.training_rows import training_rows
    from webui.app import create_app

    # What follows an answer is held for half a second, and pages ask again by themselves.
    serve(
        create_app(settings, training_rows, masked_row),
        settings.host,
        settings.port,
        setting=port_setting,
        grace_s=2,
        # With `header` the page itself takes the proxy's word, once the login has seen who speaks.
        behind_proxy=settings.login != "header",
    )
