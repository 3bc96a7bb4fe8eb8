"""`simulate`: what a policy would do, before the first real canary. Virtual time, many rollouts, no network."""

import sys
from collections.abc import Callable, Iterable, Iterator

import click

from controller.cli.commands.judge import declared_service, warn_of_unjudged_metrics
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, output_option
from controller.cli.output import print_json, print_table
from controller.core.base.units import format_duration, format_weight, parse_duration, parse_share, to_basis_points
from controller.core.model.service import Service
from controller.simulation.play import PlayedRollout, Setting, play_often
from controller.simulation.plot import WIDTH, course
from controller.simulation.scenario import Scenario
from controller.simulation.scenarios import SCENARIOS, described
from controller.simulation.simulated_version import Server
from controller.simulation.summary import Summary, mean_bad_responses, summarize

MAX_RUNS = 100_000
FOREVER = 1e9


def duration(text: str) -> float:
    """Seconds, in the notation of service files."""
    return _read(parse_duration, text)


def share(text: str) -> float:
    """A share in 0..1, in the notation of service files."""
    return _read(parse_share, text)


def _read(parse: Callable[[object], float], text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("-f", "--file", "path", metavar="FILE", help="The service file whose policy is played.")
@click.option(
    "--scenario", "names", multiple=True, metavar="NAME", help="A named canary; --list shows them. Repeatable."
)
@click.option("--all", "every", is_flag=True, help="Every named canary.")
@click.option("--list", "listing", is_flag=True, help="Show the named canaries.")
@click.option("--errors", type=share, help="A canary of your own: its share of server errors, such as 2%.")
@click.option("--client-errors", type=share, help="Its share of client errors.")
@click.option("--slower", type=share, help="How much slower it is, such as 30%.")
@click.option("--hang", type=share, help="The share of requests that it never answers.")
@click.option("--stable-errors", type=share, default="0.1%", show_default=True, help="Stable's share of server errors.")
@click.option("--rps", type=click.FloatRange(0, 100_000), default=100.0, show_default=True, help="Requests a second.")
@click.option(
    "--runs", type=click.IntRange(1, MAX_RUNS), default=50, show_default=True, help="Rollouts of each canary."
)
@click.option(
    "--duration", type=duration, default="1h", show_default=True, help="The longest that a rollout is played."
)
@click.option("--tick", type=duration, default="1s", show_default=True, help="Between two reports.")
@click.option("--after", type=duration, default="0s", show_default=True, help="When the canary's fault sets in.")
@click.option("--hold", type=share, help="Stay at this share instead of the policy's steps.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed, the same rollouts.")
@output_option
@click.pass_obj
def simulate(
    call: Invocation, /, path: str | None, names: tuple[str, ...], every: bool, listing: bool, **more: float
) -> None:
    """Play a policy against a canary, often: chance of rollback and promotion, time, requests, bad answers served."""
    if listing:
        _list(call)
        return
    if path is None:
        raise Failure(Exit.USAGE, "-f FILE is needed: the service file whose policy is played")
    service = _without_approvals(_with_fixed_share(declared_service(path), more["hold"]))
    warn_of_unjudged_metrics(service)
    stable = Server(errors=more["stable_errors"])
    setting = Setting(more["rps"], more["duration"], more["tick"], more["after"], stable)
    if not 0.01 <= setting.tick <= 60 or setting.duration / setting.tick > 1e7:
        raise Failure(Exit.USAGE, "--tick: from 10ms to 60s, and at most 10 million of them in --duration")
    runs, seed = int(more["runs"]), int(more["seed"])
    summaries = []
    for scenario in _playable(_chosen_scenarios(names, every, more), names, service):
        played = list(_with_progress_bar(play_often(service, scenario, setting, runs, seed), scenario.name, runs))
        summaries.append(summarize(scenario, played, WIDTH))
    if call.json:
        print_json(_document(path, setting, seed, summaries))
    else:
        _print(summaries)


def _list(call: Invocation) -> None:
    if call.json:
        print_json({"canaries": [{"name": s.name, "about": s.about} for s in SCENARIOS.values()]})
    else:
        print_table(("NAME", "CANARY"), [(s.name, s.about) for s in SCENARIOS.values()])


def _with_fixed_share(service: Service, at: float | None) -> Service:
    """The service, with one step that never ends if a share is asked for."""
    if at is None:
        return service
    try:
        weight = to_basis_points(at)
    except ValueError as error:
        raise Failure(Exit.USAGE, f"--hold: {error}") from None
    if not 0 < weight < to_basis_points(1.0):
        raise Failure(Exit.USAGE, f"--hold: between 0% and 100%, not {format_weight(weight)}")
    policy = service.policy.model_copy(
        update={"steps": (weight,), "shadow": None, "dwell": FOREVER, "deadline": FOREVER, "approve": ()}
    )
    return service.model_copy(update={"policy": policy})


def _without_approvals(service: Service) -> Service:
    """The service without approvals: no one approves in virtual time, and a run would wait until its end."""
    if not service.policy.approve:
        return service
    click.echo("note: approvals are given at once here", err=True)
    return service.model_copy(update={"policy": service.policy.model_copy(update={"approve": ()})})


def _chosen_scenarios(names: tuple[str, ...], every: bool, more: dict[str, float]) -> list[Scenario]:
    """The canaries to play: those named, the one described, all of them; a healthy one if nothing is said."""
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise Failure(Exit.USAGE, f"there is no canary {unknown[0]!r}; --list shows them", code="INVALID")
    chosen = list(SCENARIOS.values()) if every else [SCENARIOS[name] for name in names]
    own = {key: more[key] for key in ("errors", "client_errors", "slower", "hang") if more[key] is not None}
    if own:
        chosen.append(described(own))
    return chosen or [SCENARIOS["healthy"]]


def _playable(scenarios: list[Scenario], names: tuple[str, ...], service: Service) -> list[Scenario]:
    """Those that fit the service: without `streaming: true` first tokens are not judged, and answers' lengths are."""
    unfit = [scenario.name for scenario in scenarios if scenario.streaming and not service.streaming]
    named = [name for name in unfit if name in names]
    if named:
        raise Failure(Exit.USAGE, f"{named[0]} is for streams: the service file needs streaming: true", code="INVALID")
    return [scenario for scenario in scenarios if scenario.name not in unfit]


def _with_progress_bar(played: Iterable[PlayedRollout], name: str, runs: int) -> Iterator[PlayedRollout]:
    """Tell a person at a terminal how far it is."""
    if not sys.stderr.isatty():
        yield from played
        return
    with click.progressbar(played, length=runs, label=f"{name:20}", file=sys.stderr) as bar:
        yield from bar


def _print(summaries: list[Summary]) -> None:
    head = (
        "CANARY",
        "ROLLED BACK",
        "PROMOTED",
        "NEITHER",
        "AFTER (median, p90)",
        "REQUESTS (median, mean)",
        "BAD (mean)",
    )
    print_table(head, [_row(summary) for summary in summaries])
    over_all = mean_bad_responses(summaries)
    if over_all is not None and len(summaries) > 1:
        click.echo(f"\nbad answers, geometric mean over the bad canaries: {over_all:.1f}")
    for summary in summaries:
        click.echo(f"\n{summary.name}: {summary.about}")
        if summary.causes:
            causes = ", ".join(f"{cause} {count}" for cause, count in summary.causes.items())
            click.echo(f"  rolled back for: {causes}")
        for line in course(summary):
            click.echo(line)


def _row(summary: Summary) -> tuple[str, ...]:
    neither = max(0.0, 1 - summary.rolled_back - summary.promoted)
    return (
        summary.name,
        f"{summary.rolled_back:.1%}",
        f"{summary.promoted:.1%}",
        f"{neither:.1%}",
        f"{format_duration(summary.seconds.median)}, {format_duration(summary.seconds.p90)}",
        f"{summary.requests.median:.0f}, {summary.requests.mean:.0f}",
        f"{summary.bad.mean:.1f}",
    )


def _document(path: str, setting: Setting, seed: int, summaries: list[Summary]) -> dict[str, object]:
    played = {"rps": setting.rps, "duration": setting.duration, "tick": setting.tick, "after": setting.onset}
    canaries = [summary.document() for summary in summaries]
    return {
        "file": path,
        "seed": seed,
        **played,
        "canaries": canaries,
        "bad_geometric_mean": mean_bad_responses(summaries),
    }
