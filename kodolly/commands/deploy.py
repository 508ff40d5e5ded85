"""`kodolly deploy`."""

from pathlib import Path

import click

from common.registry import DRAIN_TIMEOUT_S

EPILOG = """\b
Examples:
  kodolly deploy my-dolly runs/my-dolly-2
  kodolly deploy my-dolly runs/my-dolly-2 --port 21010
  kodolly deploy my-dolly runs/my-dolly-2 -- --max-model-len 2048
"""


@click.command("deploy", epilog=EPILOG)
@click.argument("name")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("vllm_args", nargs=-1, type=click.UNPROCESSED)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the new engine.  [default: a free one]")
@click.option(
    "--timeout",
    "ready_timeout_s",
    type=click.FloatRange(1),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait for the new worker to become ready.",
)
@click.option(
    "--drain-timeout",
    "drain_timeout_s",
    type=click.FloatRange(0, 86400),
    default=DRAIN_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait for requests that run at the old workers.",
)
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to ask; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    name: str,
    checkpoint: Path,
    vllm_args: tuple[str, ...],
    port: int | None,
    ready_timeout_s: float,
    drain_timeout_s: float,
    controllers: tuple[str, ...],
    config: Path | None,
) -> None:
    """Serve CHECKPOINT under the model name NAME in place of what does so now; no request fails.

    The new worker starts beside the old ones; they are drained when it is ready. If it does not become
    ready, it is stopped and nothing has changed. The new worker belongs to the `kodolly up` of this state
    directory, if one runs; else it runs on in the background until `kodolly drain` stops it. Flags after
    `--` go to vLLM.
    """
    from kodolly.clients.controller_access import find_controllers
    from kodolly.echo import echo_line
    from kodolly.operate.deploy import Deployment, deploy

    wanted = Deployment(name, checkpoint, port, vllm_args, ready_timeout_s, drain_timeout_s)
    deploy(wanted, find_controllers(controllers, config), config, lambda line: echo_line(line, err=True))
