"""`kodolly up`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kodolly.stack.parts import Ports, UpSettings

EPILOG = """\b
Examples:
  kodolly up --demo                      train two small models, serve and compare them
  kodolly up runs/my-dolly               serve this checkpoint
  kodolly up --config kodolly.yaml       workers as listed under `up.workers`
  kodolly up --demo --port 8080 -v       another API port; the engines' log lines too
"""

PORT = click.IntRange(1, 65535)


@click.command("up", epilog=EPILOG)
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--demo", is_flag=True, help="Train (once) and serve the bundled demo models; needs no GPU, no key."
)
@click.option("--port", type=PORT, help="Port of the API.  [default: 8000]")
@click.option("--ui-port", type=PORT, help="Port of the web UI.  [default: 7860]")
@click.option("--controller-port", type=PORT, help="Port of the controller.  [default: 21001]")
@click.option("--worker-port", type=PORT, help="Port of the first worker.  [default: 21002]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
@click.option(
    "-v", "--verbose", is_flag=True, help="Show the engines' log lines too (they are always in the files)."
)
def command(
    models: tuple[Path, ...],
    demo: bool,
    port: int | None,
    ui_port: int | None,
    controller_port: int | None,
    worker_port: int | None,
    config: Path | None,
    verbose: bool,
) -> None:
    """Start controller, workers, gateway and web UI; Ctrl-C stops them all.

    MODELS are checkpoint directories to serve, one worker each.
    """
    import asyncio

    from common.settings import load_settings
    from kodolly.console import Console
    from kodolly.stack.parts import UpSettings, WorkerSpec, build_parts
    from kodolly.stack.up import check_models, check_ports, require_installed, run_stack

    settings = load_settings(UpSettings, {"worker_port": worker_port}, config)
    ports = _ports(settings, controller_port, port, ui_port, config)
    require_installed(demo)
    workers = (*settings.workers, *(WorkerSpec(model=model) for model in models))
    check_models([spec.model for spec in workers])
    check_ports(ports, len(workers) + 2 * demo)
    console = Console(verbose=verbose)
    if demo:
        from kodolly.stack.demo import demo_workers

        workers = (*workers, *demo_workers(settings.state_dir))
    settings = settings.model_copy(update={"workers": workers})
    asyncio.run(run_stack(settings, build_parts(settings, ports, config), ports, config, console))


def _ports(
    settings: "UpSettings",
    controller: int | None,
    gateway: int | None,
    webui: int | None,
    config: Path | None,
) -> "Ports":
    """Each part's port: as asked for, else as its settings say."""
    from common.settings import load_settings
    from controller.settings import ControllerSettings
    from kodolly.document_store import missing_libraries
    from kodolly.stack.parts import Ports, join_token
    from server.settings import GatewaySettings
    from webui.settings import WebuiSettings

    token = join_token(settings.state_dir)
    return Ports(
        controller=load_settings(ControllerSettings, {"port": controller, "join_token": token}, config).port,
        gateway=load_settings(GatewaySettings, {"port": gateway}, config).port,
        webui=load_settings(WebuiSettings, {"port": webui}, config).port,
        first_worker=settings.worker_port,
        documents=_documents_port(config) if settings.documents and not missing_libraries() else None,
    )


def _documents_port(config: Path | None) -> int:
    from common.settings import load_settings
    from documents.service.settings import DocumentsSettings

    return load_settings(DocumentsSettings, {"token": "not needed here"}, config).port
