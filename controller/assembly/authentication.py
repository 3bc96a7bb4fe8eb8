"""Who calls: TLS, certificates, tokens and OpenID Connect, as the settings have them."""

from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import grpc

from controller.admin.doorkeeper import Doorkeeper
from controller.identity.door_authenticator import DoorAuthenticator
from controller.identity.login import LOGIN_PATH, Login
from controller.identity.openid_provider import OpenIdProvider
from controller.identity.sessions import Sessions
from controller.identity.static_tokens import StaticTokens
from controller.identity.tls_files import TlsFiles
from controller.identity.token_verifier import BearerTokens, TokenVerifier
from controller.monitoring.metrics import Metrics
from controller.ports.login_config import LoginConfig
from controller.process.clock import SystemClock
from controller.process.web_route import Route
from controller.runtime.certificate_watch import CertificateWatch
from controller.settings import Settings


class Authentication:
    """Tells the callers of each door apart."""

    def __init__(self, settings: Settings, clock: SystemClock, metrics: Metrics) -> None:
        """`Refusal` that names the setting if a file of [tls] or [[access]] cannot be used."""
        self._issuers = settings.oidc
        self._metrics = metrics
        self.tls = TlsFiles(settings.tls) if settings.tls else None
        self.certificates = CertificateWatch(self.expiries, clock)
        self._providers = [OpenIdProvider(each, clock) for each in settings.oidc]
        self._verifiers = [
            TokenVerifier(each, provider, clock) for each, provider in zip(settings.oidc, self._providers, strict=True)
        ]
        self._sessions = Sessions(clock)
        token_files = {binding.token_file for binding in settings.access if binding.token_file}
        self._authenticator = DoorAuthenticator(
            settings.access, StaticTokens(token_files), BearerTokens(self._verifiers), self._sessions
        )

    def work(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What runs while the controller does: each issuer's keys are kept current."""
        return (provider.run() for provider in self._providers)

    def doorkeeper(self, door: str) -> Doorkeeper:
        """Who lets callers in at that door."""
        return Doorkeeper(door, self._authenticator, self._metrics)

    def expiries(self) -> Mapping[str, float]:
        """By the file of a certificate: when it expires, in Unix seconds."""
        return self.tls.expiries() if self.tls else {}

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """With which this controller calls another one; None where there is no TLS."""
        return self.tls.channel_credentials() if self.tls else None

    def login_config(self) -> LoginConfig:
        """What `haldane login` asks for: of the issuer that has a client, of which there is one at most."""
        for each in self._issuers:
            if client := each.device_client:
                return LoginConfig(each.issuer, client, each.audience, each.scopes)
        return LoginConfig()

    @property
    def login_path(self) -> str:
        """Where people log in by the browser; empty if no issuer has a client for it."""
        return LOGIN_PATH if any(each.client_id for each in self._issuers) else ""

    def login_routes(self) -> list[Route]:
        """The pages of that login."""
        issuers = zip(self._issuers, self._providers, self._verifiers, strict=True)
        logins = [Login(*each, self._sessions) for each in issuers if each[0].client_id]
        return [route for login in logins for route in login.routes()]
