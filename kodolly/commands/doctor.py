"""`kodolly doctor`."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.escape import escape_controls
from kodolly.echo import echo_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kodolly.doctor.doctor import Finding

EPILOG = """\b
Examples:
  kodolly doctor
  kodolly doctor --json
  kodolly doctor --docker docker      before `docker compose up` in that directory
  kodolly doctor --part worker        what the containers ask before they start
  kodolly doctor --part gateway -- --static my-model=http://10.0.0.7:8001
"""

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "red")}


@click.command("doctor", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--part",
    type=click.Choice(["controller", "gateway", "documents", "webui", "worker"]),
    help="Only whether this part can start here.",
)
@click.option(
    "--docker",
    type=click.Path(path_type=Path, file_okay=False),
    help="Only whether the compose.yaml in this directory can run on this machine.",
)
@click.option("--quiet", is_flag=True, help="Print only what is not well.")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def command(
    as_json: bool, part: str | None, docker: Path | None, quiet: bool, flags: tuple[str, ...]
) -> None:
    """Check this machine and every running part; each line ends with the fix. Exit code 1 when one fails.

    With --part, FLAGS after `--` are those that the part would be started with.
    """
    if part and docker:
        raise click.UsageError("--part and --docker are two questions: ask one.")
    if flags and not part:
        raise click.UsageError("Flags of a part make sense with --part only.")
    findings = []
    for finding in _examine(part, docker, flags):
        findings.append(finding)
        if not as_json and not (quiet and finding.level == "ok"):
            mark, colour = MARKS[finding.level]
            fix = f"  -> {finding.fix}" if finding.fix else ""
            said = escape_controls(f"{finding.what}: {finding.found}{fix}")
            click.echo(f"{click.style(mark, fg=colour)}  {said}")
    if as_json:
        echo_json([dataclasses.asdict(f) for f in findings])
    sys.exit(1 if any(f.level == "fail" for f in findings) else 0)


def _examine(part: str | None, docker: Path | None, flags: tuple[str, ...]) -> "Iterator[Finding]":
    if part:
        from kodolly.doctor.parts import examine_part

        return examine_part(part, flags)
    if docker:
        from kodolly.doctor.docker import examine_docker

        return examine_docker(docker)
    from kodolly.doctor.doctor import examine

    return examine()
