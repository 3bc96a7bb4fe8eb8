"""One time that responses take, as far as it is known: to the last byte, or to the first token."""

from typing import NamedTuple

from controller.core.judge.latency_block import LatencyBlock, LatencyPair, LatencySide
from controller.core.judge.latency_thresholds import StableLatency, Thresholds
from controller.core.traffic.window import Sample, Window


class Timing(NamedTuple):
    """What is known of one time: the open block of both versions, and stable's past."""

    block: LatencyBlock = LatencyBlock()
    past: StableLatency = StableLatency()
    thresholds: Thresholds | None = None
    """Where it is cut; None before stable's first quantiles are known."""
    initial: Thresholds | None = None
    """Where it is cut by what stable was when the warm-up ended."""

    def with_block(self, strata: tuple[tuple[str, LatencyPair], ...]) -> "Timing":
        """With this in its open block."""
        return Timing(LatencyBlock(self.block.since, strata), self.past, self.thresholds, self.initial)

    def reopened(self, time: float) -> "Timing":
        """With a new block, and thresholds that are still to be set."""
        return self._replace(block=LatencyBlock(time), thresholds=None)

    def after_first_tokens(self, window: Window) -> "Timing":
        """With one tick's times to the first token.

        They are known when a response has ended, and its errors may have been counted minutes
        before: errors are left to their own channels here.
        """
        pairs = dict(self.block.strata)
        for group in window.groups:
            canary, stable = pairs.get(group.name, LatencyPair())
            pairs[group.name] = LatencyPair(
                _with_first_tokens(canary, group.canary), _with_first_tokens(stable, group.stable)
            )
        return self.with_block(tuple(pairs.items()))


def _with_first_tokens(side: LatencySide, sample: Sample | None) -> LatencySide:
    return side.after(0, 0, sample.ttft) if sample is not None and sample.ttft else side
