from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
PERMISSION_FIELD_NUMBER: _ClassVar[int]
permission: _descriptor.FieldDescriptor

class ListControllersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListControllersResponse(_message.Message):
    __slots__ = ("controllers", "store_problem")
    CONTROLLERS_FIELD_NUMBER: _ClassVar[int]
    STORE_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    controllers: _containers.RepeatedCompositeFieldContainer[Controller]
    store_problem: str
    def __init__(self, controllers: _Optional[_Iterable[_Union[Controller, _Mapping]]] = ..., store_problem: _Optional[str] = ...) -> None: ...

class Controller(_message.Message):
    __slots__ = ("name", "leader", "since", "term", "revision", "version", "proxies", "xds", "admin", "http", "records", "writes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    XDS_FIELD_NUMBER: _ClassVar[int]
    ADMIN_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    WRITES_FIELD_NUMBER: _ClassVar[int]
    name: str
    leader: bool
    since: float
    term: int
    revision: int
    version: str
    proxies: int
    xds: str
    admin: str
    http: str
    records: int
    writes: str
    def __init__(self, name: _Optional[str] = ..., leader: _Optional[bool] = ..., since: _Optional[float] = ..., term: _Optional[int] = ..., revision: _Optional[int] = ..., version: _Optional[str] = ..., proxies: _Optional[int] = ..., xds: _Optional[str] = ..., admin: _Optional[str] = ..., http: _Optional[str] = ..., records: _Optional[int] = ..., writes: _Optional[str] = ...) -> None: ...

class WhoAmIRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoAmIResponse(_message.Message):
    __slots__ = ("who", "verified_by", "grants", "subjects", "groups", "spiffe", "restricted", "unverified")
    WHO_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_BY_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    SPIFFE_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_FIELD_NUMBER: _ClassVar[int]
    who: str
    verified_by: str
    grants: _containers.RepeatedCompositeFieldContainer[Grant]
    subjects: _containers.RepeatedScalarFieldContainer[str]
    groups: _containers.RepeatedScalarFieldContainer[str]
    spiffe: str
    restricted: bool
    unverified: bool
    def __init__(self, who: _Optional[str] = ..., verified_by: _Optional[str] = ..., grants: _Optional[_Iterable[_Union[Grant, _Mapping]]] = ..., subjects: _Optional[_Iterable[str]] = ..., groups: _Optional[_Iterable[str]] = ..., spiffe: _Optional[str] = ..., restricted: _Optional[bool] = ..., unverified: _Optional[bool] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("role", "services")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    role: str
    services: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, role: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLoginConfigRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LoginConfig(_message.Message):
    __slots__ = ("issuer", "client_id", "audience", "scopes")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    client_id: str
    audience: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, issuer: _Optional[str] = ..., client_id: _Optional[str] = ..., audience: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ...) -> None: ...

class CanRequest(_message.Message):
    __slots__ = ("permission", "service")
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    permission: str
    service: str
    def __init__(self, permission: _Optional[str] = ..., service: _Optional[str] = ...) -> None: ...

class CanResponse(_message.Message):
    __slots__ = ("allowed", "reason")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    reason: str
    def __init__(self, allowed: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ApplyServiceRequest(_message.Message):
    __slots__ = ("yaml", "reason", "request_id", "dry_run")
    YAML_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    yaml: str
    reason: str
    request_id: str
    dry_run: bool
    def __init__(self, yaml: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ApplyServiceResponse(_message.Message):
    __slots__ = ("service", "unchanged", "notes")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    service: Service
    unchanged: bool
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, service: _Optional[_Union[Service, _Mapping]] = ..., unchanged: _Optional[bool] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class ApplyServicesRequest(_message.Message):
    __slots__ = ("yaml", "reason", "request_id", "dry_run")
    YAML_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    yaml: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    request_id: str
    dry_run: bool
    def __init__(self, yaml: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ApplyServicesResponse(_message.Message):
    __slots__ = ("applied",)
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    applied: _containers.RepeatedCompositeFieldContainer[ApplyServiceResponse]
    def __init__(self, applied: _Optional[_Iterable[_Union[ApplyServiceResponse, _Mapping]]] = ...) -> None: ...

class GetServiceRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class ListServicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListServicesResponse(_message.Message):
    __slots__ = ("services", "broken", "store_problem", "files")
    class BrokenEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    STORE_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[Service]
    broken: _containers.ScalarMap[str, str]
    store_problem: str
    files: _containers.ScalarMap[str, str]
    def __init__(self, services: _Optional[_Iterable[_Union[Service, _Mapping]]] = ..., broken: _Optional[_Mapping[str, str]] = ..., store_problem: _Optional[str] = ..., files: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DeleteServiceRequest(_message.Message):
    __slots__ = ("service", "reason", "request_id")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    service: str
    reason: str
    request_id: str
    def __init__(self, service: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteServiceResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("name", "stable", "versions", "listen", "fleets", "weights", "yaml", "revision", "rollout", "freezes", "diverted", "problem", "proxies_synced", "proxies_total", "endpoints", "route_config", "store_problem", "sources", "applied_from", "judged")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class EndpointsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EndpointHealth
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EndpointHealth, _Mapping]] = ...) -> None: ...
    class SourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EndpointSource
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EndpointSource, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    FLEETS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    DIVERTED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    PROXIES_SYNCED_FIELD_NUMBER: _ClassVar[int]
    PROXIES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_CONFIG_FIELD_NUMBER: _ClassVar[int]
    STORE_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FROM_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    name: str
    stable: str
    versions: _containers.RepeatedScalarFieldContainer[str]
    listen: str
    fleets: _containers.RepeatedScalarFieldContainer[str]
    weights: _containers.ScalarMap[str, int]
    yaml: str
    revision: int
    rollout: Rollout
    freezes: _containers.RepeatedCompositeFieldContainer[FreezeInfo]
    diverted: str
    problem: str
    proxies_synced: int
    proxies_total: int
    endpoints: _containers.MessageMap[str, EndpointHealth]
    route_config: str
    store_problem: str
    sources: _containers.MessageMap[str, EndpointSource]
    applied_from: str
    judged: Judged
    def __init__(self, name: _Optional[str] = ..., stable: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ..., listen: _Optional[str] = ..., fleets: _Optional[_Iterable[str]] = ..., weights: _Optional[_Mapping[str, int]] = ..., yaml: _Optional[str] = ..., revision: _Optional[int] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ..., freezes: _Optional[_Iterable[_Union[FreezeInfo, _Mapping]]] = ..., diverted: _Optional[str] = ..., problem: _Optional[str] = ..., proxies_synced: _Optional[int] = ..., proxies_total: _Optional[int] = ..., endpoints: _Optional[_Mapping[str, EndpointHealth]] = ..., route_config: _Optional[str] = ..., store_problem: _Optional[str] = ..., sources: _Optional[_Mapping[str, EndpointSource]] = ..., applied_from: _Optional[str] = ..., judged: _Optional[_Union[Judged, _Mapping]] = ...) -> None: ...

class EndpointSource(_message.Message):
    __slots__ = ("source", "read", "endpoints", "problem", "problem_since", "shared", "text", "last_known")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_SINCE_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LAST_KNOWN_FIELD_NUMBER: _ClassVar[int]
    source: str
    read: bool
    endpoints: int
    problem: str
    problem_since: float
    shared: _containers.RepeatedScalarFieldContainer[str]
    text: str
    last_known: float
    def __init__(self, source: _Optional[str] = ..., read: _Optional[bool] = ..., endpoints: _Optional[int] = ..., problem: _Optional[str] = ..., problem_since: _Optional[float] = ..., shared: _Optional[_Iterable[str]] = ..., text: _Optional[str] = ..., last_known: _Optional[float] = ...) -> None: ...

class EndpointHealth(_message.Message):
    __slots__ = ("healthy", "total")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    healthy: int
    total: int
    def __init__(self, healthy: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class StartCanaryRequest(_message.Message):
    __slots__ = ("service", "canary", "reason", "request_id")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    service: str
    canary: str
    reason: str
    request_id: str
    def __init__(self, service: _Optional[str] = ..., canary: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetRolloutRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class ListRolloutsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRolloutsResponse(_message.Message):
    __slots__ = ("rollouts",)
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    rollouts: _containers.RepeatedCompositeFieldContainer[Rollout]
    def __init__(self, rollouts: _Optional[_Iterable[_Union[Rollout, _Mapping]]] = ...) -> None: ...

class WatchRolloutRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class RolloutRequest(_message.Message):
    __slots__ = ("service", "reason", "request_id", "canary", "weight")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    service: str
    reason: str
    request_id: str
    canary: str
    weight: int
    def __init__(self, service: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., canary: _Optional[str] = ..., weight: _Optional[int] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("service", "reason", "request_id", "force")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    service: str
    reason: str
    request_id: str
    force: bool
    def __init__(self, service: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("service", "stable", "canary", "phase", "step", "weights", "verdict", "reasons", "proxies_synced", "proxies_total", "started_at", "updated_at", "revision", "freezes", "traffic", "unjudged", "details", "id", "phase_reason", "steps", "diverted", "stable_verdict", "stable_reasons", "blocker", "endpoints", "sources", "judged")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class TrafficEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Traffic
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Traffic, _Mapping]] = ...) -> None: ...
    class UnjudgedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Traffic
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Traffic, _Mapping]] = ...) -> None: ...
    class EndpointsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EndpointHealth
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EndpointHealth, _Mapping]] = ...) -> None: ...
    class SourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EndpointSource
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EndpointSource, _Mapping]] = ...) -> None: ...
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    PROXIES_SYNCED_FIELD_NUMBER: _ClassVar[int]
    PROXIES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    UNJUDGED_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_REASON_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    DIVERTED_FIELD_NUMBER: _ClassVar[int]
    STABLE_VERDICT_FIELD_NUMBER: _ClassVar[int]
    STABLE_REASONS_FIELD_NUMBER: _ClassVar[int]
    BLOCKER_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    service: str
    stable: str
    canary: str
    phase: str
    step: int
    weights: _containers.ScalarMap[str, int]
    verdict: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    proxies_synced: int
    proxies_total: int
    started_at: float
    updated_at: float
    revision: int
    freezes: _containers.RepeatedCompositeFieldContainer[FreezeInfo]
    traffic: _containers.MessageMap[str, Traffic]
    unjudged: _containers.MessageMap[str, Traffic]
    details: _containers.RepeatedCompositeFieldContainer[ReasonInfo]
    id: str
    phase_reason: str
    steps: _containers.RepeatedScalarFieldContainer[int]
    diverted: str
    stable_verdict: str
    stable_reasons: _containers.RepeatedScalarFieldContainer[str]
    blocker: Blocker
    endpoints: _containers.MessageMap[str, EndpointHealth]
    sources: _containers.MessageMap[str, EndpointSource]
    judged: Judged
    def __init__(self, service: _Optional[str] = ..., stable: _Optional[str] = ..., canary: _Optional[str] = ..., phase: _Optional[str] = ..., step: _Optional[int] = ..., weights: _Optional[_Mapping[str, int]] = ..., verdict: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ..., proxies_synced: _Optional[int] = ..., proxies_total: _Optional[int] = ..., started_at: _Optional[float] = ..., updated_at: _Optional[float] = ..., revision: _Optional[int] = ..., freezes: _Optional[_Iterable[_Union[FreezeInfo, _Mapping]]] = ..., traffic: _Optional[_Mapping[str, Traffic]] = ..., unjudged: _Optional[_Mapping[str, Traffic]] = ..., details: _Optional[_Iterable[_Union[ReasonInfo, _Mapping]]] = ..., id: _Optional[str] = ..., phase_reason: _Optional[str] = ..., steps: _Optional[_Iterable[int]] = ..., diverted: _Optional[str] = ..., stable_verdict: _Optional[str] = ..., stable_reasons: _Optional[_Iterable[str]] = ..., blocker: _Optional[_Union[Blocker, _Mapping]] = ..., endpoints: _Optional[_Mapping[str, EndpointHealth]] = ..., sources: _Optional[_Mapping[str, EndpointSource]] = ..., judged: _Optional[_Union[Judged, _Mapping]] = ...) -> None: ...

