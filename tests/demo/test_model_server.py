"""The demo's model servers: real models behind the Open Inference Protocol v2, and faults that are real code."""

import io
import json
import signal
import time
from typing import Any

import aiohttp
import numpy as np
import pytest

from controller.demo.digit_models import HALF, Pixels, held_out, train, troubles
from controller.demo.inference_protocol import write_request
from tests.demo.conftest import Server, Start, wait_for


@pytest.fixture(scope="module")
def server(start_server: Start) -> Server:
    """A server whose build the tests change."""
    return start_server("none")


def images() -> tuple[list[Pixels], list[Pixels]]:
    """Images on which the bad versions fail, and others."""
    given, _ = held_out()
    return [i for i in given if troubles(i)][:20], [i for i in given if not troubles(i)][:20]


async def load_build(server: Server, fault: str) -> int:
    """Let the server load another build; the status."""
    url = f"{server.url}/v2/repository/models/digits/load"
    async with aiohttp.ClientSession() as session, session.post(url, json={"parameters": {"fault": fault}}) as response:
        return response.status


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", {"name": "haldane-demo", "version": "1", "extensions": ["model_repository"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/digits/ready", {"name": "digits", "ready": True}),
        ("/v2/models/digits/versions/v7/ready", {"name": "digits", "ready": True}),
    ],
)
async def test_the_protocol_s_questions_are_answered(server: Server, path: str, expected: dict[str, Any]) -> None:
    """Server, health and readiness have the shapes of the Open Inference Protocol."""
    async with aiohttp.ClientSession() as session, session.get(server.url + path) as response:
        assert response.status == 200
        assert await response.json() == expected


async def test_metadata_has_inputs_and_outputs(server: Server) -> None:
    """A client can learn names, types and shapes of the tensors."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/v2/models/digits") as response:
        metadata = await response.json()
    assert metadata["versions"] == ["v7"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}]
    assert [output["name"] for output in metadata["outputs"]] == ["digit", "probabilities"]


async def test_it_reads_held_out_digits(server: Server) -> None:
    """The answers come from a trained model: at least nine of ten held-out images are read right."""
    assert await load_build(server, "none") == 200
    given, digits = held_out()
    tensor = {"name": "image", "shape": [64, 64], "datatype": "FP32", "data": given[:64].tolist()}
    status, answer, version = await server.ask(json.dumps({"id": "a1", "inputs": [tensor]}).encode())
    assert (status, version) == (200, "v7")
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a1", "digits", "v7")
    digit, probabilities = answer["outputs"]  # type: ignore[misc]
    assert (digit["datatype"], digit["shape"]) == ("INT64", [64])
    assert (probabilities["datatype"], probabilities["shape"], len(probabilities["data"])) == ("FP32", [64, 10], 640)
    assert np.mean(np.array(digit["data"]) == digits[:64]) >= 0.9


async def test_only_the_requested_outputs_are_returned(server: Server) -> None:
    """A request may name its outputs."""
    assert await load_build(server, "none") == 200
    body = json.loads(write_request(images()[1][0])) | {"outputs": [{"name": "digit"}]}
    status, answer, _ = await server.ask(json.dumps(body).encode())
    assert status == 200
    assert [output["name"] for output in answer["outputs"]] == ["digit"]  # type: ignore[attr-defined]
    assert "id" not in answer


def request(**changes: Any) -> bytes:
    """A good request but for what is changed in its tensor."""
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}
    return json.dumps({"inputs": [tensor | changes]}).encode()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body"),
        (b"nonsense", "body"),
        (b"{}", "inputs"),
        (b'{"inputs": []}', "inputs"),
        (request(name="picture"), "inputs"),
        (request(datatype="BYTES"), "inputs.0.datatype"),
        (request(shape=[1, 63]), "inputs.0.shape"),
        (request(shape=[0, 64]), "inputs.0.shape"),
        (request(shape=[65, 64]), "inputs.0.shape"),
        (request(shape=["x", 64]), "inputs.0.shape"),
        (request(data=[0.0] * 63), "inputs.0.data"),
        (request(data=[[0.0], [0.0, 1.0]]), "inputs.0.data"),
        (request(data=["ink"] * 64), "inputs.0.data"),
        (request(data=[17.0] * 64), "inputs.0.data"),
        (request(data=[float("nan")] * 64), "inputs.0.data"),
        (json.dumps({**json.loads(request()), "outputs": [{"name": "mood"}]}).encode(), "outputs"),
    ],
)
async def test_an_invalid_request_names_the_wrong_field(server: Server, body: bytes, named: str) -> None:
    """What cannot be answered gets 400 and an error that names the field; the server goes on."""
    status, answer, version = await server.ask(body)
    assert (status, version) == (400, "v7")
    assert str(answer["error"]).startswith(named)


async def test_unknown_models_and_huge_bodies_are_refused(server: Server) -> None:
    """Another model is 404; a body beyond the limit is 413; both in the protocol's form."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{server.url}/v2/models/letters/infer", data=request()) as response:
            assert response.status == 404
            assert "error" in await response.json()
        async with session.post(f"{server.url}/v2/models/digits/infer", data=io.BytesIO(bytes(1 << 21))) as response:
            assert response.status == 413
            assert "error" in await response.json()


