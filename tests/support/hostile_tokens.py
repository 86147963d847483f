"""Tokens that a client could come with, good and bad, by the names that the corpus uses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from gateledger.demo.issuer import ALGORITHM, AUDIENCE, ISSUER, KEY_ID, DemoIssuer


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _nested(depth: int) -> dict[str, Any]:
    claim: dict[str, Any] = {"x": 1}
    for _ in range(depth):
        claim = {"x": claim}
    return claim


def tokens(issuer: DemoIssuer) -> dict[str, str]:
    """Token texts by name. The demo's key signs those that only their claims make bad."""
    key = serialization.load_pem_private_key(issuer.key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = int(time.time())
    plain = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "roles": ["customer"],
        "iat": now,
        "exp": now + 3600,
    }

    def signed(by: Any = key, kid: str | None = KEY_ID, algorithm: str = ALGORITHM, **claims: Any) -> str:
        payload = {name: value for name, value in {**plain, **claims}.items() if value is not ...}
        return jwt.encode(payload, by, algorithm, headers={"kid": kid} if kid else {})

    good = signed()
    head, payload, signature = good.split(".")
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    texts: Mapping[str, str] = {
        "alice": good,
        "bob": signed(sub="bob", roles=["support"]),
        "expired": signed(exp=now - 3600),
        "just_expired": signed(exp=now - 30),
        "not_yet": signed(nbf=now + 3600),
        "no_exp": signed(exp=...),
        "wrong_aud": signed(aud="another"),
        "no_aud": signed(aud=...),
        "unknown_issuer": signed(iss="https://evil.example"),
        "no_issuer": signed(iss=...),
        "other_key": signed(ec.generate_private_key(ec.SECP256R1())),
        "unknown_kid": signed(kid="another"),
        "other_key_no_kid": signed(ec.generate_private_key(ec.SECP256R1()), kid=None),
        "alg_none": f"{_segment({'alg': 'none', 'kid': KEY_ID})}.{payload}.",
        "alg_none_upper": f"{_segment({'alg': 'NONE', 'kid': KEY_ID})}.{payload}.{signature}",
        # The public key as the secret of an HMAC: PyJWT itself refuses to sign so.
        "hs256": _hmac(payload, public),
        "no_signature": f"{head}.{payload}.",
        "two_parts": f"{head}.{payload}",
        "four_parts": f"{good}.{signature}",
        "cut": good[:-6],
        "payload_swapped": f"{head}.{_segment({**plain, 'sub': 'erin'})}.{signature}",
        "jwk_in_header": _with_own_key(plain),
        "jku_in_header": jwt.encode(
            plain,
            ec.generate_private_key(ec.SECP256R1()),
            ALGORITHM,
            {"jku": "http://evil.example/k", "kid": "x"},
        ),
        "crit": jwt.encode(plain, key, ALGORITHM, {"kid": KEY_ID, "crit": ["x"], "x": 1}),
        "no_json": f"{head}.{base64.urlsafe_b64encode(b'not json').rstrip(b'=').decode()}.{signature}",
        "sub_anonymous": signed(sub="anonymous"),
        "sub_anonymous_at": signed(sub="anonymous@corp"),
        "sub_star": signed(sub="*"),
        "sub_role": signed(sub="role:admin"),
        "sub_empty": signed(sub=""),
        "sub_missing": signed(sub=...),
        "sub_number": _raw(key, {**plain, "sub": 7}),
        "sub_list": _raw(key, {**plain, "sub": ["alice"]}),
        "sub_null": _raw(key, {**plain, "sub": None}),
        "sub_control": signed(sub="alice\nx-roles: role:admin"),
        "sub_nul": signed(sub="alice\x00erin"),
        "sub_invisible": signed(sub="ali\u200bce"),
        "sub_override": signed(sub="\u202ealice"),
        "sub_not_nfc": signed(sub="e\u0301rin"),
        "sub_space": signed(sub=" alice"),
        "sub_long": signed(sub="a" * 257),
        "sub_comma": signed(sub="alice,role:admin"),
        "sub_unicode": signed(sub="zo\u00eb"),
        "sub_quote": signed(sub="x' OR '1'='1"),
        "role_comma": signed(roles=["customer,admin"]),
        "role_space": signed(roles=["customer admin"]),
        "role_control": signed(roles=["customer\n"]),
        "role_empty": signed(roles=[""]),
        "role_text": signed(roles="customer"),
        "role_number": signed(roles=[7]),
        "role_object": signed(roles={"admin": True}),
        "role_nested": signed(roles=[["admin"]]),
        "role_many": signed(roles=[f"r{n}" for n in range(65)]),
        "role_prefixed": signed(roles=["role:admin"]),
        "role_everyone": signed(sub="mallory", roles=["everyone"]),
        "deep_50": signed(extra=_nested(50)),
        "deep_90": signed(extra=_nested(90)),
        "deep_99": signed(extra=_nested(99)),
        "deep_120": signed(extra=_nested(120)),
        "deep_sub": _raw(key, {**plain, "sub": _nested(120)}),
        "deep_list": signed(extra=json.loads("[" * 200 + "]" * 200)),
        "many_claims": signed(**{f"claim{n}": n for n in range(500)}),
        "surrogate": _raw_text(key, json.dumps(plain).replace('"alice"', '"\\ud800"')),
        "sub_twice": _raw_text(key, json.dumps(plain).replace('"sub"', '"sub": "erin", "sub"')),
        "bad_utf8": _raw_bytes(key, json.dumps(plain).encode().replace(b"alice", b"al\xffce")),
    }
    return dict(texts)


def _hmac(payload: str, secret: bytes) -> str:
    head = _segment({"alg": "HS256", "kid": KEY_ID})
    mac = hmac.new(secret, f"{head}.{payload}".encode(), hashlib.sha256).digest()
    return f"{head}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _with_own_key(claims: Mapping[str, Any]) -> str:
    own = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(
        dict(claims), own, ALGORITHM, {"jwk": ECAlgorithm.to_jwk(own.public_key(), as_dict=True)}
    )


def _raw(key: ec.EllipticCurvePrivateKey, claims: Mapping[str, Any]) -> str:
    return _raw_text(key, json.dumps(claims))


def _raw_text(key: ec.EllipticCurvePrivateKey, payload: str) -> str:
    return _raw_bytes(key, payload.encode())


def _raw_bytes(key: ec.EllipticCurvePrivateKey, payload: bytes) -> str:
    """A signed token with a payload that PyJWT would not write."""
    return jwt.api_jws.encode(payload, key, ALGORITHM, {"kid": KEY_ID})
