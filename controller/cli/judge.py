"""`judge`: the evaluator as a filter. Reports in, decisions out, one JSON line for each; no clock, no network."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import click

from controller.cli.failure import Exit, Failure
from controller.core.spec import Service
from controller.core.specfile import read_service
from controller.simulation.reports import BadReport, read_report, write_look
from controller.simulation.trial import Trial

MAX_RUNS = 10_000


@click.command()
@click.option("-f", "--file", "path", required=True, metavar="FILE", help="The service file whose policy judges.")
@click.option(
    "--runs",
    type=click.IntRange(1, MAX_RUNS),
    default=1,
    show_default=True,
    help='Independent rollouts in one process; each line names its own: "run": 0.',
)
def judge(path: str, runs: int) -> None:
    """Judge reports: JSON lines on standard input, a decision for each on standard output.

    In: {"t": seconds, "stable": S, "canary": C}, S and C null (no report) or {"started": 95, "ok": 90,
    "errors": {"5xx": 1, "4xx": 4}, "latency": [[upper edge in ms, count], ..., [null, count]]}: what happened since the
    line before. The weight that is printed is the one to serve from then on.
    """
    service = declared(path)
    tell_left_out(service)
    run_judge(sys.stdin.buffer, sys.stdout, service, runs)


def run_judge(lines: Iterable[bytes], out: TextIO, service: Service, runs: int = 1) -> None:
    """Answer every line at once; `Failure` names the line and the field of the first one that cannot be understood."""
    trials: dict[int, Trial] = {}
    last: dict[int, float] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            report = read_report(line)
            if report.run not in trials and len(trials) == runs:
                raise BadReport("run", f"{report.run} is one more than the {runs} of --runs")
            if report.t < last.get(report.run, report.t):
                raise BadReport("t", f"time goes on: {report.t:g} follows {last[report.run]:g}")
        except BadReport as error:
            raise Failure(Exit.USAGE, f"line {number}: {error}", code="INVALID") from None
        last[report.run] = report.t
        trial = trials.setdefault(report.run, Trial(service)) if report.run not in trials else trials[report.run]
        answer = write_look(report.t, trial.look(report.t, report.stable, report.canary))
        if runs > 1:
            answer["run"] = report.run
        out.write(json.dumps(answer, ensure_ascii=False) + "\n")
        out.flush()


def tell_left_out(service: Service) -> None:
    """Say on standard error which of the policy's metrics are not judged where there is no Prometheus to ask."""
    names = ", ".join(metric.name for metric in service.policy.metrics)
    if names:
        click.echo(f"note: not judged here, since there is no Prometheus to ask: {names}", err=True)


def declared(path: str) -> Service:
    """The service in a file, ready to be judged; `Failure` says what is wrong with it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(Exit.USAGE, f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Failure(Exit.USAGE, f"{path}: not UTF-8 at byte {error.start}") from None
    linted = read_service(text)
    if linted.service is None:
        raise Failure(
            Exit.USAGE, f"{path} is not a valid service file", code="INVALID", violations=linted.violations, file=path
        )
    if len(linted.service.versions) < 2:
        raise Failure(Exit.USAGE, f"{path} declares one version: there is no canary to judge", code="INVALID")
    return linted.service
