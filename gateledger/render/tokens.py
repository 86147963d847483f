"""Envoy's jwt_authn filter: it verifies, and lets every failure through to extauthz, which refuses it. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.core.v3 import DataSource, HttpUri
from envoy_data_plane.envoy.config.route.v3 import RouteMatch
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwksAsyncFetch,
    JwtAuthentication,
    JwtCacheConfig,
    JwtHeader,
    JwtProvider,
    JwtRequirement,
    JwtRequirementOrList,
    RemoteJwks,
    RequirementRule,
)
from envoy_data_plane.google.protobuf import Empty

from gateledger.render.clusters import JWKS_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateledger.services.model import TokenIssuer

# A signature is checked once a token, not once a request, where keys never change; its times always.
CACHED_TOKENS = 1000


def authentication(issuers: Sequence[TokenIssuer]) -> JwtAuthentication:
    """The filter for all issuers, each with metadata keys of its own."""
    requirements = [JwtRequirement(provider_name=one.name) for one in issuers]
    requirements.append(JwtRequirement(allow_missing_or_failed=Empty()))
    any_of = JwtRequirement(requires_any=JwtRequirementOrList(requirements=requirements))
    return JwtAuthentication(
        providers={one.name: _provider(one) for one in issuers},
        rules=[RequirementRule(match=RouteMatch(prefix="/"), requires=any_of)],
    )


def _provider(one: TokenIssuer) -> JwtProvider:
    provider = JwtProvider(
        issuer=one.issuer,
        audiences=list(one.audiences),
        require_expiration=True,
        clock_skew_seconds=one.clock_skew_seconds,
        # Named, since the default also takes ?access_token=.
        from_headers=[
            JwtHeader(name=_title(header.name), value_prefix=header.prefix) for header in one.headers
        ],
        forward=True,
        # Of a good token no more than that: extauthz reads its claims from the token.
        header_in_metadata=f"{one.name}.header",
        failed_status_in_metadata=f"{one.name}.failed",
    )
    if one.jwks_file:
        provider.local_jwks = DataSource(filename=str(one.jwks_file))
        # Not where keys are fetched: a token that was seen once would pass until it expires, though the issuer
        # has long withdrawn the key that signed it.
        provider.jwt_cache_config = JwtCacheConfig(jwt_cache_size=CACHED_TOKENS)
    else:
        provider.remote_jwks = _remote(one)
    return provider


def _remote(one: TokenIssuer) -> RemoteJwks:
    server = one.jwks_server
    if server is None:
        raise ValueError(f"{one.name}: neither jwks_file nor jwks_server")
    return RemoteJwks(
        http_uri=HttpUri(
            uri=server.uri, cluster=JWKS_PREFIX + one.name, timeout=timedelta(seconds=server.timeout_seconds)
        ),
        cache_duration=timedelta(seconds=server.cache_seconds),
        # Fetched before the first request; without them the listener opens all the same, and tokens are refused.
        async_fetch=JwksAsyncFetch(failed_refetch_duration=timedelta(seconds=1)),
    )


def _title(header: str) -> str:
    return "Authorization" if header == "authorization" else header