class Judged(_message.Message):
    __slots__ = ("controller", "as_of", "problem", "problem_since")
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_SINCE_FIELD_NUMBER: _ClassVar[int]
    controller: str
    as_of: float
    problem: str
    problem_since: float
    def __init__(self, controller: _Optional[str] = ..., as_of: _Optional[float] = ..., problem: _Optional[str] = ..., problem_since: _Optional[float] = ...) -> None: ...

class Blocker(_message.Message):
    __slots__ = ("kind", "text", "stops", "seconds_left", "weight", "names", "who", "healthy", "needed", "unverified")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    text: str
    stops: str
    seconds_left: float
    weight: int
    names: _containers.RepeatedScalarFieldContainer[str]
    who: str
    healthy: int
    needed: int
    unverified: bool
    def __init__(self, kind: _Optional[str] = ..., text: _Optional[str] = ..., stops: _Optional[str] = ..., seconds_left: _Optional[float] = ..., weight: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., who: _Optional[str] = ..., healthy: _Optional[int] = ..., needed: _Optional[int] = ..., unverified: _Optional[bool] = ...) -> None: ...

class Traffic(_message.Message):
    __slots__ = ("requests_per_second", "error_rate", "p50_ms", "p99_ms", "requests", "errors", "broken", "cancelled", "in_progress", "ttft_p50_ms", "ttft_p99_ms")
    REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    IN_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    TTFT_P50_MS_FIELD_NUMBER: _ClassVar[int]
    TTFT_P99_MS_FIELD_NUMBER: _ClassVar[int]
    requests_per_second: float
    error_rate: float
    p50_ms: float
    p99_ms: float
    requests: int
    errors: int
    broken: int
    cancelled: int
    in_progress: int
    ttft_p50_ms: float
    ttft_p99_ms: float
    def __init__(self, requests_per_second: _Optional[float] = ..., error_rate: _Optional[float] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., requests: _Optional[int] = ..., errors: _Optional[int] = ..., broken: _Optional[int] = ..., cancelled: _Optional[int] = ..., in_progress: _Optional[int] = ..., ttft_p50_ms: _Optional[float] = ..., ttft_p99_ms: _Optional[float] = ...) -> None: ...

