"""The messages of the Open Inference Protocol v2 (REST) that the demo's servers and clients
exchange.

Source:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from controller.demo.digit_models import MAX_INK, PIXELS, Pixels

MAX_BATCH = 64
"""Images in one request."""
INPUT = "image"
DATATYPE = "FP32"


class InvalidInferenceRequest(ValueError):  # noqa: N818
    """The request is not valid. The message names the field and what is needed."""


class Message(BaseModel):
    """Base of the messages. The protocol allows further keys, which are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Tensor(Message):
    """A named tensor; `data` is flat or nested, in row-major order."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    data: list[Any]


class RequestedOutput(Message):
    """The name of an output that the client wants."""

    name: str


class InferRequest(Message):
    """A request for inference."""

    id: str | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()


def read_request(body: bytes) -> InferRequest:
    """The request in this body. Raises `InvalidInferenceRequest`."""
    try:
        return InferRequest.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInferenceRequest("; ".join(f"{_path(e['loc'])}: {e['msg']}" for e in error.errors())) from None


def read_images(request: InferRequest) -> Pixels:
    """The images (n x 64) in the request. Raises `InvalidInferenceRequest`."""
    if len(request.inputs) != 1 or request.inputs[0].name != INPUT:
        raise InvalidInferenceRequest(f"inputs: one input named {INPUT!r} is needed")
    tensor = request.inputs[0]
    if tensor.datatype != DATATYPE:
        raise InvalidInferenceRequest(f"inputs.0.datatype: {DATATYPE} is needed, not {tensor.datatype!r}")
    if len(tensor.shape) != 2 or tensor.shape[1] != PIXELS or not 1 <= tensor.shape[0] <= MAX_BATCH:
        raise InvalidInferenceRequest(f"inputs.0.shape: [n, {PIXELS}] with n from 1 to {MAX_BATCH} is needed")
    try:
        images = np.asarray(tensor.data, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise InvalidInferenceRequest("inputs.0.data: numbers are needed, flat or nested as the shape says") from None
    if images.size != tensor.shape[0] * PIXELS:
        raise InvalidInferenceRequest(
            f"inputs.0.data: {tensor.shape[0] * PIXELS} numbers are needed, not {images.size}"
        )
    if not np.all((images >= 0) & (images <= MAX_INK)):
        raise InvalidInferenceRequest(f"inputs.0.data: ink lies between 0 and {MAX_INK}")
    return images.reshape(tensor.shape)


def write_request(image: Pixels, request_id: str = "") -> bytes:
    """The body of a request with one image."""
    tensor = {"name": INPUT, "shape": [1, PIXELS], "datatype": DATATYPE, "data": image.tolist()}
    return json.dumps({"id": request_id, "inputs": [tensor]} if request_id else {"inputs": [tensor]}).encode()


def write_response(
    request: InferRequest, name: str, version: str, digits: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> dict[str, JsonValue]:
    """The response with the requested outputs, all if none is named.

    Raises `InvalidInferenceRequest`.
    """
    count = len(digits)
    outputs: dict[str, Any] = {
        "digit": {"name": "digit", "shape": [count], "datatype": "INT64", "data": digits.tolist()},
        "probabilities": {
            "name": "probabilities",
            "shape": [count, probabilities.shape[1]],
            "datatype": DATATYPE,
            "data": probabilities.round(6).ravel().tolist(),
        },
    }
    wanted = [output.name for output in request.outputs] or list(outputs)
    unknown = sorted(set(wanted) - set(outputs))
    if unknown:
        raise InvalidInferenceRequest(f"outputs: there is no {', '.join(unknown)}; there are {', '.join(outputs)}")
    response: dict[str, JsonValue] = {
        "model_name": name,
        "model_version": version,
        "outputs": [outputs[output] for output in wanted],
    }
    return response if request.id is None else response | {"id": request.id}


def metadata(name: str, version: str) -> dict[str, JsonValue]:
    """The metadata of the model: its inputs and outputs."""
    return {
        "name": name,
        "versions": [version],
        "platform": "scikit-learn",
        "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [-1, PIXELS]}],
        "outputs": [
            {"name": "digit", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": DATATYPE, "shape": [-1, 10]},
        ],
    }


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "body"
