"""A real browser without a window."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.requires import CHROMIUM
from tests.support.waiting import wait_until

QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"


async def chromium(folder: Path, *words: str) -> asyncio.subprocess.Process:
    """A Chromium with nothing to remember but what is in the folder."""
    options = ["--headless", "--no-sandbox", *QUIET.split(), "--disable-sync", f"--user-data-dir={folder}"]
    out, err = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(CHROMIUM, *options, *words, stdout=out, stderr=err)


@dataclass
class Page:
    """A page that is open."""

    wire: aiohttp.ClientWebSocketResponse

    async def command(self, method: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        await self.wire.send_json({"id": 1, "method": method, "params": parameters})
        return (await self.wire.receive_json()).get("result", {})

    async def value(self, expression: str) -> Any:
        """What an expression gives on the page."""
        answer = await self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer.get("result", {}).get("value")  # none while it goes from one page to the next

    async def wait_for(self, expression: str) -> Any:
        """The first true value of an expression, on whatever page it comes."""
        return await wait_until(lambda: self.value(expression))

    async def screenshot(self) -> bytes:
        """What is in sight, as a PNG."""
        return base64.b64decode((await self.command("Page.captureScreenshot"))["data"])


@contextlib.asynccontextmanager
async def page_open(folder: Path, url: str, width: int = 1200, *options: str) -> AsyncIterator[Page]:
    """The page at that address, that many pixels wide, in a browser of its own until the end of the block."""
    child = await chromium(folder, "--remote-debugging-port=0", *options, url)
    told = folder / "DevToolsActivePort"
    try:
        await wait_until(lambda: told.exists() and len(told.read_text().splitlines()) == 2)
        debugger = f"http://127.0.0.1:{told.read_text().splitlines()[0]}"
        async with aiohttp.ClientSession() as session:

            async def found() -> str:
                async with session.get(f"{debugger}/json/list") as answer:
                    pages = await answer.json()
                return next((each["webSocketDebuggerUrl"] for each in pages if each["type"] == "page"), "")

            async with session.ws_connect(await wait_until(found)) as wire:
                page = Page(wire)
                screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                await page.command("Emulation.setDeviceMetricsOverride", **screen)  # no window is so narrow
                yield page
    finally:
        child.kill()
        await child.communicate()