class ReasonInfo(_message.Message):
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

class FreezeRequest(_message.Message):
    __slots__ = ("services", "all", "reason", "ttl", "request_id", "mode")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedScalarFieldContainer[str]
    all: bool
    reason: str
    ttl: str
    request_id: str
    mode: str
    def __init__(self, services: _Optional[_Iterable[str]] = ..., all: _Optional[bool] = ..., reason: _Optional[str] = ..., ttl: _Optional[str] = ..., request_id: _Optional[str] = ..., mode: _Optional[str] = ...) -> None: ...

class FreezeInfo(_message.Message):
    __slots__ = ("scope", "reason", "who", "since", "until", "mode", "verified_by", "unverified")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_BY_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_FIELD_NUMBER: _ClassVar[int]
    scope: str
    reason: str
    who: str
    since: float
    until: float
    mode: str
    verified_by: str
    unverified: bool
    def __init__(self, scope: _Optional[str] = ..., reason: _Optional[str] = ..., who: _Optional[str] = ..., since: _Optional[float] = ..., until: _Optional[float] = ..., mode: _Optional[str] = ..., verified_by: _Optional[str] = ..., unverified: _Optional[bool] = ...) -> None: ...

class FreezeResponse(_message.Message):
    __slots__ = ("freezes", "revision")
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    freezes: _containers.RepeatedCompositeFieldContainer[FreezeInfo]
    revision: int
    def __init__(self, freezes: _Optional[_Iterable[_Union[FreezeInfo, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class UnfreezeRequest(_message.Message):
    __slots__ = ("services", "all", "reason", "request_id")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedScalarFieldContainer[str]
    all: bool
    reason: str
    request_id: str
    def __init__(self, services: _Optional[_Iterable[str]] = ..., all: _Optional[bool] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UnfreezeResponse(_message.Message):
    __slots__ = ("lifted", "revision", "standing")
    LIFTED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    lifted: _containers.RepeatedCompositeFieldContainer[FreezeInfo]
    revision: int
    standing: _containers.RepeatedCompositeFieldContainer[FreezeInfo]
    def __init__(self, lifted: _Optional[_Iterable[_Union[FreezeInfo, _Mapping]]] = ..., revision: _Optional[int] = ..., standing: _Optional[_Iterable[_Union[FreezeInfo, _Mapping]]] = ...) -> None: ...

class ListFreezesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFreezesResponse(_message.Message):
    __slots__ = ("freezes", "store_problem")
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    STORE_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    freezes: _containers.RepeatedCompositeFieldContainer[FreezeInfo]
    store_problem: str
    def __init__(self, freezes: _Optional[_Iterable[_Union[FreezeInfo, _Mapping]]] = ..., store_problem: _Optional[str] = ...) -> None: ...

class ListProxiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProxiesResponse(_message.Message):
    __slots__ = ("proxies", "strangers", "exclusions", "unseen", "judged", "paced")
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    STRANGERS_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIONS_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    PACED_FIELD_NUMBER: _ClassVar[int]
    proxies: _containers.RepeatedCompositeFieldContainer[Proxy]
    strangers: _containers.RepeatedCompositeFieldContainer[Stranger]
    exclusions: _containers.RepeatedCompositeFieldContainer[Exclusion]
    unseen: _containers.RepeatedCompositeFieldContainer[UnseenController]
    judged: Judged
    paced: ReportsPaced
    def __init__(self, proxies: _Optional[_Iterable[_Union[Proxy, _Mapping]]] = ..., strangers: _Optional[_Iterable[_Union[Stranger, _Mapping]]] = ..., exclusions: _Optional[_Iterable[_Union[Exclusion, _Mapping]]] = ..., unseen: _Optional[_Iterable[_Union[UnseenController, _Mapping]]] = ..., judged: _Optional[_Union[Judged, _Mapping]] = ..., paced: _Optional[_Union[ReportsPaced, _Mapping]] = ...) -> None: ...

class ReportsPaced(_message.Message):
    __slots__ = ("interval", "flushes")
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    FLUSHES_FIELD_NUMBER: _ClassVar[int]
    interval: float
    flushes: int
    def __init__(self, interval: _Optional[float] = ..., flushes: _Optional[int] = ...) -> None: ...

class UnseenController(_message.Message):
    __slots__ = ("controller", "proxies", "reason")
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    controller: str
    proxies: int
    reason: str
    def __init__(self, controller: _Optional[str] = ..., proxies: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Exclusion(_message.Message):
    __slots__ = ("node", "reason", "who", "since", "verified_by", "unverified")
    NODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_BY_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_FIELD_NUMBER: _ClassVar[int]
    node: str
    reason: str
    who: str
    since: float
    verified_by: str
    unverified: bool
    def __init__(self, node: _Optional[str] = ..., reason: _Optional[str] = ..., who: _Optional[str] = ..., since: _Optional[float] = ..., verified_by: _Optional[str] = ..., unverified: _Optional[bool] = ...) -> None: ...

class ExcludeProxyRequest(_message.Message):
    __slots__ = ("node", "reason", "request_id")
    NODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    node: str
    reason: str
    request_id: str
    def __init__(self, node: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ExcludeProxyResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class IncludeProxyRequest(_message.Message):
    __slots__ = ("node", "reason", "request_id")
    NODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    node: str
    reason: str
    request_id: str
    def __init__(self, node: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class IncludeProxyResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class Stranger(_message.Message):
    __slots__ = ("node", "fleet", "peer", "reason", "since", "last_report", "reports")
    NODE_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_REPORT_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    node: str
    fleet: str
    peer: str
    reason: str
    since: float
    last_report: float
    reports: int
    def __init__(self, node: _Optional[str] = ..., fleet: _Optional[str] = ..., peer: _Optional[str] = ..., reason: _Optional[str] = ..., since: _Optional[float] = ..., last_report: _Optional[float] = ..., reports: _Optional[int] = ...) -> None: ...

class Proxy(_message.Message):
    __slots__ = ("node", "fleet", "client", "connected_at", "state", "types", "waits", "refused", "blind", "excluded", "requests", "failed", "controller", "cut_off")
    NODE_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_AT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    node: str
    fleet: str
    client: str
    connected_at: float
    state: str
    types: _containers.RepeatedCompositeFieldContainer[ProxyType]
    waits: _containers.RepeatedCompositeFieldContainer[ProxyWait]
    refused: ProxyRefusal
    blind: str
    excluded: str
    requests: int
    failed: int
    controller: str
    cut_off: bool
    def __init__(self, node: _Optional[str] = ..., fleet: _Optional[str] = ..., client: _Optional[str] = ..., connected_at: _Optional[float] = ..., state: _Optional[str] = ..., types: _Optional[_Iterable[_Union[ProxyType, _Mapping]]] = ..., waits: _Optional[_Iterable[_Union[ProxyWait, _Mapping]]] = ..., refused: _Optional[_Union[ProxyRefusal, _Mapping]] = ..., blind: _Optional[str] = ..., excluded: _Optional[str] = ..., requests: _Optional[int] = ..., failed: _Optional[int] = ..., controller: _Optional[str] = ..., cut_off: _Optional[bool] = ...) -> None: ...

class RetryRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class RetryResponse(_message.Message):
    __slots__ = ("nodes", "unreached")
    NODES_FIELD_NUMBER: _ClassVar[int]
    UNREACHED_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    unreached: _containers.RepeatedCompositeFieldContainer[UnreachedController]
    def __init__(self, nodes: _Optional[_Iterable[str]] = ..., unreached: _Optional[_Iterable[_Union[UnreachedController, _Mapping]]] = ...) -> None: ...

class UnreachedController(_message.Message):
    __slots__ = ("controller", "admin", "reason")
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    ADMIN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    controller: str
    admin: str
    reason: str
    def __init__(self, controller: _Optional[str] = ..., admin: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ProxyWait(_message.Message):
    __slots__ = ("service", "reason", "since")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    service: str
    reason: str
    since: float
    def __init__(self, service: _Optional[str] = ..., reason: _Optional[str] = ..., since: _Optional[float] = ...) -> None: ...

class ProxyRefusal(_message.Message):
    __slots__ = ("type_url", "at", "error")
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    type_url: str
    at: float
    error: str
    def __init__(self, type_url: _Optional[str] = ..., at: _Optional[float] = ..., error: _Optional[str] = ...) -> None: ...

class ProxyType(_message.Message):
    __slots__ = ("type_url", "state", "wanted", "acknowledged", "since", "error")
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    type_url: str
    state: str
    wanted: str
    acknowledged: str
    since: float
    error: str
    def __init__(self, type_url: _Optional[str] = ..., state: _Optional[str] = ..., wanted: _Optional[str] = ..., acknowledged: _Optional[str] = ..., since: _Optional[float] = ..., error: _Optional[str] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("service", "after", "limit")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    service: str
    after: int
    limit: int
    def __init__(self, service: _Optional[str] = ..., after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("service", "after")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    service: str
    after: int
    def __init__(self, service: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("sequence", "revision", "at", "kind", "service", "who", "why", "weights_before", "weights_after", "details", "change_id", "previous", "hash", "effect", "as_stored", "verified_by", "unverified")
    class WeightsBeforeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class WeightsAfterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_AFTER_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    CHANGE_ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    AS_STORED_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_BY_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    revision: int
    at: float
    kind: str
    service: str
    who: str
    why: str
    weights_before: _containers.ScalarMap[str, int]
    weights_after: _containers.ScalarMap[str, int]
    details: str
    change_id: str
    previous: str
    hash: str
    effect: str
    as_stored: str
    verified_by: str
    unverified: bool
    def __init__(self, sequence: _Optional[int] = ..., revision: _Optional[int] = ..., at: _Optional[float] = ..., kind: _Optional[str] = ..., service: _Optional[str] = ..., who: _Optional[str] = ..., why: _Optional[str] = ..., weights_before: _Optional[_Mapping[str, int]] = ..., weights_after: _Optional[_Mapping[str, int]] = ..., details: _Optional[str] = ..., change_id: _Optional[str] = ..., previous: _Optional[str] = ..., hash: _Optional[str] = ..., effect: _Optional[str] = ..., as_stored: _Optional[str] = ..., verified_by: _Optional[str] = ..., unverified: _Optional[bool] = ...) -> None: ...

class ExplainRolloutRequest(_message.Message):
    __slots__ = ("service", "sequence")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    service: str
    sequence: int
    def __init__(self, service: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("service", "rollout_id", "stable", "canary", "rollout", "decided", "limit", "channels", "gates", "history", "decisions", "missing")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    GATES_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    service: str
    rollout_id: str
    stable: str
    canary: str
    rollout: Rollout
    decided: str
    limit: float
    channels: _containers.RepeatedCompositeFieldContainer[ReasonInfo]
    gates: _containers.RepeatedCompositeFieldContainer[ReasonInfo]
    history: _containers.RepeatedCompositeFieldContainer[EvidencePoint]
    decisions: _containers.RepeatedCompositeFieldContainer[Event]
    missing: str
    def __init__(self, service: _Optional[str] = ..., rollout_id: _Optional[str] = ..., stable: _Optional[str] = ..., canary: _Optional[str] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ..., decided: _Optional[str] = ..., limit: _Optional[float] = ..., channels: _Optional[_Iterable[_Union[ReasonInfo, _Mapping]]] = ..., gates: _Optional[_Iterable[_Union[ReasonInfo, _Mapping]]] = ..., history: _Optional[_Iterable[_Union[EvidencePoint, _Mapping]]] = ..., decisions: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., missing: _Optional[str] = ...) -> None: ...

class EvidencePoint(_message.Message):
    __slots__ = ("time", "at", "weight", "total", "harm", "no_harm", "worse")
    class HarmEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class NoHarmEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class WorseEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    TIME_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    HARM_FIELD_NUMBER: _ClassVar[int]
    NO_HARM_FIELD_NUMBER: _ClassVar[int]
    WORSE_FIELD_NUMBER: _ClassVar[int]
    time: float
    at: float
    weight: int
    total: float
    harm: _containers.ScalarMap[str, float]
    no_harm: _containers.ScalarMap[str, float]
    worse: _containers.ScalarMap[str, int]
    def __init__(self, time: _Optional[float] = ..., at: _Optional[float] = ..., weight: _Optional[int] = ..., total: _Optional[float] = ..., harm: _Optional[_Mapping[str, float]] = ..., no_harm: _Optional[_Mapping[str, float]] = ..., worse: _Optional[_Mapping[str, int]] = ...) -> None: ...

class GetRecordingRequest(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class Recording(_message.Message):
    __slots__ = ("service", "rollout_id", "stable", "canary", "edges_ms", "windows", "dropped", "decisions")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    EDGES_MS_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    service: str
    rollout_id: str
    stable: str
    canary: str
    edges_ms: _containers.RepeatedScalarFieldContainer[float]
    windows: _containers.RepeatedCompositeFieldContainer[RecordedWindow]
    dropped: int
    decisions: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, service: _Optional[str] = ..., rollout_id: _Optional[str] = ..., stable: _Optional[str] = ..., canary: _Optional[str] = ..., edges_ms: _Optional[_Iterable[float]] = ..., windows: _Optional[_Iterable[_Union[RecordedWindow, _Mapping]]] = ..., dropped: _Optional[int] = ..., decisions: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class RecordedWindow(_message.Message):
    __slots__ = ("since", "until", "at", "weight", "stable", "canary", "custom", "strata")
    class CustomEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: RecordedReading
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[RecordedReading, _Mapping]] = ...) -> None: ...
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    STRATA_FIELD_NUMBER: _ClassVar[int]
    since: float
    until: float
    at: float
    weight: int
    stable: RecordedSample
    canary: RecordedSample
    custom: _containers.MessageMap[str, RecordedReading]
    strata: _containers.RepeatedCompositeFieldContainer[RecordedStratum]
    def __init__(self, since: _Optional[float] = ..., until: _Optional[float] = ..., at: _Optional[float] = ..., weight: _Optional[int] = ..., stable: _Optional[_Union[RecordedSample, _Mapping]] = ..., canary: _Optional[_Union[RecordedSample, _Mapping]] = ..., custom: _Optional[_Mapping[str, RecordedReading]] = ..., strata: _Optional[_Iterable[_Union[RecordedStratum, _Mapping]]] = ...) -> None: ...

class RecordedStratum(_message.Message):
    __slots__ = ("name", "stable", "canary")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    name: str
    stable: RecordedSample
    canary: RecordedSample
    def __init__(self, name: _Optional[str] = ..., stable: _Optional[_Union[RecordedSample, _Mapping]] = ..., canary: _Optional[_Union[RecordedSample, _Mapping]] = ...) -> None: ...

class RecordedReading(_message.Message):
    __slots__ = ("counts", "values", "unread")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    counts: RecordedCounts
    values: RecordedValues
    unread: RecordedUnread
    def __init__(self, counts: _Optional[_Union[RecordedCounts, _Mapping]] = ..., values: _Optional[_Union[RecordedValues, _Mapping]] = ..., unread: _Optional[_Union[RecordedUnread, _Mapping]] = ...) -> None: ...

class RecordedUnread(_message.Message):
    __slots__ = ("why", "heard")
    WHY_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    why: str
    heard: bool
    def __init__(self, why: _Optional[str] = ..., heard: _Optional[bool] = ...) -> None: ...

class RecordedCounts(_message.Message):
    __slots__ = ("canary_n", "canary_x", "stable_n", "stable_x")
    CANARY_N_FIELD_NUMBER: _ClassVar[int]
    CANARY_X_FIELD_NUMBER: _ClassVar[int]
    STABLE_N_FIELD_NUMBER: _ClassVar[int]
    STABLE_X_FIELD_NUMBER: _ClassVar[int]
    canary_n: int
    canary_x: int
    stable_n: int
    stable_x: int
    def __init__(self, canary_n: _Optional[int] = ..., canary_x: _Optional[int] = ..., stable_n: _Optional[int] = ..., stable_x: _Optional[int] = ...) -> None: ...

class RecordedValues(_message.Message):
    __slots__ = ("canary", "stable", "higher", "decisive", "readings", "slack")
    CANARY_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    HIGHER_FIELD_NUMBER: _ClassVar[int]
    DECISIVE_FIELD_NUMBER: _ClassVar[int]
    READINGS_FIELD_NUMBER: _ClassVar[int]
    SLACK_FIELD_NUMBER: _ClassVar[int]
    canary: float
    stable: float
    higher: bool
    decisive: int
    readings: int
    slack: float
    def __init__(self, canary: _Optional[float] = ..., stable: _Optional[float] = ..., higher: _Optional[bool] = ..., decisive: _Optional[int] = ..., readings: _Optional[int] = ..., slack: _Optional[float] = ...) -> None: ...

class RecordedSample(_message.Message):
    __slots__ = ("started", "ok", "errors", "bucket", "count", "in_progress", "cancelled", "ttft_bucket", "ttft_count")
    class ErrorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STARTED_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    IN_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    TTFT_BUCKET_FIELD_NUMBER: _ClassVar[int]
    TTFT_COUNT_FIELD_NUMBER: _ClassVar[int]
    started: int
    ok: int
    errors: _containers.ScalarMap[str, int]
    bucket: _containers.RepeatedScalarFieldContainer[int]
    count: _containers.RepeatedScalarFieldContainer[int]
    in_progress: int
    cancelled: int
    ttft_bucket: _containers.RepeatedScalarFieldContainer[int]
    ttft_count: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, started: _Optional[int] = ..., ok: _Optional[int] = ..., errors: _Optional[_Mapping[str, int]] = ..., bucket: _Optional[_Iterable[int]] = ..., count: _Optional[_Iterable[int]] = ..., in_progress: _Optional[int] = ..., cancelled: _Optional[int] = ..., ttft_bucket: _Optional[_Iterable[int]] = ..., ttft_count: _Optional[_Iterable[int]] = ...) -> None: ...
