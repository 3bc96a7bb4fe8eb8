"""One service as it stands: the record that the store compares and swaps."""

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.base.value import Value
from controller.core.model.followed import Followed
from controller.core.model.rollout import Rollout
from controller.core.model.service import Service

SCHEMA = 3
"""The schema number written into each stored record; a reader refuses newer ones."""

FIXED_RESPONSE = "(fixed response)"
"""Stands in a service's weights for the fallback that is no version; no version can have this name."""


class ServiceState(Value):
    """One service as it stands: the record that the store compares and swaps.

    `stable` is the version that carries the traffic: the one declared at first, later the one promoted last.
    `source` is the service file's text as applied. `diverted` says why all traffic goes to the declared fallback; empty
    while it does not. `followed` says what was applied of a folder of service files. `revision` is the store's
    revision at which this record last changed; the store sets it.
    """

    spec: Service
    source: str
    stable: str
    rollout: Rollout | None = None
    diverted: str = ""
    followed: Followed | None = None
    revision: int = 0

    @property
    def name(self) -> str:
        """The service's name."""
        return self.spec.name

    @property
    def weights(self) -> dict[str, int]:
        """Version -> basis points, the canary first while it has a place; they total 10 000."""
        if self.diverted and self.spec.fallback:
            return {self.spec.fallback.version or FIXED_RESPONSE: TOTAL_WEIGHT}
        rollout = self.rollout
        if rollout is None:
            return {self.stable: TOTAL_WEIGHT}
        return {rollout.canary: rollout.weight, rollout.stable: TOTAL_WEIGHT - rollout.weight}
