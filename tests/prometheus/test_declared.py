"""Custom metrics as settings define them and policies name them: what is wrong is refused, and named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.core.base.errors import Code, Refusal
from controller.core.control.commands import Command, Verb
from controller.core.model.actor import Actor
from controller.core.model.service import MetricPolicy
from controller.core.servicefile.service_file import read_service
from controller.core.traffic.window import Sample
from controller.demo.harness.child_processes import clean_environment
from controller.runtime.allowed import Allowed
from controller.runtime.operations import Operations
from controller.settings import read_settings
from controller.simulation.trial import Trial
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.support import preloaded
from tests.support.loop_harness import rollout_file

QUERY = """value = 'max(depth{version="{version}"})'"""


def declared(metrics: str) -> str:
    """A service file with these metrics."""
    return rollout_file() + f"  metrics: {metrics}\n"


def test_a_policy_names_metrics() -> None:
    """By name, with how much worse is allowed."""
    service = read_service(declared("[{name: accuracy, margin: 2%}, {name: queue}]")).service
    assert service
    assert service.policy.metrics == (MetricPolicy(name="accuracy", margin=0.02), MetricPolicy(name="queue"))


@pytest.mark.parametrize(
    ("metrics", "field", "said"),
    [
        ("accuracy", "policy.metrics", "a list is needed"),
        ("[accuracy]", "policy.metrics[0]", "a mapping is needed"),
        ("[{margin: 2%}]", "policy.metrics[0].name", "is missing"),
        ("[{name: accuracy, margin: 0}]", "policy.metrics[0].margin", "between"),
        ("[{name: accuracy, query: up}]", "policy.metrics[0].query", "unknown key"),
        ("[{name: accuracy, min: 5%, max: 2%}]", "policy.metrics[0].min", "is not below the maximum of 0.02"),
        ("[{name: accuracy, min: 5, max: 5}]", "policy.metrics[0].min", "no value lies between them"),
        ("[{name: accuracy, max: 101%}]", "policy.metrics[0].max", "between 0% and 100%"),
        ("[{name: accuracy, max: high}]", "policy.metrics[0].max", "a limit is a share such as 85%"),
        ("[{name: accuracy, max: -5%}]", "policy.metrics[0].max", "a limit is a share such as 85%"),
        ("[{name: accuracy, min: .inf}]", "policy.metrics[0].min", "a limit is a share such as 85%"),
        ("[{name: 'up{}'}]", "policy.metrics[0].name", "a name has 1 to 63"),
        ("[{name: accuracy}, {name: accuracy}]", "policy.metrics", "accuracy"),
        ("[" + ", ".join(f"{{name: m{n}}}" for n in range(11)) + "]", "policy.metrics", "at most 10"),
    ],
)
def test_what_is_wrong_is_named(metrics: str, field: str, said: str) -> None:
    """With its field; a query in a service file is an unknown key like any other."""
    linted = read_service(declared(metrics))
    assert linted.service is None
    assert any(v.field == field and said in v.message for v in linted.violations), linted.violations


def test_a_metric_may_have_absolute_limits() -> None:
    """Shares, or numbers in the metric's unit, which may be negative; null is none."""
    service = read_service(
        declared(
            "[{name: accuracy, min: 85%, max: null}, {name: refused, max: 5%}, {name: drift, min: -0.5, max: 250}]"
        )
    ).service
    assert service
    assert [(m.min, m.max) for m in service.policy.metrics] == [(0.85, None), (None, 0.05), (-0.5, 250.0)]


