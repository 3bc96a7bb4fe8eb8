"""The keys of an issuer (RFC 7517) that its tokens may be signed with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

KEY_TYPES: Mapping[str, str] = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
}
"""The algorithms of signatures that are accepted -> the type or curve of their keys. A token chooses among these and no
others: neither `none`, nor one with a shared secret, for which a public key could be taken."""
MAX_KEYS = 100
"""Keys of one issuer."""
MIN_RSA_BYTES = 256
"""Bytes of an RSA modulus."""


class SignatureKey(NamedTuple):
    """A public key of an issuer."""

    key_id: str | None
    kind: str
    """`RSA`, or the curve."""
    algorithm: str | None
    """The one algorithm that it is for; None for all of its kind."""
    key: RSAKey | ECKey

    def fits(self, algorithm: str) -> bool:
        """Whether it is for that algorithm."""
        return KEY_TYPES.get(algorithm) == self.kind and self.algorithm in (None, algorithm)


def signature_keys(document: Mapping[str, Any]) -> tuple[SignatureKey, ...]:
    """The usable keys of a JWK set. Others, such as those for encryption, are left out."""
    listed = document.get("keys")
    keys = [_signature_key(each) for each in listed[:MAX_KEYS]] if isinstance(listed, list) else []
    return tuple(key for key in keys if key is not None)


def _signature_key(jwk: Any) -> SignatureKey | None:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return None
    key_id, algorithm = jwk.get("kid"), jwk.get("alg")
    if not isinstance(key_id, str | None) or (algorithm is not None and algorithm not in KEY_TYPES):
        return None
    try:
        match jwk.get("kty"), jwk.get("crv"):
            case "RSA", _:
                public = {name: jwk[name] for name in ("kty", "n", "e")}
                if len(public["n"]) * 3 // 4 < MIN_RSA_BYTES:
                    return None
                return SignatureKey(key_id, "RSA", algorithm, RSAKey.import_key(public))
            case "EC", "P-256" | "P-384" as curve:
                public = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
                return SignatureKey(key_id, curve, algorithm, ECKey.import_key(public))
    except (JoseError, KeyError, TypeError, ValueError):
        return None
    return None
