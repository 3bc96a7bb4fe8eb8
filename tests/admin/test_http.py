"""The HTTP door: probes, metrics, and the kill switch for curl."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from controller.admin.http_api import MAX_BODY
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.admin.doors import Doors
from tests.builders import freeze, freezing

JSON = {"Content-Type": "application/json"}
FREEZE = {"service": None, "reason": "incident 42", "ttl": "30m"}


async def post(doors: Doors, path: str, body: object, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """The status and the answer of a POST; a body of text or bytes goes as it is."""
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    async with doors.http.post(path, data=data, headers=headers or JSON) as answer:
        return answer.status, await answer.json()


async def get(doors: Doors, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    async with doors.http.get(path, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_alive_even_when_nothing_else_works(doors: Doors) -> None:
    """Liveness depends on nothing: were it the store, the store's outage would restart every controller."""
    doors.unready = "the store does not answer"
    doors.store.away = True
    assert await get(doors, "/healthz") == (200, {"status": "alive"})


async def test_ready_only_while_it_is(doors: Doors) -> None:
    """503 with the reason until the controller is ready, 200 then."""
    doors.unready = "starting"
    assert await get(doors, "/readyz") == (503, {"status": "not ready", "reason": "starting", "role": "follower"})
    doors.unready = None
    assert await get(doors, "/readyz") == (200, {"status": "ready", "role": "follower", "problems": {}})
    doors.fleet.problems = {"scorer": "v1 carries traffic but has no endpoints"}
    assert await get(doors, "/readyz") == (
        200,
        {"status": "ready", "role": "follower", "problems": doors.fleet.problems},
    )


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_metrics_in_the_form_that_is_asked_for(doors: Doors, accept: str, content_type: str) -> None:
    """The registry in Prometheus's text form, or OpenMetrics for who asks."""
    async with doors.http.get("/metrics", headers={"Accept": accept}) as answer:
        assert answer.status == 200
        assert answer.content_type == content_type
        assert "haldane_store_up 1.0" in await answer.text()


async def test_a_freeze_is_durable_when_it_is_answered(served: Doors) -> None:
    """200 comes with the freeze as it is stored; lists, HTTP and gRPC, show the same."""
    status, frozen = await post(served, "/freeze", FREEZE)
    assert status == 200
    assert frozen == {
        "service": None,
        "mode": "freeze",
        "reason": "incident 42",
        "who": "anonymous@127.0.0.1",
        "verified_by": "",
        "unverified": True,
        "since": 1_700_000_000.0,
        "until": 1_700_001_800.0,
        "revision": 2,
    }
    assert [freeze.scope for freeze in (await served.store.load()).freezes] == ["*"]
    del frozen["revision"]
    assert await get(served, "/freeze") == (200, [frozen])
    assert [f.until for f in (await served.api.switch.ListFreezes(pb.ListFreezesRequest())).freezes] == [
        1_700_001_800.0
    ]


async def test_a_service_is_frozen_by_name_and_lifted_again(served: Doors) -> None:
    """One service, no ttl; lifting answers with what was lifted."""
    status, frozen = await post(served, "/freeze", {"service": "scorer", "reason": "incident 42"})
    assert (status, frozen["service"], frozen["until"]) == (200, "scorer", None)
    status, lifted = await post(served, "/unfreeze", {"service": "scorer", "reason": "over"})
    assert (status, [f["service"] for f in lifted["lifted"]]) == (200, ["scorer"])
    assert await get(served, "/freeze") == (200, [])


async def test_a_name_in_the_header_goes_into_the_ledger(doors: Doors) -> None:
    """`Haldane-User` names who asks, as the command line's metadata does."""
    _, frozen = await post(doors, "/freeze", FREEZE, {**JSON, "Haldane-User": "alice"})
    assert frozen["who"] == "alice@127.0.0.1"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json; charset=utf-8"])
async def test_curl_need_not_say_what_it_sends(doors: Doors, content_type: str) -> None:
    """`curl -d` calls everything a form; the body is read as JSON all the same."""
    status, _ = await post(doors, "/freeze", FREEZE, {"Content-Type": content_type})
    assert status == 200


async def test_a_retry_with_the_same_request_id_sets_one_freeze(doors: Doors) -> None:
    """A client that lost the answer may ask again; for another freeze the id is refused."""
    asked = {**FREEZE, "request_id": "f-1"}
    first, again = await post(doors, "/freeze", asked), await post(doors, "/freeze", asked)
    assert first == again
    status, answer = await post(doors, "/freeze", {**asked, "reason": "another"})
    assert (status, answer["error"]) == (400, "REQUEST_ID_REUSED")


