"""A real model server: `python -m controller.demo.model_server --port P --name digits --version v2
--fault none`.

Speaks the Open Inference Protocol v2 over HTTP. A fault can be there from the start (`--fault`) or
come with a new build of the model, loaded as the protocol's model repository extension has it:
`POST /v2/repository/models/{name}/load` with `{"parameters": {"fault": "slow"}}`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import click
import structlog
from aiohttp import web
from pydantic import JsonValue

from controller.demo.digit_models import FEATURES, HALF, Model, ModelFault, train
from controller.demo.harness.request_result import VERSION_HEADER
from controller.demo.inference_protocol import (
    InvalidInferenceRequest,
    metadata,
    read_images,
    read_request,
    write_response,
)

MAX_BODY = 1 << 20
"""Bytes of a request's body."""

log = structlog.get_logger()


@dataclass(slots=True)
class ModelServer:
    """The HTTP API of one model in one version."""

    name: str
    model: Model
    lookup: float = 0.0
    """Seconds that each request waits for features to be looked up elsewhere, as most scoring
    does."""

    def application(self) -> web.Application:
        """The aiohttp application that serves it."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._add_version])
        model, versioned = f"/v2/models/{self.name}", f"/v2/models/{self.name}/versions/{self.model.version}"
        app.router.add_get("/v2", self._server)
        app.router.add_get("/v2/health/live", self._live)
        app.router.add_get("/v2/health/ready", self._ready)
        app.router.add_post(f"/v2/repository/models/{self.name}/load", self._load)
        for path in (model, versioned):
            app.router.add_get(path, self._metadata)
            app.router.add_get(f"{path}/ready", self._model_ready)
            app.router.add_post(f"{path}/infer", self._infer)
        return app

    async def _server(self, _: web.Request) -> web.Response:
        return web.json_response({"name": "haldane-demo", "version": "1", "extensions": ["model_repository"]})

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def _metadata(self, _: web.Request) -> web.Response:
        return web.json_response(metadata(self.name, self.model.version))

    async def _model_ready(self, _: web.Request) -> web.Response:
        return web.json_response({"name": self.name, "ready": True})

    async def _infer(self, request: web.Request) -> web.Response:
        inference = read_request(await request.read())
        images = read_images(inference)
        await asyncio.sleep(self.lookup)
        digits, probabilities = self.model.infer(images)
        return web.json_response(write_response(inference, self.name, self.model.version, digits, probabilities))

    async def _load(self, request: web.Request) -> web.Response:
        fault = _requested_fault(await request.read())
        self.model = replace(self.model, features=FEATURES[fault])
        log.info("model_loaded", version=self.model.version, fault=fault.value)
        return web.json_response({})

    @web.middleware
    async def _add_version(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Name the version in every response, and make every error the protocol's `{"error":
        ...}`."""
        try:
            response = await handler(request)
        except InvalidInferenceRequest as bad:
            response = web.json_response({"error": str(bad)}, status=400)
        except web.HTTPException as http:
            response = web.json_response({"error": http.reason}, status=http.status)
        except Exception as error:
            log.warning("inference_failed", version=self.model.version, error=repr(error))
            response = web.json_response({"error": f"{type(error).__name__}: {error}"}, status=500)
        response.headers[VERSION_HEADER] = self.model.version
        return response


def _requested_fault(body: bytes) -> ModelFault:
    try:
        parameters: JsonValue = json.loads(body or b"{}")
        return ModelFault(parameters["parameters"]["fault"])  # type: ignore[index, call-overload, arg-type]
    except (ValueError, LookupError, TypeError):
        raise InvalidInferenceRequest(f"parameters.fault: one of {', '.join(ModelFault)} is needed") from None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("--name", default="digits", show_default=True, help="The model's name.")
@click.option("--version", default="v1", show_default=True)
@click.option("--fault", type=click.Choice([f.value for f in ModelFault]), default="none", show_default=True)
@click.option("--samples", type=click.IntRange(100, HALF), default=HALF, show_default=True, help="Images to train on.")
@click.option(
    "--lookup", type=click.IntRange(0, 10_000), default=0, show_default=True, help="Milliseconds to wait for features."
)
def main(host: str, port: int, **model: Any) -> None:
    """Train a model and serve it until SIGTERM."""
    server = _train_server(**model)
    log.info(
        "model_serving", name=server.name, version=server.model.version, fault=model["fault"], host=host, port=port
    )
    web.run_app(server.application(), host=host, port=port, print=None, access_log=None, shutdown_timeout=1)


def _train_server(name: str, version: str, fault: str, samples: int, lookup: int) -> ModelServer:
    """A server of a model trained now; `lookup` is in milliseconds."""
    return ModelServer(name, train(version, samples=samples, fault=ModelFault(fault)), lookup / 1000)


if __name__ == "__main__":
    main()
