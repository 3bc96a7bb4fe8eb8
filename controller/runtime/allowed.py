"""What the settings allow service files to say, and how much there may be."""

from collections.abc import Collection
from dataclasses import dataclass

from controller.core.base.errors import Violation
from controller.core.model.endpoint_source import KubernetesSource
from controller.core.model.service import Service
from controller.core.routing.own_addresses import OwnAddress, occupied


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the settings allow: the names of hooks and metrics that policies may use, and how much there may be.

    Two requests at the same moment can exceed a maximum by one.
    """

    hooks: Collection[str] = ()
    metrics: Collection[str] = ()
    rates: Collection[str] = ()
    """Those of the metrics that are rates."""
    own: Collection[OwnAddress] = ()
    """The controller's own addresses, where no service may listen."""
    kubernetes: bool = False
    """Whether there is an API server of Kubernetes to read endpoints from."""
    max_services: int = 1000
    max_freezes: int = 1000

    def violations(self, spec: Service) -> list[Violation]:
        """Everything in a service that these settings do not allow."""
        taken = occupied(spec.listen, self.own)
        place = [Violation("listen.port", taken)] if taken else []
        return [*place, *self._source_violations(spec), *self.policy_violations(spec)]

    def _source_violations(self, spec: Service) -> list[Violation]:
        named = [each.name for each in spec.versions if isinstance(each.source, KubernetesSource)]
        message = "this controller runs outside of Kubernetes: its setting kubernetes_api names the API server"
        return [Violation(f"versions.{name}.kubernetes", message) for name in named if not self.kubernetes]

    def policy_violations(self, spec: Service) -> list[Violation]:
        """The hooks and metrics that the policy names and the settings do not have, or cannot have so."""
        metrics = [metric.name for metric in spec.policy.metrics]
        wanted = (("hook", spec.policy.hooks, self.hooks), ("metric", metrics, self.metrics))
        violations = []
        for kind, names, there in wanted:
            if unknown := ", ".join(name for name in names if name not in there):
                known = ", ".join(sorted(there)) or "none"
                message = f"{unknown}: not a {kind} of the controller's settings, which have {known}"
                violations.append(Violation(f"policy.{kind}s", message))
        for i, metric in enumerate(spec.policy.metrics):
            for key, limit in (("max", metric.max), ("min", metric.min)):
                if metric.name in self.rates and limit is not None and not 0 <= limit <= 1:
                    message = f"{metric.name} is a rate: its limits lie between 0% and 100%"
                    violations.append(Violation(f"policy.metrics[{i}].{key}", message))
        return violations
