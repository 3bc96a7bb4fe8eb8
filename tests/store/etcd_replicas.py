"""Replicas of one store in the etcd that the tests of a process share."""

import uuid
from pathlib import Path

import aiohttp

from controller.ports.clock import Clock
from controller.store.etcd.client import PATIENCE, EtcdClient
from controller.store.etcd.etcd_store import EtcdStore, Limits
from controller.store.etcd.keys import Keys
from tests.support.etcd import EtcdCluster, shared_cluster


class Replicas:
    """Opens replicas of one new store, each with a folder of its own, and closes them."""

    def __init__(self, folder: Path, clock: Clock, cluster: EtcdCluster | None = None) -> None:
        self.cluster = cluster or shared_cluster()
        self.keys = Keys(f"/{uuid.uuid4()}")
        self._folder = folder
        self._clock = clock
        self._opened: list[EtcdStore] = []
        self._clients: list[EtcdClient] = []

    def client(self) -> EtcdClient:
        """A client that is closed with the replicas."""
        client = EtcdClient(self.cluster.endpoints)
        self._clients.append(client)
        return client

    def folder(self, name: str) -> Path:
        """What a replica keeps on its machine."""
        return self._folder / name

    async def open(
        self,
        name: str = "one",
        *,
        client: EtcdClient | None = None,
        limits: Limits | None = None,
        init: bool = False,
        patience: float = PATIENCE,
    ) -> EtcdStore:
        """The replica of that name, which may have been open before."""
        client = client or EtcdClient(self.cluster.endpoints, patience=patience)
        store = await EtcdStore.open(
            client, self.keys.prefix, clock=self._clock, folder=self.folder(name), limits=limits, init=init
        )
        self._opened.append(store)
        return store

    async def close(self) -> None:
        """Close all that were opened."""
        for store in self._opened:
            await store.close()
        for client in self._clients:
            await client.close()


async def gateway(endpoint: str, path: str, *, token: str = "", **body: object) -> dict[str, object]:
    """A call of etcd's JSON gateway, for what a controller never asks for; `token` is that of a user."""
    headers = {"Authorization": token} if token else {}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://{endpoint}/v3/{path}", json=body, headers=headers) as response,
    ):
        response.raise_for_status()
        return dict(await response.json())
