"""etcd in memory, without a network and without time: transactions, and what a watch brings."""

from dataclasses import dataclass, field

from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb

_FIELDS = {
    pb.Compare.VERSION: "version",
    pb.Compare.CREATE: "create_revision",
    pb.Compare.MOD: "mod_revision",
    pb.Compare.VALUE: "value",
}


@dataclass
class MemoryEtcd:
    """The keys, and the events of each revision."""

    kvs: dict[bytes, pb.KeyValue] = field(default_factory=dict)
    revision: int = 1
    history: dict[int, list[pb.Event]] = field(default_factory=dict)

    def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """All of it at one revision."""
        met = all(self._holds(each) for each in request.compare)
        events: list[pb.Event] = []
        responses = [self._do(each, events) for each in (request.success if met else request.failure)]
        if events:
            self.revision += 1
            for event in events:
                self._apply(event)
            self.history[self.revision] = events
        return pb.TxnResponse(header=pb.ResponseHeader(revision=self.revision), succeeded=met, responses=responses)

    def range(self, key: str, end: str) -> list[pb.KeyValue]:
        """The keys from `key` to before `end`."""
        return [self.kvs[each] for each in sorted(self.kvs) if key.encode() <= each < end.encode()]

    def delete(self, key: str) -> None:
        """As when its lease runs out."""
        deletion = pb.DeleteRangeRequest(key=key.encode())
        self.txn(pb.TxnRequest(success=[pb.RequestOp(request_delete_range=deletion)]))

    def _holds(self, compare: pb.Compare) -> bool:
        name = _FIELDS[compare.target]
        return bool(getattr(self.kvs.get(compare.key, pb.KeyValue()), name) == getattr(compare, name))

    def _do(self, operation: pb.RequestOp, events: list[pb.Event]) -> pb.ResponseOp:
        match operation.WhichOneof("request"):
            case "request_range":
                found = self.kvs.get(operation.request_range.key)
                return pb.ResponseOp(response_range=pb.RangeResponse(kvs=[found] if found else []))
            case "request_put":
                put = operation.request_put
                events.append(pb.Event(type=pb.Event.PUT, kv=pb.KeyValue(key=put.key, value=put.value)))
            case "request_delete_range":
                deletion = operation.request_delete_range
                ended = (key for key in self.kvs if deletion.key <= key < (deletion.range_end or deletion.key + b"\0"))
                events += [pb.Event(type=pb.Event.DELETE, kv=pb.KeyValue(key=key)) for key in ended]
        return pb.ResponseOp()

    def _apply(self, event: pb.Event) -> None:
        kv = event.kv
        kv.mod_revision = self.revision
        before = self.kvs.pop(kv.key, None)
        if event.type == pb.Event.PUT:
            kv.version = before.version + 1 if before else 1
            kv.create_revision = before.create_revision if before else self.revision
            self.kvs[kv.key] = kv
