from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FollowRequest(_message.Message):
    __slots__ = ("instance",)
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    def __init__(self, instance: _Optional[str] = ...) -> None: ...

class ViewPart(_message.Message):
    __slots__ = ("store_id", "revision", "services", "gone", "last", "broken", "freezes", "exclusions")
    class ServicesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class BrokenEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIONS_FIELD_NUMBER: _ClassVar[int]
    store_id: str
    revision: int
    services: _containers.ScalarMap[str, str]
    gone: _containers.RepeatedScalarFieldContainer[str]
    last: bool
    broken: _containers.ScalarMap[str, str]
    freezes: _containers.RepeatedCompositeFieldContainer[Record]
    exclusions: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, store_id: _Optional[str] = ..., revision: _Optional[int] = ..., services: _Optional[_Mapping[str, str]] = ..., gone: _Optional[_Iterable[str]] = ..., last: _Optional[bool] = ..., broken: _Optional[_Mapping[str, str]] = ..., freezes: _Optional[_Iterable[_Union[Record, _Mapping]]] = ..., exclusions: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("key", "text")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    key: str
    text: str
    def __init__(self, key: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Announcement(_message.Message):
    __slots__ = ("number", "member")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    member: str
    def __init__(self, number: _Optional[int] = ..., member: _Optional[str] = ...) -> None: ...

class Announced(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RosterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Roster(_message.Message):
    __slots__ = ("members", "leader")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedScalarFieldContainer[str]
    leader: Leader
    def __init__(self, members: _Optional[_Iterable[str]] = ..., leader: _Optional[_Union[Leader, _Mapping]] = ...) -> None: ...

class Leader(_message.Message):
    __slots__ = ("instance", "token", "since")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    token: int
    since: float
    def __init__(self, instance: _Optional[str] = ..., token: _Optional[int] = ..., since: _Optional[float] = ...) -> None: ...

class MetricsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Metrics(_message.Message):
    __slots__ = ("families",)
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    families: bytes
    def __init__(self, families: _Optional[bytes] = ...) -> None: ...
