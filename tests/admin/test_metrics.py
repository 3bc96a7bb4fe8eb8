"""What Prometheus reads: every name and label of the contract, and zeros where the first event must count as a rise."""

import re
import subprocess

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from controller.core.control.automation import DecisionInputs, decide
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.commands import Command, Verb, execute
from controller.core.control.progress import Progress
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.actor import Actor
from controller.core.model.freeze import Freeze
from controller.core.model.service_state import ServiceState
from controller.core.model.store_errors import StoreLost
from controller.core.model.view import View
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.monitoring.current_state import MAX_FLEETS, CurrentState
from controller.monitoring.metrics import Metrics
from controller.monitoring.source_families import source_families
from controller.ports.fleet import ProxyStatus
from controller.ports.observatory import Live
from controller.ports.store_health import StoreHealth
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from tests.builders import service_file
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.observatory import FakeObservatory
from tests.support.exposition import SHARED, SOURCES, Counted, proxy, rolling, whole_exposition

pytestmark = pytest.mark.proves("track-record 20")

CONTRACT = {
    "haldane_weight": ("gauge", {"service", "version"}),
    "haldane_weight_ratio": ("gauge", {"service", "version"}),
    "haldane_phase": ("gauge", {"service", "phase"}),
    "haldane_frozen": ("gauge", {"scope"}),
    "haldane_rollbacks": ("counter", {"service", "reason"}),
    "haldane_rollbacks_suppressed": ("counter", {"service"}),
    "haldane_requests": ("counter", {"service", "version", "outcome"}),
    "haldane_evidence": ("gauge", {"service", "channel"}),
    "haldane_evidence_combined": ("gauge", {"service"}),
    "haldane_evidence_limit": ("gauge", {"service"}),
    "haldane_rollback_suppressed": ("gauge", {"service"}),
    "haldane_rollout_entered_timestamp_seconds": ("gauge", {"service"}),
    "haldane_rollout_blocked": ("gauge", {"service", "blocker"}),
    "haldane_blind": ("gauge", {"service"}),
    "haldane_stable_unhealthy": ("gauge", {"service"}),
    "haldane_request_duration_seconds": ("histogram", {"service", "version"}),
    "haldane_time_to_first_token_seconds": ("histogram", {"service", "version"}),
    "haldane_endpoints": ("gauge", {"service", "version", "state"}),
    "haldane_proxies": ("gauge", {"fleet", "state"}),
    "haldane_proxy_convergence_seconds": ("histogram", set()),
    "haldane_xds_rejects": ("counter", {"type"}),
    "haldane_report_interval_seconds": ("gauge", set()),
    "haldane_reports_ignored": ("counter", {"reason"}),
    "haldane_store_up": ("gauge", set()),
    "haldane_tick_seconds": ("histogram", set()),
    "haldane_cycles": ("counter", set()),
    "haldane_tick_errors": ("counter", set()),
    "haldane_build_info": ("gauge", {"version", "python"}),
}
"""As outside scripts and dashboards rely on them. A counter's series ends in `_total`."""


def exposed(
    metrics: Metrics,
    *proxies: ProxyStatus,
    freezes: tuple[Freeze, ...] = (),
    state: ServiceState | None = None,
    observatory: FakeObservatory | None = None,
) -> dict[str, float]:
    """What a scrape reads: series -> value. Of a service that was just started, or in that `state`."""
    state = state or rolling()
    view = View("store", 1, services={state.name: state}, freezes=freezes)
    observatory = observatory or FakeObservatory(view)
    metrics.registry.register(CurrentState(observatory, FakeFleet(proxies), Counted(), metrics, StoreHealth()))
    told = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            told[f"{sample.name}{{{labels}}}"] = sample.value
    return told


def complaints(exposition: bytes) -> str:
    """What promtool says of it; empty if all is well."""
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=exposition, capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode() or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def test_every_metric_of_the_contract_is_there_by_its_name_type_and_labels() -> None:
    """Before anything has happened at all; and nothing is exposed beside ours."""
    metrics = Metrics()
    metrics.registry.register(
        CurrentState(
            FakeObservatory(View("store", 1, services={"scorer": rolling()})),
            FakeFleet((proxy("edge"),)),
            Counted(),
            metrics,
            StoreHealth(),
        )
    )
    families = {f.name: f for f in text_string_to_metric_families(generate_latest(metrics.registry).decode())}
    assert {name: family.type for name, family in families.items() if name in CONTRACT} == {
        name: kind for name, (kind, _) in CONTRACT.items()
    }
    for name, (_, labels) in CONTRACT.items():
        for sample in families[name].samples:
            assert set(sample.labels) - {"le"} == labels, sample.name
    assert [name for name in families if not name.startswith("haldane_")] == []
    assert not re.search("_created", generate_latest(metrics.registry).decode())


