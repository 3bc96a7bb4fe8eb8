import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from controller.pb.haldane.wire.v1 import discovery_pb2 as _discovery_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConfigStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN: _ClassVar[ConfigStatus]
    SYNCED: _ClassVar[ConfigStatus]
    NOT_SENT: _ClassVar[ConfigStatus]
    STALE: _ClassVar[ConfigStatus]
    ERROR: _ClassVar[ConfigStatus]
UNKNOWN: ConfigStatus
SYNCED: ConfigStatus
NOT_SENT: ConfigStatus
STALE: ConfigStatus
ERROR: ConfigStatus

class ClientStatusRequest(_message.Message):
    __slots__ = ("node_matchers",)
    NODE_MATCHERS_FIELD_NUMBER: _ClassVar[int]
    node_matchers: _containers.RepeatedCompositeFieldContainer[NodeMatcher]
    def __init__(self, node_matchers: _Optional[_Iterable[_Union[NodeMatcher, _Mapping]]] = ...) -> None: ...

class NodeMatcher(_message.Message):
    __slots__ = ("node_id",)
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: StringMatcher
    def __init__(self, node_id: _Optional[_Union[StringMatcher, _Mapping]] = ...) -> None: ...

class StringMatcher(_message.Message):
    __slots__ = ("exact", "prefix", "suffix", "contains")
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    CONTAINS_FIELD_NUMBER: _ClassVar[int]
    exact: str
    prefix: str
    suffix: str
    contains: str
    def __init__(self, exact: _Optional[str] = ..., prefix: _Optional[str] = ..., suffix: _Optional[str] = ..., contains: _Optional[str] = ...) -> None: ...

class ClientStatusResponse(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: _containers.RepeatedCompositeFieldContainer[ClientConfig]
    def __init__(self, config: _Optional[_Iterable[_Union[ClientConfig, _Mapping]]] = ...) -> None: ...

class ClientConfig(_message.Message):
    __slots__ = ("node", "generic_xds_configs")
    NODE_FIELD_NUMBER: _ClassVar[int]
    GENERIC_XDS_CONFIGS_FIELD_NUMBER: _ClassVar[int]
    node: _discovery_pb2.Node
    generic_xds_configs: _containers.RepeatedCompositeFieldContainer[TypeConfig]
    def __init__(self, node: _Optional[_Union[_discovery_pb2.Node, _Mapping]] = ..., generic_xds_configs: _Optional[_Iterable[_Union[TypeConfig, _Mapping]]] = ...) -> None: ...

class TypeConfig(_message.Message):
    __slots__ = ("type_url", "version_info", "last_updated", "config_status", "error_state")
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    VERSION_INFO_FIELD_NUMBER: _ClassVar[int]
    LAST_UPDATED_FIELD_NUMBER: _ClassVar[int]
    CONFIG_STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_STATE_FIELD_NUMBER: _ClassVar[int]
    type_url: str
    version_info: str
    last_updated: _timestamp_pb2.Timestamp
    config_status: ConfigStatus
    error_state: UpdateFailure
    def __init__(self, type_url: _Optional[str] = ..., version_info: _Optional[str] = ..., last_updated: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., config_status: _Optional[_Union[ConfigStatus, str]] = ..., error_state: _Optional[_Union[UpdateFailure, _Mapping]] = ...) -> None: ...

class UpdateFailure(_message.Message):
    __slots__ = ("details", "version_info")
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    VERSION_INFO_FIELD_NUMBER: _ClassVar[int]
    details: str
    version_info: str
    def __init__(self, details: _Optional[str] = ..., version_info: _Optional[str] = ...) -> None: ...
