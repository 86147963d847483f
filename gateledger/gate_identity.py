"""What a bootstrap and extauthz's identity settings must agree on. Pure.

Rendered from one services.yaml they do; whoever writes both by hand is told where they differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateledger.gate_parts import AUTHZ, DOWNSTREAM_TLS, JWT, UPSTREAM_TLS, objects, of_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from extauthz.identity_settings import IdentitySettings, Issuer

_VERIFIED = "VERIFY_TRUST_CHAIN"
_LENIENT, _UNVERIFIED = "allow_missing_or_failed", "extract_only_without_validation"
_VALIDATIONS = (
    "validation_context",
    "validation_context_sds_secret_config",
    "combined_validation_context",
)
_UNCHECKED = (
    "which Envoy 1.40 takes and does not act on: any certificate would do; name the file in trusted_ca"
)
# TLS 1.3 and tickets are the first one's, the ids of TLS 1.2 the second one's.
_WHOLE_HANDSHAKES = ("disable_stateless_session_resumption", "disable_stateful_session_resumption")


def identity_problems(manager: Mapping[str, Any], identity: IdentitySettings) -> Iterator[str]:
    """Where one HTTP connection manager verifies, or passes on, something else than extauthz expects."""
    yield from _providers(manager, identity)
    for authz in of_type(manager, AUTHZ):
        yield from _credentials(authz, identity)
    for name in sorted(_headers(identity)):
        if any(_removes(mutation, name) for mutation in _early(manager)):
            yield f"early_header_mutation takes {name!r} off before extauthz sees what stands there; choose another header"


def tls_problems(static: Mapping[str, Any]) -> Iterator[str]:
    """Certificates that prove nothing: anyone can sign one."""
    for context in of_type(static, UPSTREAM_TLS):
        if any(_system_only(one) for one in _checked(context)):
            yield f"an upstream's certificate is checked by system_root_certs, {_UNCHECKED}"
    for context in of_type(static, DOWNSTREAM_TLS):
        checked = _checked(context)
        if any(_system_only(one) for one in checked):
            yield f"a listener checks client certificates by system_root_certs, {_UNCHECKED}"
        if context.get("require_client_certificate") and not checked:
            yield "a listener requires client certificates, but has no CA to verify them by: any one would do"
        if any(_trusts_all(one) for one in checked):
            yield "a listener takes client certificates that no CA of yours signed; name one in trusted_ca"
        if checked and not all(context.get(name) for name in _WHOLE_HANDSHAKES):
            yield (
                "a listener takes client certificates and resumes sessions, by which one that expired stays good; "
                f"set {' and '.join(_WHOLE_HANDSHAKES)}"
            )


def _checked(context: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    common = context.get("common_tls_context") or {}
    return [common[name] for name in _VALIDATIONS if common.get(name)]


def _system_only(context: Mapping[str, Any]) -> bool:
    # What a secret adds, also a CA, is not seen here.
    if "validation_context_sds_secret_config" in context:
        return False
    inner = context.get("default_validation_context", context)
    return inner.get("system_root_certs") is not None and not inner.get("trusted_ca")


def _trusts_all(context: Mapping[str, Any]) -> bool:
    inner = context.get("default_validation_context", context)
    return bool(inner.get("trust_chain_verification", _VERIFIED) != _VERIFIED)


def _providers(manager: Mapping[str, Any], identity: IdentitySettings) -> Iterator[str]:
    """A provider that extauthz does not know refuses each of its tokens; better to hear of it now."""
    providers: dict[str, Mapping[str, Any]] = {}
    for one in of_type(manager, JWT):
        providers |= one.get("providers") or {}
    known = {issuer.name: issuer for issuer in identity.issuers}
    for name in sorted(set(providers) - set(known)):
        yield f"jwt_authn verifies tokens of {name!r}, which the setting extauthz.issuers does not name"
    for name in sorted(set(known) - set(providers)):
        yield f"the setting extauthz.issuers names {name!r}, but jwt_authn has no such provider"
    for name in sorted(set(known) & set(providers)):
        yield from _provider(name, providers[name])
        if providers[name].get("payload_in_metadata") != name:
            yield from _places(known[name], providers[name])
    yield from _rules(manager, set(known) & set(providers))


def _provider(name: str, provider: Mapping[str, Any]) -> Iterator[str]:
    where = f"jwt_authn's provider {name!r}: "
    payload, header = provider.get("payload_in_metadata"), provider.get("header_in_metadata")
    if not (payload == name or (not payload and header == f"{name}.header")):
        yield f"{where}header_in_metadata must be {name + '.header'!r} (or payload_in_metadata {name!r})"
    if provider.get("failed_status_in_metadata") != f"{name}.failed":
        yield f"{where}failed_status_in_metadata must be {name + '.failed'!r}"
    if not provider.get("audiences"):
        yield f"{where}without audiences it takes tokens that were made for others"
    if not provider.get("require_expiration"):
        yield f"{where}without require_expiration it takes tokens that never expire"
    if not provider.get("from_headers"):
        yield f"{where}without from_headers it takes tokens from the query, where they are logged"


def _places(issuer: Issuer, provider: Mapping[str, Any]) -> Iterator[str]:
    """Where extauthz reads the claims from the token, it must look where Envoy looked, and nowhere else.

    Else a client could show a good token to Envoy, and one of its own making to extauthz.
    """
    where = f"jwt_authn's provider {issuer.name!r}: "
    envoys = {
        (str(header.get("name", "")).lower(), header.get("value_prefix", ""))
        for header in provider.get("from_headers") or []
    }
    ours = {(header.name, header.prefix) for header in issuer.headers}
    if envoys != ours:
        yield f"{where}from_headers and the setting extauthz.issuers name different places: {_said(envoys)} and {_said(ours)}; let both name the same"
    for place in ("from_params", "from_cookies"):
        if provider.get(place):
            yield f"{where}{place} takes tokens from where extauthz does not look; take it away"


def _said(places: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} with {prefix!r}" for name, prefix in sorted(places)) or "none"


def _rules(manager: Mapping[str, Any], names: set[str]) -> Iterator[str]:
    """Only a provider that is named tells each token that it refused, also beside one that is good."""
    for authn in of_type(manager, JWT):
        for named in _beside_leniency(authn):
            if missing := sorted(names - named):
                yield (
                    f"jwt_authn has {_LENIENT} without provider_name {missing[0]!r} in the same requires_any; "
                    "put it there"
                )
        if any(_UNVERIFIED in one for one in objects(authn)):
            yield f"jwt_authn's {_UNVERIFIED} takes tokens that nobody verified; take it away"


def _beside_leniency(authn: Mapping[str, Any]) -> Iterator[set[str]]:
    """For each requirement that lets failures pass, the providers that are named beside it."""
    alone = sum(_LENIENT in one for one in objects(authn))
    for one in objects(authn):
        each = (one.get("requires_any") or {}).get("requirements") or []
        if lenient := sum(_LENIENT in other for other in each):
            alone -= lenient
            yield {other.get("provider_name", "") for other in each}
    if alone:
        yield set()


def _credentials(authz: Mapping[str, Any], identity: IdentitySettings) -> Iterator[str]:
    patterns = (authz.get("allowed_headers") or {}).get("patterns") or []
    wanted = _headers(identity)
    # Without the list Envoy shows all headers; of patterns that are no plain names nothing is claimed.
    plain = bool(patterns) and all("exact" in pattern for pattern in patterns)
    hidden = wanted - {pattern["exact"] for pattern in patterns} if plain else set()
    for name in sorted(hidden):
        yield f"ext_authz's allowed_headers lack {name!r}, so extauthz cannot see what stands there"
    if bool(authz.get("include_peer_certificate")) != (identity.client_certificates is not None):
        yield (
            "ext_authz's include_peer_certificate and the setting extauthz.client_certificates do not agree: "
            "set both, or neither"
        )


def _headers(identity: IdentitySettings) -> set[str]:
    """Where credentials stand."""
    found = {"authorization"} | {header.name for issuer in identity.issuers for header in issuer.headers}
    return found | ({identity.api_keys.header} if identity.api_keys else set())


def _early(manager: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for extension in manager.get("early_header_mutation_extensions") or []:
        yield from (extension.get("typed_config") or {}).get("mutations") or []


def _removes(mutation: Mapping[str, Any], name: str) -> bool:
    matcher = (mutation.get("remove_on_match") or {}).get("key_matcher") or {}
    prefix = matcher.get("prefix")
    return (
        mutation.get("remove") == name
        or matcher.get("exact") == name
        or bool(prefix and name.startswith(prefix))
    )
