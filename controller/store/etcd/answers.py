"""What etcd's answers mean: refused, lost, or of an etcd that is not the one that was read before."""

import re

import grpc

from controller.core.model.store_errors import DiskFull, NotWritten, StoreLost, TooLarge
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb

_REFUSES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)
"""With these etcd has read the request and done nothing. After any other one it was perhaps done."""
_TOO_LARGE = ("request is too large", "too many operations", "larger than max")
_NO_LOGIN = ("invalid auth token", "user name is empty", "revision of auth store is old")


_ADDRESS = re.compile(r".*\bipv[46]:\S+: (Failed to connect to remote host: )?", re.DOTALL)


class Lost(StoreLost):
    """No answer, or one that cannot be relied on. A write was perhaps applied."""


class Rejected(NotWritten):
    """etcd refuses it as it stands."""


class Compacted(Exception):  # noqa: N818
    """The revision to watch from is no longer kept: read everything again."""


def refusal_of(error: grpc.aio.AioRpcError) -> NotWritten | None:
    """What etcd refuses by that error, surely not done. None for an error after which it was perhaps done."""
    details = error.details() or error.code().name
    if error.code() not in _REFUSES:
        return None
    if "database space exceeded" in details:
        return DiskFull(
            "etcd is out of space (NOSPACE alarm): compact and defragment it, raise its quota, then disarm the alarm"
        )
    if any(each in details for each in _TOO_LARGE):
        return TooLarge(f"etcd refuses it: {details}")
    if needs_login(error):
        return Rejected(f"etcd refuses it: {details}. Is [etcd] user set?")
    return Rejected(f"etcd refuses it: {details}")


def loss_of(error: grpc.aio.AioRpcError, within: float) -> str:
    """Why a member gave no answer in that many seconds, as short as can be: gRPC names the member's address again."""
    details = error.details() or error.code().name
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED or "deadline exceeded" in details.lower():
        return f"no answer within {within:g} s"
    if "no leader" in details:
        return "it sees no majority of the members"
    address = _ADDRESS.search(details)
    reason = details[address.end() :] if address else details
    if "handshake" in reason.lower():
        reason += ": does it speak TLS, with a certificate of ca_file in [etcd]?"
    return reason


def needs_login(error: grpc.aio.AioRpcError) -> bool:
    """Whether the token that came with the request is none, or no longer valid. Nothing was done."""
    details = error.details() or ""
    return error.code() is grpc.StatusCode.UNAUTHENTICATED or any(each in details for each in _NO_LOGIN)


class Seen:
    """The newest that etcd has answered. What is older comes from a member that was cut off, or from a backup."""

    def __init__(self) -> None:
        self.revision = 0
        """The highest revision that a read or a write was answered with."""
        self._cluster = 0
        self._raft_term = 0

    def fault(self, header: pb.ResponseHeader, floor: int = 0) -> str:
        """Why an answer is not to be relied on; empty, and it is noted, if it is. `floor`: the `revision` before it was
        asked for, if the answer is that of a quorum."""
        if self._cluster and header.cluster_id != self._cluster:
            return "it is another cluster than before: restart the controller if etcd was restored, to go on with that"
        if header.raft_term < self._raft_term:
            return (
                f"raft term {header.raft_term} after {self._raft_term}: it was cut off, or restored to an older state"
            )
        if header.revision < floor:
            return f"revision {header.revision} after {floor}: it was restored to an older state"
        self._cluster, self._raft_term = header.cluster_id, header.raft_term
        if floor:
            self.revision = max(self.revision, header.revision)
        return ""
