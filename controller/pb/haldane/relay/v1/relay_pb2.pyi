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
    __slots__ = ("service", "revision", "synced", "total", "nacked", "behind", "blind", "cut_off")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NACKED_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    service: str
    revision: int
    synced: int
    total: int
    nacked: _containers.RepeatedScalarFieldContainer[str]
    behind: _containers.RepeatedScalarFieldContainer[str]
    blind: _containers.RepeatedScalarFieldContainer[str]
    cut_off: _containers.RepeatedCompositeFieldContainer[CutOff]
    def __init__(self, service: _Optional[str] = ..., revision: _Optional[int] = ..., synced: _Optional[int] = ..., total: _Optional[int] = ..., nacked: _Optional[_Iterable[str]] = ..., behind: _Optional[_Iterable[str]] = ..., blind: _Optional[_Iterable[str]] = ..., cut_off: _Optional[_Iterable[_Union[CutOff, _Mapping]]] = ...) -> None: ...

class CutOff(_message.Message):
    __slots__ = ("controller", "proxies", "seconds")
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    controller: str
    proxies: int
    seconds: float
    def __init__(self, controller: _Optional[str] = ..., proxies: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class JudgementsRequest(_message.Message):
    __slots__ = ("services",)
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, services: _Optional[_Iterable[str]] = ...) -> None: ...

class JudgementsPart(_message.Message):
    __slots__ = ("judgements", "files")
    JUDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    judgements: _containers.RepeatedCompositeFieldContainer[Judgement]
    files: Files
    def __init__(self, judgements: _Optional[_Iterable[_Union[Judgement, _Mapping]]] = ..., files: _Optional[_Union[Files, _Mapping]] = ...) -> None: ...

