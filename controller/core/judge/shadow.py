"""A shadow step: the canary's requests are copies of stable's, and no client has its responses.

Copies are drawn at random from stable's requests, so they are a fair sample and judged by the same channels. What they
show of harm counts to the rollout's end: the evidence is one e-process over all that the canary did, so the false
rollbacks stay within `false_rollback`. What they show of no harm does not count for requests whose responses clients
wait for: the proof begins again with the first weight.
"""

from dataclasses import replace

from controller.core.judge.arrivals import Arrivals
from controller.core.judge.block import Block
from controller.core.judge.overdue_counter import OverdueCounter
from controller.core.judge.state import JudgeState
from controller.core.model.service import Policy
from controller.core.traffic.window import Window


def enter_or_leave_shadow(policy: Policy, state: JudgeState, window: Window) -> Window:
    """The window with the weight to judge it at. Notes in the state whether it is one of copies."""
    was_shadow, state.shadow = state.shadow, policy.shadow is not None and window.weight == 0
    if was_shadow and not state.shadow:
        _begin_live(policy, state)
    if policy.shadow is None or not state.shadow:
        return window
    return replace(window, weight=policy.shadow.equivalent_weight)


def _begin_live(policy: Policy, state: JudgeState) -> None:
    """Drop what is open and what was shown of copies. What is known of stable, and the evidence of harm, stay."""
    state.weight = 0
    state.non_inferiority = JudgeState.start(policy).non_inferiority
    state.arrivals = Arrivals(last_request=state.arrivals.last_request)
    state.overdue_canary = OverdueCounter()
    state.error_block = Block(state.error_block.estimate, state.time)
    state.client_error_block = Block(state.client_error_block.estimate, state.time)
    state.overdue_block = Block(state.overdue_block.estimate, state.time)
    state.recent = {}
