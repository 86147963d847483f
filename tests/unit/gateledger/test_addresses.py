from __future__ import annotations

import socket

import pytest

from gateledger.settings import Settings, load
from gateledger.stack.addresses import settle
from service.probes import AddressError


def anywhere(**sections: dict[str, str]) -> Settings:
    free = {
        "envoy": {"listen": "127.0.0.1:0"},
        "chserver": {"listen": "127.0.0.1:0"},
        "extauthz": {"metrics": "127.0.0.1:0"},
        "alslog": {"metrics": "127.0.0.1:0"},
    }
    return load(overrides={**free, **sections}, environ={})


def test_every_port_0_becomes_a_port_of_its_own() -> None:
    settled = settle(anywhere(), demo=True)

    listeners = [
        settled.envoy.listen,
        settled.chserver.listen,
        settled.extauthz.metrics,
        settled.alslog.metrics,
        settled.demo.upstream,
    ]
    assert len(set(listeners)) == len(listeners)
    assert not any(address.endswith(":0") for address in listeners)
    assert settled.clickhouse.url == f"http://{settled.chserver.listen}"
    assert settled.embedded


def test_a_taken_port_is_refused_with_the_setting_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(
            AddressError, match=f"setting envoy.listen: cannot listen on {address}: .*another port"
        ):
            settle(anywhere(envoy={"listen": address}), demo=False)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(AddressError, match=r"setting envoy\.listen"):
        settle(anywhere(envoy={"listen": "192.0.2.1:80"}), demo=False)


@pytest.mark.parametrize(
    ("section", "key"),
    [("envoy", "listen"), ("chserver", "listen"), ("extauthz", "metrics"), ("alslog", "metrics")],
)
def test_a_demo_listens_on_loopback_alone(section: str, key: str) -> None:
    with pytest.raises(AddressError, match=rf"setting {section}\.{key}: .*--demo .* loopback"):
        settle(anywhere(**{section: {key: "0.0.0.0:0"}}), demo=True)


def test_with_a_server_of_ones_own_the_embedded_one_needs_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = anywhere(chserver={"listen": listen}, clickhouse={"url": "http://ch.example:8123"})

        assert settle(settings, demo=False).clickhouse.url == "http://ch.example:8123"
