"""The login as a real browser makes it, with its own rules for cookies; skipped where there is no Chromium."""

from pathlib import Path

import pytest

from controller.core.access.binding import Binding
from controller.core.access.permission import Role
from controller.identity.oidc_settings import Oidc
from tests.support.chromium import Page, page_open
from tests.support.issuer import AUDIENCE, CLIENT, issuer_open
from tests.support.secured import secured_controller

pytestmark = pytest.mark.requires("chromium", "chromium-browser")

TRUST = "--ignore-certificate-errors"
ON_CALL = Binding(group="ml-oncall", role=Role.BREAKER)


async def click(page: Page, selector: str) -> None:
    """Once it is there and in sight."""
    await page.wait_for(f"document.querySelector({selector!r})?.offsetParent != null")
    await page.value(f"document.querySelector({selector!r}).click()")


async def text_of(page: Page, selector: str, word: str) -> str:
    """The text of an element, once it has that word."""
    shown = f"document.querySelector({selector!r})?.innerText ?? ''"
    await page.wait_for(f"({shown}).includes({word!r})")
    return str(await page.value(shown))


@pytest.mark.parametrize("asks", [False, True], ids=["known at the issuer", "asked by the issuer"])
async def test_a_person_logs_in_freezes_and_logs_out(tmp_path: Path, asks: bool) -> None:
    """From the page that shows nothing, by the issuer's site, to a freeze under the verified name."""
    async with issuer_open() as issuer:
        issuer.asks = asks
        issuer.person["groups"] = ["ml-oncall"]
        settings = Oidc(issuer=issuer.url, audience=AUDIENCE, client_id=CLIENT)
        async with secured_controller(tmp_path, [ON_CALL], oidc=(settings,)) as secured:
            home = f"https://{secured.settings.http_listen}/"
            async with page_open(tmp_path / "browser", home, 1200, TRUST) as page:
                assert await text_of(page, "#lost", "Log in") == "You are not logged in. Log in"
                assert await page.value("getComputedStyle(document.querySelector('#freeze-all')).display") == "none"
                await click(page, "#lost a")
                if asks:
                    await click(page, "#go")
                assert await text_of(page, "#caller", "alice") == "alice@example.com breaker Log out"
                assert await page.value("[location.href, document.cookie]") == [home, ""]
                await click(page, "#freeze-all")
                assert await page.value("document.querySelector('#switch-who-row').hidden")
                await page.value("document.querySelector('#switch-reason').value = 'incident 42'")
                await click(page, "#switch-do")
                assert "By alice@example.com since" in await text_of(page, "#freezes", "FROZEN: incident 42")
                await click(page, "#caller button")
                assert "You are not logged in" in await text_of(page, "#lost", "Log in")
                assert await page.value("document.querySelector('#freezes').innerText") == ""


async def test_a_person_without_a_role_is_told_so(tmp_path: Path) -> None:
    """By the name that the issuer has verified, and may log out again."""
    async with issuer_open() as issuer:
        settings = Oidc(issuer=issuer.url, audience=AUDIENCE, client_id=CLIENT)
        async with secured_controller(tmp_path, oidc=(settings,)) as secured:
            login = f"https://{secured.settings.http_listen}/login"
            async with page_open(tmp_path / "browser", login, 1200, TRUST) as page:
                shown = await text_of(page, "#lost", "alice")
                assert shown == "alice@example.com has no role that allows `view` on any service. Log out"


async def test_without_an_issuer_the_page_says_how_to_come_in(tmp_path: Path) -> None:
    """By a client certificate, or on the command line."""
    async with secured_controller(tmp_path) as secured:
        home = f"https://{secured.settings.http_listen}/"
        async with page_open(tmp_path / "browser", home, 1200, TRUST) as page:
            assert "needs a client certificate" in await text_of(page, "#lost", "certificate")