@pytest.mark.proves("track-record 72")
async def test_who_lifts_hears_what_still_stands(served: Doors) -> None:
    """In the answer, in that of a retry, and in the ledger: by whom, and why."""
    await served.store.command(freezing(freeze(), freeze("scorer", reason="deploy", who="ada")))
    for _ in range(2):
        asked = {"service": "scorer", "reason": "deployed", "request_id": "u-1"}
        status, answer = await post(served, "/unfreeze", asked)
        assert (status, [f["reason"] for f in answer["standing"]]) == (200, ["incident 42"])
    last = (await served.store.events())[-1].entry
    assert last.why == "deployed; still in force: all services are frozen by grace: incident 42"


@pytest.mark.proves("track-record 31")
async def test_a_retry_of_a_freeze_that_was_lifted_meanwhile_promises_nothing(doors: Doors) -> None:
    """Nothing is frozen any more, and nobody is told that it is."""
    asked = {**FREEZE, "request_id": "f-1"}
    await post(doors, "/freeze", asked)
    await post(doors, "/unfreeze", {"service": None, "reason": "over"})
    status, answer = await post(doors, "/freeze", asked)
    assert (status, answer["error"]) == (409, "CONFLICT")
    assert "no longer in force" in answer["message"]
    assert await get(doors, "/freeze") == (200, [])


@pytest.mark.proves("fault 8")
async def test_a_freeze_that_is_not_durable_is_not_promised(doors: Doors) -> None:
    """503 while the store does not answer."""
    doors.store.away = True
    status, answer = await post(doors, "/freeze", FREEZE)
    assert (status, answer["error"]) == (503, "NOT_DURABLE")


async def test_one_freeze_too_many_is_refused(doors: Doors) -> None:
    """429 with the limit's name; what stands is not touched."""
    await doors.store.command(freezing(*(freeze(reason=f"reason {n}") for n in range(1000))))
    before = await doors.store.load()
    status, answer = await post(doors, "/freeze", FREEZE)
    assert (status, answer["error"]) == (429, "TOO_MANY")
    assert "max_freezes" in answer["message"]
    assert await doors.store.load() is before


BAD = {
    "nothing": (b"", "not JSON"),
    "half an object": ('{"service": null, "rea', "not JSON"),
    "no object": ("[]", "JSON object"),
    "a bare string": ('"freeze"', "JSON object"),
    "not UTF-8": (b'{"service": "\xff"}', "not JSON"),
    "NaN": ('{"service": null, "reason": "x", "ttl": NaN}', "NaN"),
    "a key twice": ('{"service": null, "service": "scorer", "reason": "x"}', "'service' is there twice"),
    "a bomb of brackets": ("[" * 60_000, "nested too deeply"),
    "a number without end": ('{"service": ' + "9" * 60_000 + "}", "not JSON"),
    "an unknown key": ({**FREEZE, "who": "root"}, "'who': unknown key"),
    "no service": ({"reason": "x"}, "service: is missing"),
    "a list of services": ({**FREEZE, "service": ["scorer"]}, "service: text is needed, not list"),
    "a number for a service": ({**FREEZE, "service": 7}, "service: text is needed, not int"),
    "a star for a service": ({**FREEZE, "service": "*"}, "services"),
    "an unknown service": ({**FREEZE, "service": "nobody"}, "nobody"),
    "no reason": ({"service": None}, "reason"),
    "null for a reason": ({"service": None, "reason": None}, "reason"),
    "a blank reason": ({"service": None, "reason": "  "}, "reason"),
    "a number for a ttl": ({**FREEZE, "ttl": 30}, "ttl: text is needed, not int"),
    "a nonsense ttl": ({**FREEZE, "ttl": "for ever"}, "ttl"),
    "a negative ttl": ({**FREEZE, "ttl": "-30m"}, "ttl"),
    "a ttl of nothing": ({**FREEZE, "ttl": "0s"}, "ttl"),
    "a ttl of a century": ({**FREEZE, "ttl": "36500d"}, "ttl"),
    "half a surrogate pair": ('{"service": "\\ud800", "reason": "x"}', "service: ASCII"),
    "half a surrogate pair for a reason": ('{"service": null, "reason": "\\ud800"}', "reason: no control"),
    "a request id without end": ({**FREEZE, "request_id": "x" * 129}, "request_id"),
}


@pytest.mark.parametrize(("body", "told"), BAD.values(), ids=list(BAD))
async def test_a_bad_body_is_400_with_the_reason(served: Doors, body: object, told: str) -> None:
    """Whatever is wrong with a body is said, and nothing is frozen."""
    status, answer = await post(served, "/freeze", body)
    assert (status, answer["error"] in ("INVALID", "NOT_FOUND")) == (400, True)
    assert told in answer["message"]
    assert not (await served.store.load()).freezes


async def test_everything_wrong_with_a_body_is_told_at_once(doors: Doors) -> None:
    """Each field once: who mends the first mistake does not learn of the second one only then."""
    status, answer = await post(doors, "/freeze", {"service": 7, "reason": None, "ttl": 30, "request_id": []})
    assert status == 400
    assert [violation["field"] for violation in answer["violations"]] == ["service", "ttl", "request_id", "reason"]