class Judgement(_message.Message):
    __slots__ = ("rollout_id", "verdict", "remark", "blocker", "stable", "traffic", "endpoints", "upstreams", "unjudged", "sync")
    class TrafficEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _admin_pb2.Traffic
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_admin_pb2.Traffic, _Mapping]] = ...) -> None: ...
    class EndpointsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Endpoints
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Endpoints, _Mapping]] = ...) -> None: ...
    class UpstreamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Upstream
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Upstream, _Mapping]] = ...) -> None: ...
    class UnjudgedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _admin_pb2.Traffic
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_admin_pb2.Traffic, _Mapping]] = ...) -> None: ...
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REMARK_FIELD_NUMBER: _ClassVar[int]
    BLOCKER_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    UPSTREAMS_FIELD_NUMBER: _ClassVar[int]
    UNJUDGED_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    rollout_id: str
    verdict: Verdict
    remark: str
    blocker: Blocker
    stable: Verdict
    traffic: _containers.MessageMap[str, _admin_pb2.Traffic]
    endpoints: _containers.MessageMap[str, Endpoints]
    upstreams: _containers.MessageMap[str, Upstream]
    unjudged: _containers.MessageMap[str, _admin_pb2.Traffic]
    sync: ServiceSync
    def __init__(self, rollout_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., remark: _Optional[str] = ..., blocker: _Optional[_Union[Blocker, _Mapping]] = ..., stable: _Optional[_Union[Verdict, _Mapping]] = ..., traffic: _Optional[_Mapping[str, _admin_pb2.Traffic]] = ..., endpoints: _Optional[_Mapping[str, Endpoints]] = ..., upstreams: _Optional[_Mapping[str, Upstream]] = ..., unjudged: _Optional[_Mapping[str, _admin_pb2.Traffic]] = ..., sync: _Optional[_Union[ServiceSync, _Mapping]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("outcome", "reasons", "warm", "blind", "idle")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    WARM_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    outcome: str
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    warm: bool
    blind: bool
    idle: bool
    def __init__(self, outcome: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., warm: _Optional[bool] = ..., blind: _Optional[bool] = ..., idle: _Optional[bool] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "text", "canary", "stable", "canary_n", "stable_n", "evidence", "limit", "needed", "channel", "margin", "bound")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANARY_N_FIELD_NUMBER: _ClassVar[int]
    STABLE_N_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    code: str
    text: str
    canary: float
    stable: float
    canary_n: int
    stable_n: int
    evidence: float
    limit: float
    needed: int
    channel: str
    margin: float
    bound: float
    def __init__(self, code: _Optional[str] = ..., text: _Optional[str] = ..., canary: _Optional[float] = ..., stable: _Optional[float] = ..., canary_n: _Optional[int] = ..., stable_n: _Optional[int] = ..., evidence: _Optional[float] = ..., limit: _Optional[float] = ..., needed: _Optional[int] = ..., channel: _Optional[str] = ..., margin: _Optional[float] = ..., bound: _Optional[float] = ...) -> None: ...

class Blocker(_message.Message):
    __slots__ = ("kind", "stops", "seconds", "weight", "freeze", "sync", "names", "words", "capacity")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FREEZE_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    stops: str
    seconds: float
    weight: int
    freeze: str
    sync: ServiceSync
    names: _containers.RepeatedScalarFieldContainer[str]
    words: str
    capacity: Capacity
    def __init__(self, kind: _Optional[str] = ..., stops: _Optional[str] = ..., seconds: _Optional[float] = ..., weight: _Optional[int] = ..., freeze: _Optional[str] = ..., sync: _Optional[_Union[ServiceSync, _Mapping]] = ..., names: _Optional[_Iterable[str]] = ..., words: _Optional[str] = ..., capacity: _Optional[_Union[Capacity, _Mapping]] = ...) -> None: ...

class Capacity(_message.Message):
    __slots__ = ("healthy", "needed", "at_start")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    AT_START_FIELD_NUMBER: _ClassVar[int]
    healthy: int
    needed: int
    at_start: int
    def __init__(self, healthy: _Optional[int] = ..., needed: _Optional[int] = ..., at_start: _Optional[int] = ...) -> None: ...

class Endpoints(_message.Message):
    __slots__ = ("fewest", "most", "total", "proxies")
    FEWEST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    fewest: int
    most: int
    total: int
    proxies: int
    def __init__(self, fewest: _Optional[int] = ..., most: _Optional[int] = ..., total: _Optional[int] = ..., proxies: _Optional[int] = ...) -> None: ...

class Upstream(_message.Message):
    __slots__ = ("none", "lacking")
    NONE_FIELD_NUMBER: _ClassVar[int]
    LACKING_FIELD_NUMBER: _ClassVar[int]
    none: bool
    lacking: bool
    def __init__(self, none: _Optional[bool] = ..., lacking: _Optional[bool] = ...) -> None: ...

class Files(_message.Message):
    __slots__ = ("number", "problems")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    number: int
    problems: _containers.RepeatedCompositeFieldContainer[File]
    def __init__(self, number: _Optional[int] = ..., problems: _Optional[_Iterable[_Union[File, _Mapping]]] = ...) -> None: ...

class File(_message.Message):
    __slots__ = ("name", "kind", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    text: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ProxiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProxiesPart(_message.Message):
    __slots__ = ("proxies", "cut_off")
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    proxies: _containers.RepeatedCompositeFieldContainer[_admin_pb2.Proxy]
    cut_off: _containers.RepeatedCompositeFieldContainer[CutOff]
    def __init__(self, proxies: _Optional[_Iterable[_Union[_admin_pb2.Proxy, _Mapping]]] = ..., cut_off: _Optional[_Iterable[_Union[CutOff, _Mapping]]] = ...) -> None: ...

class RecordingRequest(_message.Message):
    __slots__ = ("rollout_id",)
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    rollout_id: str
    def __init__(self, rollout_id: _Optional[str] = ...) -> None: ...

class RecordingResponse(_message.Message):
    __slots__ = ("recording",)
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    recording: bytes
    def __init__(self, recording: _Optional[bytes] = ...) -> None: ...

class PeerRetryRequest(_message.Message):
    __slots__ = ("service", "who")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    service: str
    who: str
    def __init__(self, service: _Optional[str] = ..., who: _Optional[str] = ...) -> None: ...

class PeerRetryResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, nodes: _Optional[_Iterable[str]] = ...) -> None: ...
