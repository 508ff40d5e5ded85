"""`kodolly config`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly config show
  kodolly config show --config other.yaml
"""


@click.group("config", epilog=EPILOG)
def command() -> None:
    """Show every setting and where its value comes from."""


@command.command("show", epilog=EPILOG)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def show(config: Path | None) -> None:
    """Print `section.setting = value  (source)`; secrets stay hidden, also those in URLs."""
    from common.settings import load_with_sources
    from common.settings_display import displayed
    from controller.settings import ControllerSettings
    from documents.service.settings import DocumentsSettings
    from kodolly.environment_names import unknown_names
    from kodolly.stack.parts import UpSettings
    from server.settings import GatewaySettings
    from webui.settings import WebuiSettings
    from worker.settings import WorkerSettings

    parts = (UpSettings, ControllerSettings, GatewaySettings, WorkerSettings, WebuiSettings)
    for cls in (*parts, DocumentsSettings):
        # A required secret that is missing must not keep the rest from being shown.
        required = [name for name, field in cls.model_fields.items() if field.is_required()]
        settings, sources = load_with_sources(cls, {}, config, fill_in=dict.fromkeys(required, "missing"))
        for name in sorted(cls.model_fields):
            missing = name in required and sources[name] == "default"
            value = "(required, not set)" if missing else displayed(getattr(settings, name))
            echo_line(f"{cls.section}.{name} = {value}  ({sources[name]})")
    for unknown in unknown_names():
        echo_line(str(unknown), err=True)