@pytest.mark.proves("track-record 26")
async def test_everything_wrong_with_an_unfreeze_is_told_at_once(doors: Doors) -> None:
    """The service that is missing and the reason that is."""
    status, answer = await post(doors, "/unfreeze", {})
    assert status == 400
    assert [violation["field"] for violation in answer["violations"]] == ["service", "reason"]


async def test_unfreeze_of_nothing_is_400(doors: Doors) -> None:
    """There is nothing to lift, and the answer says so."""
    status, answer = await post(doors, "/unfreeze", {"service": None, "reason": "over"})
    assert (status, answer["message"]) == (400, "nothing is frozen")


async def test_a_body_is_bounded(doors: Doors) -> None:
    """64 KiB are read, one byte more is not."""
    fits = json.dumps(FREEZE).ljust(MAX_BODY)
    assert (await post(doors, "/freeze", fits))[0] == 200
    assert (await post(doors, "/freeze", fits + " "))[0] == 413


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/../../etc/passwd", 404, "NOT_FOUND"),
        ("DELETE", "/freeze", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/unfreeze", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_other_paths_and_methods_are_refused_in_json(
    doors: Doors, method: str, path: str, status: int, error: str
) -> None:
    """Also what is not there answers with a JSON document."""
    async with doors.http.request(method, path) as answer:
        assert (answer.status, (await answer.json())["error"]) == (status, error)


OTHER_SITES = {
    "a page of another site": {"Origin": "http://evil.example"},
    "a page of another port": {"Origin": "http://127.0.0.1:1"},
    "a page from nowhere": {"Origin": "null"},
    "a browser's word for it": {"Sec-Fetch-Site": "cross-site"},
    "a neighbour": {"Sec-Fetch-Site": "same-site"},
    "a name that points here": {"Host": "evil.example"},
    "a name that begins like ours": {"Host": "localhost.evil.example:18002"},
    "a name that is nearly ours": {"Host": "127.0.0.1.evil.example"},
}


@pytest.mark.parametrize("headers", OTHER_SITES.values(), ids=list(OTHER_SITES))
async def test_another_sites_page_cannot_pull_the_switch(doors: Doors, headers: dict[str, str]) -> None:
    """A browser on the operator's machine reaches loopback: what a foreign page makes it send is refused."""
    status, answer = await post(doors, "/freeze", FREEZE, {**JSON, **headers})
    assert (status, answer["error"]) == (403, "FORBIDDEN")
    assert not (await doors.store.load()).freezes


async def test_a_rebound_name_reads_nothing(doors: Doors) -> None:
    """A foreign name that resolves to loopback gets no answer of ours, on any path."""
    for path in ("/freeze", "/metrics", "/readyz"):
        status, answer = await get(doors, path, {"Host": "evil.example"})
        assert (status, answer["error"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("host", ["localhost:18002", "127.0.0.1", "[::1]:18002", "LOCALHOST"])
async def test_loopback_by_any_of_its_names_is_let_in(doors: Doors, host: str) -> None:
    """The names that only this machine gives itself; a page served under one of them may pull the switch."""
    headers = {**JSON, "Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert (await post(doors, "/freeze", FREEZE, headers))[0] == 200


async def test_a_form_with_a_file_is_no_body_of_ours(doors: Doors) -> None:
    """Other kinds of bodies are 415."""
    for kind in ("multipart/form-data; boundary=x", "text/plain", "text/xml"):
        assert (await post(doors, "/freeze", FREEZE, {"Content-Type": kind}))[0] == 415


async def test_a_body_that_never_comes_does_not_hold_the_door(doors: Doors) -> None:
    """A client that promises a body and sends none gets 408 after a while; others are answered meanwhile."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(doors.url.rpartition(":")[2]))
    writer.write(
        b"POST /freeze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    await writer.drain()
    assert (await post(doors, "/freeze", FREEZE))[0] == 200
    assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    writer.close()
    await writer.wait_closed()


async def test_a_fault_of_our_own_ends_one_request(doors: Doors) -> None:
    """An unexpected error is 500 with no inside of ours in it, and the next request is answered."""

    class Broken:
        def collect(self) -> list[object]:
            raise RuntimeError("secret of the inside")

    broken = Broken()
    doors.registry.register(broken)
    async with doors.http.get("/metrics") as answer:
        assert answer.status == 500
        assert "secret" not in await answer.text()
    doors.registry.unregister(broken)
    assert (await get(doors, "/healthz"))[0] == 200


async def test_answers_are_not_kept_nor_guessed_at(doors: Doors) -> None:
    """No cache keeps an old freeze; no browser takes JSON for a page."""
    async with aiohttp.ClientSession(doors.url) as client, client.get("/freeze") as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
