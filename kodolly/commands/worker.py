"""`kodolly worker`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly worker runs/my-dolly
  kodolly worker runs/my-dolly --name my-dolly --port 21005 --controller http://10.0.0.5:21001
  kodolly worker runs/my-dolly --host 0.0.0.0 --advertise-url http://10.0.0.7:21002
  kodolly worker runs/my-dolly -- --max-model-len 2048 --gpu-memory-utilization 0.8
"""


@click.command("worker", epilog=EPILOG)
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.argument("vllm_args", nargs=-1, type=click.UNPROCESSED)
@click.option("--name", help="Name to serve the model under.  [default: the checkpoint's own]")
@click.option("--host", help="Address the engine listens on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the engine.  [default: 21002]")
@click.option(
    "--advertise-url", metavar="URL", help="Where gateways reach the engine.  [default: http://host:port]"
)
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to join; may be repeated."
)
@click.option("--cpu-cores", metavar="LIST", help="CPU engine: cores to bind its threads to, e.g. 0-3.")
@click.option("--cpu-threads", type=click.IntRange(min=1), help="CPU engine: threads.  [default: one a core]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    model_dir: Path,
    vllm_args: tuple[str, ...],
    name: str | None,
    host: str | None,
    port: int | None,
    advertise_url: str | None,
    controllers: tuple[str, ...],
    cpu_cores: str | None,
    cpu_threads: int | None,
    config: Path | None,
) -> None:
    """Serve the checkpoint MODEL_DIR with vLLM and register it; flags after `--` go to vLLM."""
    import asyncio

    from common.logs import configure_logging
    from common.serve import check_port
    from common.settings import load_settings
    from worker.engine import vllm_command
    from worker.model_dir import describe_model
    from worker.settings import WorkerSettings
    from worker.supervisor import Supervisor

    flags = {
        "host": host,
        "port": port,
        "advertise_url": advertise_url,
        "controllers": controllers or None,
        "cpu_cores": cpu_cores,
        "cpu_threads": cpu_threads,
    }
    settings = load_settings(WorkerSettings, flags, config)
    card = describe_model(model_dir, name)
    engine = vllm_command(settings, model_dir, card.name, vllm_args)
    check_port(settings.host, settings.port, "--port")
    configure_logging(settings.log_level, settings.log_format)

    async def run() -> None:
        await Supervisor(settings, engine, [card]).run()

    asyncio.run(run())
