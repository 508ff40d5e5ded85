"""Whom an ID token is about, once everything about it was checked (OpenID Connect Core 1.0, 3.1.3.7)."""

from contextlib import suppress
from dataclasses import dataclass

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from webui.login.oidc.refused import SignInRefused

ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
]
"""Signatures that only the provider can make. `none` is no signature, and HS256 would be one that whoever has
the client's secret can make."""
CLOCKS_DIFFER_S = 60
KEY_TYPES: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
Claims = dict[str, object]


@dataclass(frozen=True)
class Expected:
    """What a token must say."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str | None
    """The token that came along, for `at_hash`."""


def checked_claims(token: str, keys: object, expected: Expected) -> Claims:
    """What the token says. `keys` is the provider's JWK Set as JSON. Raises SignInRefused."""
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        signed = jwt.decode(token, _signing_keys(keys), registry=registry)
        options = {
            "iss": {"essential": True, "value": expected.issuer},
            "aud": {"essential": True, "value": expected.client_id},
            "sub": {"essential": True},
        }
        params = {
            "nonce": expected.nonce,
            "client_id": expected.client_id,
            "access_token": expected.access_token,
        }
        CodeIDToken(signed.claims, signed.header, options, params).validate(leeway=CLOCKS_DIFFER_S)
    except (JoseError, ValueError) as error:
        raise SignInRefused("identity_refused", f"the ID token is refused: {error}") from error
    return dict(signed.claims)


def _signing_keys(keys: object) -> KeySet:
    """Those that can be used. One of a kind that is not known must not spoil the others (RFC 7517, 5)."""
    found = keys.get("keys") if isinstance(keys, dict) else None
    known: list[OctKey | RSAKey | ECKey | OKPKey] = []
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict) and one.get("use", "sig") == "sig" and one.get("kty") in KEY_TYPES:
            with suppress(JoseError, ValueError, KeyError, TypeError):
                known.append(KEY_TYPES[one["kty"]].import_key(one))
    if not known:
        raise SignInRefused("provider_wrong", "the provider shows no key that signs ID tokens")
    return KeySet(known)
