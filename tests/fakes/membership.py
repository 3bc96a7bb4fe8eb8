"""A controller that is alone with its store."""

from controller.core.model.member import Member
from controller.ports.members import Members
from controller.runtime.membership import Membership


def alone(members: Members) -> Membership:
    """The membership of a controller that nobody else shares a store with."""
    me = Member(instance="1", name="alone", since=0.0, version="1.0", records=1)
    return Membership(members, me, revision=lambda: 7, proxies=lambda: 2)
