"""Parts that Envoy's messages of every kind are made of."""

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.type_urls import TYPE_URL_PREFIX


def ads() -> pb.ConfigSource:
    """The client's own ADS stream."""
    return pb.ConfigSource(ads=Empty(), resource_api_version=pb.ConfigSource.V3)


def any_of(kind: str, message: Message) -> Any:
    """A message of Envoy's as an Any; `kind` is its full name."""
    return Any(type_url=TYPE_URL_PREFIX + kind, value=message.SerializeToString())
