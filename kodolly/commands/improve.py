"""`kodolly improve`."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from common.registry import LEAST_SHARE, Sticky
from kodolly.echo import echo_line
from kodolly.finite_range import FiniteRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kodolly.improve.journal import Journal, Options
    from kodolly.improve.plan import Prepared, Wanted
    from kodolly.operate.canary import Site

EPILOG = """\b
Examples:
  kodolly improve my-dolly --replay dolly-ko.jsonl --dry-run
  kodolly improve my-dolly --replay dolly-ko.jsonl
  kodolly improve my-dolly --replay dolly-ko.jsonl --unattended    (from cron)
  kodolly improve my-dolly --no-deploy --checkpoint runs/my-dolly

\b
Exit codes:
  0 promoted, or with --no-deploy every gate is passed
  2 something is wrong    3 too little feedback    4 people have not decided yet
  10 preference   11 old rows   12 tasks   13 length   14 stop   15 ethics: the gate that was not passed
  16 withdrawn: people preferred the old one, or did not decide in time
  17 withdrawn: the canary's worker died          18 somebody took the canary away
"""
TOO_LITTLE = 3
FILES = click.Path(path_type=Path, exists=True)


@click.command("improve", epilog=EPILOG)
@click.argument("name")
@click.argument("vllm_args", nargs=-1, type=click.UNPROCESSED)
@click.option("--replay", type=FILES, help="Earlier rows, against forgetting and to measure it.")
@click.option(
    "--replay-share",
    type=FiniteRange(0, 100),
    default=1.0,
    show_default=True,
    help="Earlier rows for each new one, but 500 at least where there are as many; 0 for none.",
)
@click.option("--checkpoint", type=FILES, help="Directory of what serves NAME.  [default: as deployed]")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
@click.option("--dry-run", is_flag=True, help="Show counts, method, cost and gates; change nothing.")
@click.option("--unattended", is_flag=True, help="Do not wait for votes; the next call looks again.")
@click.option("--deploy/--no-deploy", default=True, help="Let people decide on a canary.  [default: deploy]")
@click.option(
    "--share",
    type=FiniteRange(LEAST_SHARE, 100 - LEAST_SHARE),
    default=10.0,
    show_default=True,
    metavar="PERCENT",
    help="Of NAME's traffic for the canary.",
)
@click.option("--sticky", type=click.Choice(get_args(Sticky)), default="user", show_default=True)
@click.option(
    "--days",
    type=FiniteRange(0, min_open=True),
    default=14.0,
    show_default=True,
    help="After these without a decision the canary is withdrawn.",
)
@click.option(
    "--max-forgotten",
    type=FiniteRange(0, 1),
    default=0.05,
    show_default=True,
    help="F1 that may be lost on earlier rows.",
)
@click.option(
    "--max-task-loss",
    type=FiniteRange(0, 1),
    default=0.02,
    show_default=True,
    help="Macro F1 that each KoBEST task may lose.",
)
@click.option(
    "--max-longer",
    type=FiniteRange(0),
    default=0.5,
    show_default=True,
    help="Part by which answers may grow longer.",
)
@click.option("--kobest", type=FILES, help="Folder of KoBEST's tables.")
@click.option(
    "--task", "kobest_tasks", multiple=True, help="Of KoBEST; may be repeated.  [default: boolq, copa]"
)
@click.option("--ethics", type=FILES, help="Rows (.jsonl) whose instructions are asked.")
@click.option("--moderation", type=FILES, help="Moderation model that judges the answers to --ethics.")
@click.option("--gateway", metavar="URL", help="The gateway to ask.  [default: that of the settings]")
@click.option("--controller", "controllers", multiple=True, metavar="URL", help="May be repeated.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    name: str,
    replay: Path | None,
    replay_share: float,
    checkpoint: Path | None,
    runs: Path,
    dry_run: bool,
    unattended: bool,
    gateway: str | None,
    controllers: tuple[str, ...],
    config: Path | None,
    **options: Any,
) -> None:
    """Make NAME better from what people said of its answers: train, judge, let people decide, take over.

    Feedback on the checkpoint that serves NAME now, which no training has used, is trained on by the method
    that fits it. The result must pass every gate; then it answers a share of NAME's traffic until people's
    blind votes between both decide. It is promoted, or withdrawn. A turn lies in RUNS/improve-N with its
    report.html; one that was broken off goes on when the same command is given again, with the options it
    was begun with. Flags after `--` go to the canary's vLLM.
    """
    from kodolly.clients.controller_access import find_gateway
    from kodolly.improve.plan import TooLittle, Wanted
    from kodolly.improve.turn import lock_of

    chosen = _options(options)
    site = partial(_site, controllers, config)
    wanted = Wanted(name, find_gateway(gateway, config), runs, checkpoint, replay, replay_share)
    try:
        if dry_run:
            _show(wanted, site(chosen.deploy), chosen)
            return
        with lock_of(runs) as lock:
            sys.exit(_turn(wanted, site, chosen, not unattended, lock))
    except TooLittle as error:
        echo_line(f"kodolly: {error}", err=True)
        sys.exit(TOO_LITTLE)


def _options(given: dict[str, Any]) -> "Options":
    from kodolly.improve.journal import Options

    if (given["ethics"] is None) != (given["moderation"] is None):
        raise click.UsageError("--ethics and --moderation are given together.")
    for key in ("ethics", "moderation", "kobest"):
        given[key] = None if given[key] is None else str(given[key].resolve())
    given["kobest_tasks"] = given["kobest_tasks"] or (("boolq", "copa") if given["kobest"] else ())
    return Options(**given)


def _site(controllers: tuple[str, ...], config: Path | None, deploys: bool) -> "Site | None":
    from kodolly.commands.deploy import site_of

    return site_of(controllers, config) if deploys else None


def _turn(
    wanted: "Wanted", site: "Callable[[bool], Site | None]", options: "Options", wait: bool, lock: int
) -> int:
    """Go on with the turn that is open, else begin one; its exit code. `site` tells where to deploy, or with
    False that nothing is."""
    from kodolly.improve.journal import journals
    from kodolly.improve.plan import prepare
    from kodolly.improve.rolled_out import note_rolled_out
    from kodolly.improve.turn import Taking, begin, take

    def say(line: str) -> None:
        echo_line(line, err=True)

    open_turns = [one for one in journals(wanted.runs, wanted.name) if one.content.decision is None]
    if open_turns:
        journal = open_turns[-1]
        say(f"going on with {journal.directory.name}")
    else:
        note_rolled_out(wanted.runs, wanted.name, wanted.gateway, say)
        prepared = prepare(wanted, site(options.deploy))
        _tell(prepared, options, list(journals(wanted.runs, wanted.name)))
        journal = begin(prepared, options, wanted.runs)
    code = take(journal, Taking(site(journal.content.options.deploy), say, wait, lock))
    _told(journal)
    return code


def _told(journal: "Journal") -> None:
    content = journal.content
    if content.decision is None:
        echo_line(f"{journal.directory.name}: people have not decided yet; call again later")
        return
    echo_line(f"{journal.directory.name}: {content.decision}: {content.words}")
    echo_line(f"Report: {journal.directory / 'report.html'}")


def _show(wanted: "Wanted", site: "Site | None", options: "Options") -> None:
    from kodolly.improve.journal import journals
    from kodolly.improve.plan import prepare

    turns = list(journals(wanted.runs, wanted.name))
    for journal in turns:
        if journal.content.decision is None:
            steps = ", ".join(journal.content.steps) or "nothing"
            echo_line(f"{journal.directory.name} is under way (done: {steps}) and would go on.")
            return
    _tell(prepare(wanted, site), options, turns)


def _tell(prepared: "Prepared", options: "Options", turns: "Sequence[Journal]") -> None:
    """The plan, before anything is changed."""
    from kodolly.improve.cost import training_time

    plan = prepared.plan
    echo_line(f"{plan.name}: checkpoint {plan.checkpoint} in {plan.base}")
    for what, count in plan.counts.items():
        echo_line(f"  {what.replace('_', ' ')}: {count}")
    for reason, count in plan.left_out.items():
        echo_line(f"  left out: {count} ({reason})")
    echo_line(f"Method: {plan.method}, as {plan.why}; {plan.replayed} earlier rows are mixed in.")
    rows = {"lora": len(prepared.rows.made.rows), "dpo": plan.counts["pairs"]}
    learnt = rows.get(plan.method, len(prepared.rows.made.labelled)) + plan.replayed
    time = training_time(prepared, learnt, turns)
    asked = len(prepared.rows.questions())
    echo_line(f"Cost: {learnt} rows, {time}; a merge, {asked} answers of both checkpoints.")
    told = [
        "held-out preferences up (p <= 0.05)",
        f"earlier rows: F1 -{options.max_forgotten:g} at most",
        f"length +{options.max_longer:.0%} at most",
        "answers end by themselves (-2% at most)",
    ]
    if options.kobest:
        told.append(f"KoBEST {', '.join(options.kobest_tasks)}: -{options.max_task_loss:g} at most")
    if options.ethics:
        told.append("not more unethical answers")
    echo_line(f"Gates: {'; '.join(told)}.")
    if options.deploy:
        echo_line(f"Then a canary with {options.share:g}% of the traffic, for {options.days:g} days at most.")