async def test_the_endpoints_of_each_version_by_health() -> None:
    """Of those that proxies report on; of the others there is nothing to say."""
    metrics, state = Metrics(), rolling()
    observatory = FakeObservatory(View("store", 1, services={state.name: state}))
    await observatory.see(state.name, Live(endpoints={"v1": EndpointHealth(3, 5, 5, 2)}, sources=SOURCES))
    metrics.registry.register(CurrentState(observatory, FakeFleet(()), Counted(), metrics, StoreHealth()))
    told = generate_latest(metrics.registry).decode()
    assert 'haldane_endpoints{service="scorer",state="healthy",version="v1"} 3.0' in told
    assert 'haldane_endpoints{service="scorer",state="unhealthy",version="v1"} 2.0' in told
    assert 'version="v2"} ' not in told.partition("# TYPE haldane_endpoints")[2].partition("# HELP")[0]


def test_sources_are_up_while_they_are_watched_and_have_a_number_once_they_were_read() -> None:
    """Away with what was read last, empty, never read, and known from before a restart are four things."""
    families = source_families({"scorer": Live(sources=SOURCES, shared=SHARED)})
    assert {(s.name, s.labels["version"]): s.value for family in families for s in family.samples} == {
        ("haldane_source_up", "v1"): 0,
        ("haldane_source_up", "v2"): 1,
        ("haldane_source_up", "v3"): 0,
        ("haldane_source_up", "v4"): 0,
        ("haldane_source_endpoints", "v1"): 1,
        ("haldane_source_endpoints", "v2"): 0,
        ("haldane_source_endpoints", "v4"): 1,
        ("haldane_source_last_known_timestamp_seconds", "v4"): 8,
        ("haldane_source_shared_endpoints", "v1"): 1,
        ("haldane_source_shared_endpoints", "v2"): 1,
        ("haldane_source_shared_endpoints", "v3"): 0,
        ("haldane_source_shared_endpoints", "v4"): 0,
    }


@pytest.mark.requires("promtool")
async def test_names_types_and_units_are_by_the_conventions_of_prometheus() -> None:
    """`promtool check metrics` over everything that a controller exposes, with a series of each family."""
    text = await whole_exposition()
    empty = [family.name for family in text_string_to_metric_families(text.decode()) if not family.samples]
    assert empty == []
    assert complaints(text) == ""


def test_latencies_are_a_histogram_of_each_version_that_has_any_and_of_each_that_is_compared() -> None:
    """So that the first responses of a canary are a rise. Between two edges nothing is guessed."""
    told = exposed(Metrics())
    name = "haldane_request_duration_seconds"
    below = {edge: told[f"{name}_bucket{{le={edge},service=scorer,version=v1}}"] for edge in ("0.01", "0.02", "0.03")}
    assert below == {"0.01": 0, "0.02": 6, "0.03": 7}
    assert told[f"{name}_bucket{{le=60.0,service=scorer,version=v1}}"] == 7
    assert told[f"{name}_bucket{{le=+Inf,service=scorer,version=v1}}"] == 8
    assert told[f"{name}_count{{service=scorer,version=v1}}"] == 8
    assert told[f"{name}_sum{{service=scorer,version=v1}}"] == pytest.approx(60 + 6 * 0.0195 + 0.021)
    assert told[f"{name}_count{{service=scorer,version=v2}}"] == 0
    assert not any("version=v3" in series for series in told if series.startswith(name))
    tokens = {series for series in told if series.startswith("haldane_time_to_first_token_seconds_count")}
    assert tokens == {"haldane_time_to_first_token_seconds_count{service=scorer,version=v1}"}


def test_a_rollback_that_a_freeze_stops_shows_until_the_freeze_is_lifted() -> None:
    """Whatever else is frozen. Every controller shows it, since the store holds it."""
    freeze = Freeze(scope="*", reason="incident", who="ada", since=5.0)
    other = Freeze(scope="scorer", reason="release", who="eve", since=6.0)
    harm = Verdict(Outcome.HARM, (Reason("5xx", "40% errors"),))
    inputs = DecisionInputs(harm, Progress(), Sync(1, 1), lambda _: freeze)
    state = decide(rolling(), inputs, 1.0).state
    suppressed = "haldane_rollback_suppressed{service=scorer}"
    assert exposed(Metrics(), state=state, freezes=(other, freeze))[suppressed] == 1
    assert exposed(Metrics(), state=state, freezes=(other,))[suppressed] == 0
    assert exposed(Metrics(), freezes=(freeze,))[suppressed] == 0


