from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry

from service.probes import application, serving


async def status(host: str, *, loopback: bool = True) -> int:
    """The status of /metrics for a request with this Host."""
    app = application(CollectorRegistry(), lambda: (True, {}), loopback=loopback)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return (await client.get("/metrics", headers={"host": host})).status_code


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("127.0.0.1:9464", 200, id="the address"),
        pytest.param("localhost", 200, id="localhost"),
        pytest.param("LOCALHOST:1", 200, id="localhost in capitals"),
        pytest.param("[::1]:9464", 200, id="IPv6"),
        pytest.param("evil.example", 403, id="a name that leads here"),
        pytest.param("evil.example:9464", 403, id="a name and a port"),
        pytest.param("localhost.evil.example", 403, id="a name that begins alike"),
        pytest.param("127.0.0.1.evil.example", 403, id="a name that looks like the address"),
        pytest.param("127.0.0.1@evil.example", 403, id="userinfo"),
        pytest.param("", 403, id="nothing"),
    ],
)
async def test_on_loopback_a_probe_answers_whoever_names_the_address(host: str, expected: int) -> None:
    assert await status(host) == expected


async def test_on_another_address_any_name_may_be_that_of_the_machine() -> None:
    assert await status("extauthz:9464", loopback=False) == 200


async def test_a_service_on_loopback_asks_for_the_host() -> None:
    async with (
        serving("127.0.0.1:0", CollectorRegistry(), lambda: (True, {})) as base,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        answers = [
            (await client.get(f"{base}/healthz", headers=headers)).status_code
            for headers in ({}, {"host": "evil.example"})
        ]

    assert answers == [200, 403]
