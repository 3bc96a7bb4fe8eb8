"""`judge`: the evaluator as a filter. Reports in, decisions out, one JSON line for each; no clock, no network."""

import json
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any, TextIO

import click

from controller.cli.failure import Exit, Failure
from controller.cli.input_files import InvalidFiles, read_text
from controller.cli.invocation import output_option
from controller.core.model.service import Service
from controller.core.servicefile.service_file import read_service
from controller.simulation.report_lines import MAX_LINE, BadReport, ReportLine, decision_line, read_report
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
@output_option
def judge(path: str, runs: int) -> None:
    """Judge reports: JSON lines on standard input, a decision for each on standard output.

    In: {"t": seconds, "stable": S, "canary": C}, S and C null (no report) or {"started": 95, "ok": 90,
    "errors": {"5xx": 1, "4xx": 4, "broken": 0}, "latency": [[upper edge in ms, count], ..., [null, count]],
    "ttft": [[upper edge in ms, count], ...], "cancelled": 0, "in_progress": 3}: what happened since the line before,
    and the requests in progress now. "ttft" is judged where the service file says `streaming: true`. In place of the
    two, "strata": [{"name": ..., "stable": S, "canary": C}, ...] tells groups of proxies with different splits
    apart. The weight that is printed is the one to serve from then on.
    """
    if path == "-":
        raise Failure(Exit.USAGE, "-f -: standard input carries the reports; name the service file", code="INVALID")
    service = declared_service(path)
    warn_of_unjudged_metrics(service)
    # Line by line as they come, and no more of one than is allowed.
    lines = iter(partial(sys.stdin.buffer.readline, MAX_LINE + 2), b"")
    run_judge(lines, sys.stdout, service, runs)


def run_judge(lines: Iterable[bytes], out: TextIO, service: Service, runs: int = 1) -> None:
    """Answer every line at once; `Failure` names the line and the field of the first one that cannot be understood."""
    bench = Bench(service, runs)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            answer = bench.judge(read_report(line))
        except BadReport as error:
            raise Failure(Exit.USAGE, f"line {number}: {error}", code="INVALID") from None
        out.write(json.dumps(answer) + "\n")
        out.flush()


class Bench:
    """Up to `runs` independent rollouts, each with a clock of its own."""

    def __init__(self, service: Service, runs: int) -> None:
        self._service = service
        self._runs = runs
        self._trials: dict[int, Trial] = {}
        self._last: dict[int, float] = {}

    def judge(self, report: ReportLine) -> dict[str, Any]:
        """The answer to a report; `BadReport` if it comes too early, or is one run too many."""
        run = report.run or 0
        trial = self._trials.get(run)
        if trial is None:
            if len(self._trials) == self._runs:
                raise BadReport("run", f"{run} is one more than the {self._runs} of --runs")
            trial = self._trials[run] = Trial(self._service)
        elif report.t < self._last[run]:
            raise BadReport("t", f"time goes on: {report.t:g} follows {self._last[run]:g}")
        self._last[run] = report.t
        answer = decision_line(report.t, trial.tick_strata(report.t, report.strata))
        if report.run is not None or self._runs > 1:
            answer["run"] = run
        return answer


def warn_of_unjudged_metrics(service: Service) -> None:
    """Say on standard error which of the policy's metrics are not judged where there is no Prometheus to ask."""
    names = ", ".join(metric.name for metric in service.policy.metrics)
    if names:
        click.echo(f"note: not judged here, since there is no Prometheus to ask: {names}", err=True)


def declared_service(path: str) -> Service:
    """The service in a file, ready to be judged; `Failure` says what is wrong with it."""
    linted = read_service(read_text(path))
    if linted.service is None:
        raise InvalidFiles.one(path, linted.violations)
    if len(linted.service.versions) < 2:
        raise Failure(Exit.USAGE, f"{path} declares one version: there is no canary to judge", code="INVALID")
    return linted.service