async def test_what_the_last_tick_found_is_shown_by_the_controller_that_decides() -> None:
    """What blocks, whether it is blind, how much evidence there is and of how much harm is shown, how stable is."""
    state = rolling()
    observatory = FakeObservatory(View("store", 1, {state.name: state}))
    harm = Verdict(Outcome.HARM, (Reason("errors_max", "40% errors"),))
    blind = Verdict(Outcome.UNKNOWN, (Reason("blind", "no reports"),), blind=True)
    live = Live(blind, stable=harm, evidence={"5xx": 3.0}, total_evidence=2.5, blocker=Blocker(BlockerKind.SYNC))
    await observatory.see(state.name, live)
    told = exposed(Metrics(), observatory=observatory, state=state)
    assert told["haldane_rollout_blocked{blocker=sync,service=scorer}"] == 1
    assert told["haldane_blind{service=scorer}"] == told["haldane_stable_unhealthy{service=scorer}"] == 1
    assert told["haldane_evidence{channel=5xx,service=scorer}"] == 3.0
    assert told["haldane_evidence_combined{service=scorer}"] == 2.5
    assert told["haldane_evidence_limit{service=scorer}"] == 100
    assert told["haldane_rollout_entered_timestamp_seconds{service=scorer}"] == 0
    follower = exposed(Metrics(), state=state)
    assert not any(series.startswith(("haldane_blind", "haldane_rollout_blocked")) for series in follower)


def test_a_store_that_takes_no_changes_is_not_up() -> None:
    """At the scrape after the change that failed, until one is durable."""
    metrics, health = Metrics(), StoreHealth()
    metrics.registry.register(
        CurrentState(FakeObservatory(View("store", 1, {})), FakeFleet(()), Counted(), metrics, health)
    )
    assert "haldane_store_up 1.0" in generate_latest(metrics.registry).decode()
    health.failed(StoreLost("the disk is full"), writing=True)
    assert "haldane_store_up 0.0" in generate_latest(metrics.registry).decode()


def test_what_has_not_happened_yet_is_zero_and_not_absent() -> None:
    """`increase()` does not see a counter that begins with 1, and a panel of nothing says nothing."""
    told = exposed(Metrics(), proxy("edge"))
    assert told["haldane_rollbacks_total{reason=5xx,service=scorer}"] == 0
    assert told["haldane_rollbacks_suppressed_total{service=scorer}"] == 0
    assert told["haldane_xds_rejects_total{type=Cluster}"] == 0
    assert (told["haldane_frozen{scope=*}"], told["haldane_frozen{scope=scorer}"]) == (0, 0)
    assert (told["haldane_proxies{fleet=edge,state=SYNCED}"], told["haldane_proxies{fleet=edge,state=ERROR}"]) == (1, 0)
    assert told["haldane_weight{service=scorer,version=v3}"] == 0
    assert told["haldane_tick_seconds_count{}"] == 0


def test_what_happens_is_counted_by_service_and_reason() -> None:
    """A rollback by its cause, a suppressed one, a freeze by its scope."""
    metrics, state = Metrics(), rolling()
    verdict = Verdict(Outcome.HARM, (Reason("5xx", "40% errors"),))
    back = execute(state, Command(Verb.ROLLBACK, ""), 0.0)
    metrics.count_decision(state, back, verdict)
    metrics.count_decision(state, execute(state, Command(Verb.PAUSE, ""), 0.0), verdict)
    freeze = Freeze(scope="*", reason="incident", who="ada", since=0.0)
    told = exposed(metrics, freezes=(freeze,))
    assert told["haldane_rollbacks_total{reason=5xx,service=scorer}"] == 1
    assert sum(value for name, value in told.items() if name.startswith("haldane_rollbacks_total")) == 1
    assert (told["haldane_frozen{scope=*}"], told["haldane_frozen{scope=scorer}"]) == (1, 0)


@pytest.mark.parametrize(("verb", "counted"), [(Verb.ROLLBACK, 1), (Verb.PAUSE, 0)])
async def test_an_operators_rollback_is_counted_once_however_often_it_is_repeated(verb: Verb, counted: int) -> None:
    """A retry with the same request id is not another rollback; other commands are none."""
    metrics = Metrics()
    operations = Operations(MemoryStore(clock=FakeClock()), FakeClock(), on_outcome=metrics.count_command)
    await operations.apply(service_file(), who=Actor("ada"))
    await operations.act("scorer", Command(Verb.START, "", canary="v2"), who=Actor("ada"))
    for _ in range(2):
        await operations.act("scorer", Command(verb, ""), who=Actor("ada"), request_id="once")
    assert metrics.rollbacks["scorer", "operator"] == counted


def test_fleets_that_no_service_names_are_shown_and_bounded() -> None:
    """A service may be for every fleet, so a proxy's own word counts; but neither nonsense nor numbers without end."""
    many = [proxy(f"fleet{number:03}") for number in range(MAX_FLEETS + 5)]
    told = exposed(Metrics(), *many, proxy("Not A Name"))
    assert told["haldane_proxies{fleet=fleet000,state=SYNCED}"] == 1
    assert told["haldane_proxies{fleet=other,state=SYNCED}"] == 6
    assert sum(name.startswith("haldane_proxies") for name in told) == 4 * (MAX_FLEETS + 1)
