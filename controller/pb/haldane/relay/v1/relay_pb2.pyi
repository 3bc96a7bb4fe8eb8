from controller.pb.haldane.admin.v1 import admin_pb2 as _admin_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Counter(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN: _ClassVar[Counter]
    CLIENT_ERRORS: _ClassVar[Counter]
    NO_SERVER: _ClassVar[Counter]
    OVERFLOW: _ClassVar[Counter]
    UNCONNECTED: _ClassVar[Counter]
    BROKEN: _ClassVar[Counter]
    CANCELLED: _ClassVar[Counter]
    ABANDONED: _ClassVar[Counter]
    TIMED_OUT: _ClassVar[Counter]
UNKNOWN: Counter
CLIENT_ERRORS: Counter
NO_SERVER: Counter
OVERFLOW: Counter
UNCONNECTED: Counter
BROKEN: Counter
CANCELLED: Counter
ABANDONED: Counter
TIMED_OUT: Counter

class Update(_message.Message):
    __slots__ = ("hello", "batch", "edges")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    batch: Batch
    edges: _containers.RepeatedCompositeFieldContainer[Edge]
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., edges: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("instance", "name", "acknowledged")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    instance: str
    name: str
    acknowledged: int
    def __init__(self, instance: _Optional[str] = ..., name: _Optional[str] = ..., acknowledged: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("received", "saved")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    SAVED_FIELD_NUMBER: _ClassVar[int]
    received: int
    saved: int
    def __init__(self, received: _Optional[int] = ..., saved: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("number", "clusters", "reports", "splits")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    number: int
    clusters: _containers.RepeatedScalarFieldContainer[str]
    reports: _containers.RepeatedCompositeFieldContainer[Report]
    splits: _containers.RepeatedCompositeFieldContainer[Split]
    def __init__(self, number: _Optional[int] = ..., clusters: _Optional[_Iterable[str]] = ..., reports: _Optional[_Iterable[_Union[Report, _Mapping]]] = ..., splits: _Optional[_Iterable[_Union[Split, _Mapping]]] = ...) -> None: ...

class Split(_message.Message):
    __slots__ = ("service", "decided", "lagging")
    class LaggingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    LAGGING_FIELD_NUMBER: _ClassVar[int]
    service: str
    decided: str
    lagging: _containers.ScalarMap[str, str]
    def __init__(self, service: _Optional[str] = ..., decided: _Optional[str] = ..., lagging: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("proxy", "interval_ms", "idle", "loads", "counters", "latency", "ttft", "flushed", "health", "ended")
    PROXY_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    LOADS_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    TTFT_FIELD_NUMBER: _ClassVar[int]
    FLUSHED_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    proxy: str
    interval_ms: int
    idle: _containers.RepeatedScalarFieldContainer[int]
    loads: _containers.RepeatedScalarFieldContainer[int]
    counters: _containers.RepeatedScalarFieldContainer[int]
    latency: _containers.RepeatedCompositeFieldContainer[Histogram]
    ttft: _containers.RepeatedCompositeFieldContainer[Histogram]
    flushed: bool
    health: Health
    ended: bool
    def __init__(self, proxy: _Optional[str] = ..., interval_ms: _Optional[int] = ..., idle: _Optional[_Iterable[int]] = ..., loads: _Optional[_Iterable[int]] = ..., counters: _Optional[_Iterable[int]] = ..., latency: _Optional[_Iterable[_Union[Histogram, _Mapping]]] = ..., ttft: _Optional[_Iterable[_Union[Histogram, _Mapping]]] = ..., flushed: _Optional[bool] = ..., health: _Optional[_Union[Health, _Mapping]] = ..., ended: _Optional[bool] = ...) -> None: ...

class Histogram(_message.Message):
    __slots__ = ("cluster", "counts")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    cluster: int
    counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, cluster: _Optional[int] = ..., counts: _Optional[_Iterable[int]] = ...) -> None: ...

class Health(_message.Message):
    __slots__ = ("healthy", "members")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    healthy: _containers.RepeatedScalarFieldContainer[int]
    members: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, healthy: _Optional[_Iterable[int]] = ..., members: _Optional[_Iterable[int]] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("complete", "proxies", "gone", "syncs")
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    SYNCS_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    proxies: _containers.RepeatedCompositeFieldContainer[_admin_pb2.Proxy]
    gone: _containers.RepeatedCompositeFieldContainer[Node]
    syncs: _containers.RepeatedCompositeFieldContainer[ServiceSync]
    def __init__(self, complete: _Optional[bool] = ..., proxies: _Optional[_Iterable[_Union[_admin_pb2.Proxy, _Mapping]]] = ..., gone: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., syncs: _Optional[_Iterable[_Union[ServiceSync, _Mapping]]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("node", "fleet")
    NODE_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    node: str
    fleet: str
    def __init__(self, node: _Optional[str] = ..., fleet: _Optional[str] = ...) -> None: ...

class ServiceSync(_message.Message):
    __slots__ = ("service", "revision", "synced", "total", "nacked", "behind", "blind")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NACKED_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    service: str
    revision: int
    synced: int
    total: int
    nacked: _containers.RepeatedScalarFieldContainer[str]
    behind: _containers.RepeatedScalarFieldContainer[str]
    blind: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, service: _Optional[str] = ..., revision: _Optional[int] = ..., synced: _Optional[int] = ..., total: _Optional[int] = ..., nacked: _Optional[_Iterable[str]] = ..., behind: _Optional[_Iterable[str]] = ..., blind: _Optional[_Iterable[str]] = ...) -> None: ...