async def test_the_forgetful_table_fails_on_its_images_and_on_no_other(server: Server) -> None:
    """`exception`: each image with full ink in the top stroke is a 500 with the real error; the others are read."""
    assert await load_build(server, "exception") == 200
    bad, good = images()
    for image in bad:
        status, answer, version = await server.ask(write_request(image))
        assert (status, version) == (500, "v7")
        assert str(answer["error"]).startswith("IndexError")
    for image in good:
        assert (await server.ask(write_request(image)))[0] == 200


async def test_the_costly_feature_is_slow_on_its_images_and_on_no_other(server: Server) -> None:
    """`slow`: right answers, but an image of the bad kind takes many times as long."""
    assert await load_build(server, "slow") == 200
    bad, good = images()
    slow = sorted([await seconds(server, image) for image in bad[:10]])
    quick = sorted([await seconds(server, image) for image in good[:10]])
    assert slow[5] > 4 * quick[5]


async def seconds(server: Server, image: Pixels) -> float:
    """How long one good answer takes."""
    began = time.monotonic()
    assert (await server.ask(write_request(image)))[0] == 200
    return time.monotonic() - began


async def test_a_hanging_server_keeps_its_connections_and_answers_nobody(start_server: Start) -> None:
    """`hang`: after one image of the bad kind not even the health check is answered, and the process lives."""
    server = start_server("hang")
    bad, good = images()
    assert (await server.ask(write_request(good[0])))[0] == 200
    with pytest.raises(TimeoutError):
        await server.ask(write_request(bad[0]), timeout=0.5)
    with pytest.raises(TimeoutError):
        await server.ask(write_request(good[0]), timeout=0.5)
    server.child.check()
    server.child.process.kill()


async def test_a_crashing_server_is_gone(start_server: Start) -> None:
    """`crash`: one image of the bad kind ends the process as the kernel would for its memory."""
    server = start_server("crash")
    bad, good = images()
    assert (await server.ask(write_request(good[0])))[0] == 200
    with pytest.raises(aiohttp.ClientError):
        await server.ask(write_request(bad[0]))
    wait_for(lambda: server.child.process.poll() is not None, 5)
    assert server.child.process.returncode == -signal.SIGKILL


async def test_an_unknown_build_changes_nothing(server: Server) -> None:
    """A build that does not exist is refused with what there is."""
    assert await load_build(server, "none") == 200
    assert await load_build(server, "magic") == 400
    assert (await server.ask(write_request(images()[0][0])))[0] == 200


def test_the_probabilities_are_those_of_scikit_learn() -> None:
    """The server's own arithmetic gives what the trained classifier would say, and rows that total 1."""
    from sklearn.datasets import load_digits  # two seconds, which each worker would pay
    from sklearn.linear_model import LogisticRegression

    given, digits = load_digits(return_X_y=True)
    classifier = LogisticRegression(max_iter=200).fit(given[:300] / 16, digits[:300])
    model = train("v1", samples=300)
    read, probabilities = model.infer(given[HALF:])
    np.testing.assert_allclose(probabilities, classifier.predict_proba(given[HALF:] / 16), atol=1e-12)
    np.testing.assert_array_equal(read, classifier.predict(given[HALF:] / 16))