async def test_a_limit_of_a_rate_is_a_share() -> None:
    """Which metrics are rates is known to the settings: above 100 % is refused when the file is applied."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    operations = Operations(store, clock, Allowed(metrics=("accuracy", "queue"), rates=("accuracy",)))
    with pytest.raises(Refusal) as refused:
        await operations.apply(declared("[{name: queue, max: 250}, {name: accuracy, max: 1.5}]"), who=Actor("alice"))
    (violation,) = refused.value.violations
    assert (violation.field, violation.message) == (
        "policy.metrics[1].max",
        "accuracy is a rate: its limits lie between 0% and 100%",
    )
    await operations.apply(declared("[{name: queue, max: 250}, {name: accuracy, max: 0.5}]"), who=Actor("alice"))


async def test_a_metric_that_the_settings_do_not_have_is_refused() -> None:
    """When the file is applied; and at the start, if it has gone since."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    having, lacking = Operations(store, clock, Allowed(metrics=("accuracy",))), Operations(store, clock)
    text = declared("[{name: accuracy}]")
    with pytest.raises(
        Refusal, match="accuracy: not a metric of the controller's settings, which have none"
    ) as refused:
        await lacking.apply(text, who=Actor("alice"))
    assert [violation.field for violation in refused.value.violations] == ["policy.metrics"]
    await having.apply(text, who=Actor("alice"))
    with pytest.raises(Refusal, match="cannot be kept: accuracy") as refused:
        await lacking.act("scorer", Command(Verb.START, "because", "v2"), who=Actor("alice"))
    assert refused.value.code is Code.NOT_POSSIBLE


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What is said of a settings file."""

    def say(text: str) -> str:
        path = tmp_path / "haldane.toml"
        path.write_text(text)
        monkeypatch.setenv("HALDANE_CONFIG", str(path))
        with pytest.raises(Refusal) as refusal:
            read_settings()
        return refusal.value.message

    return say


@pytest.mark.proves("track-record 14", "track-record 17")
def test_settings_that_cannot_be_read_are_refused(refused: Callable[[str], str]) -> None:
    """No address, a rate without its counters, a place outside of a label's value, more than there is, a name that is
    taken, readings so seldom that a metric would be unknown between any two."""
    address = 'prometheus = "http://127.0.0.1:9090"\n'
    assert "metrics: without `prometheus`" in refused(f"[metrics.queue]\nkind = 'gauge'\n{QUERY}\n")
    assert "a rate has `events` and `total`" in refused(f"{address}[metrics.queue]\nkind = 'rate'\n{QUERY}\n")
    assert "metrics.queue.value: " in refused(f"{address}[metrics.queue]\nkind = 'gauge'\nvalue = 'up{{version}}'\n")
    too_many = f"{address}[metrics.queue]\nkind = 'gauge'\n{QUERY}\nworse_in = 6\n"
    assert "`worse_in` is at most `readings`" in refused(too_many)
    assert "prometheus: " in refused('prometheus = "file:///etc/passwd"\n')
    assert "5xx is the name of a built-in channel" in refused(f"{address}[metrics.5xx]\nkind = 'gauge'\n{QUERY}\n")
    assert "prometheus_interval: " in refused(f"prometheus_interval = '2m'\n{address}")
    assert "prometheus_timeout: " in refused(f"prometheus_timeout = '1m'\n{address}")


def test_judging_without_a_prometheus_leaves_them_out() -> None:
    """`haldane judge` and `simulate` have none to ask: a metric that is never read would hold every step. The part of
    the error budget that is theirs stays free, as in truth."""
    service = read_service(declared("[{name: accuracy}]")).service
    assert service
    trial = Trial(service)
    assert trial.rollout.policy.metrics == ()
    assert trial.rollout.policy.false_rollback == 0.8 * service.policy.false_rollback
    stable, canary = (Sample(n, n, {"5xx": 0, "4xx": 0}) for n in (400, 100))
    for second in range(1, 60):
        trial.tick(float(second), stable, canary)
    assert trial.rollout.step == 1


@pytest.mark.parametrize("command", [["judge"], ["simulate", "--runs", "1", "--duration", "1s"]])
def test_what_is_left_out_is_said(command: list[str], tmp_path: Path) -> None:
    """On standard error, so that what is read by programs stays as it is; and nothing where nothing is left out."""
    path = tmp_path / "scorer.yaml"
    for text, said in ((declared("[{name: accuracy}, {name: queue}]"), "accuracy, queue"), (declared("[]"), "")):
        path.write_text(text)
        done = preloaded.run(*command, "-f", str(path), env=clean_environment())
        assert done.code == 0
        note = f"note: not judged here, since there is no Prometheus to ask: {said}\n"
        assert done.err == (note if said else "")
        assert "note:" not in done.out
