"""The metrics of running rollouts and of stable versions: what alerts ask about.

What the store holds is shown by every controller; verdicts, evidence and blockers by the one that decides. Labels are
services, and the words of `BlockerKind`.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from controller.core.control.automation import rollback_is_suppressed
from controller.core.judge.verdict import Outcome
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.ports.observatory import Live


def stored_families(view: View) -> Iterable[Metric]:
    """What the store holds of each rollout, one family each."""
    suppressed = _gauge("haldane_rollback_suppressed", "1 while a freeze stops a rollback that harm demands")
    entered = _gauge("haldane_rollout_entered_timestamp_seconds", "When a running rollout entered its phase or step")
    limit = _gauge("haldane_evidence_limit", "E-value of all channels together at which harm is shown")
    for state in view.services.values():
        rollout = state.rollout
        stopped = rollout is not None and rollback_is_suppressed(rollout, view.freezes)
        suppressed.add_metric([state.name], float(stopped))
        if rollout:
            limit.add_metric([state.name], 1 / rollout.policy.false_rollback)
        if rollout and rollout.running:
            entered.add_metric([state.name], rollout.entered_at)
    return suppressed, entered, limit


def live_families(states: Iterable[ServiceState], lives: Mapping[str, Live]) -> Iterable[Metric]:
    """What is known of each service besides what is stored, one family each. `lives` are by service."""
    blocked = _gauge("haldane_rollout_blocked", "1 for what keeps a running rollout from its next move", "blocker")
    blind = _gauge("haldane_blind", "1 while no proxy reports on a version of a running rollout")
    unhealthy = _gauge("haldane_stable_unhealthy", "1 while stable breaks the absolute limits of its policy")
    evidence = _gauge("haldane_evidence", "E-value of harm; of a rollout that is over, the last", "channel")
    combined = _gauge("haldane_evidence_combined", "E-value of harm of all channels together")
    for state in states:
        live, running = lives[state.name], state.rollout is not None and state.rollout.running
        if running and live.blocker:
            blocked.add_metric([state.name, live.blocker.kind], 1)
        if live.verdict:
            blind.add_metric([state.name], float(running and live.verdict.blind))
        if live.stable:
            unhealthy.add_metric([state.name], float(live.stable.outcome is Outcome.HARM))
        for channel, value in live.evidence.items():
            evidence.add_metric([state.name, channel], value)
        if live.total_evidence is not None:
            combined.add_metric([state.name], live.total_evidence)
    return blocked, blind, unhealthy, evidence, combined


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["service", *labels])
