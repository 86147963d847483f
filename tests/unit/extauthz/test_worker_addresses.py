from __future__ import annotations

from typing import Any

import pytest

from extauthz.addresses import of_all, of_worker, problem
from gateledger.bootstrap import endpoints
from gateledger.settings import SettingsError, load


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        pytest.param("unix:/run/extauthz.sock", "unix:/run/extauthz-2.sock", id="a socket"),
        pytest.param("unix:/run/authz", "unix:/run/authz-2", id="a socket without a suffix"),
        pytest.param("unix:/run.d/a.b.sock", "unix:/run.d/a.b-2.sock", id="dots"),
        pytest.param("127.0.0.1:9000", "127.0.0.1:9002", id="a port"),
        pytest.param("[::1]:9000", "[::1]:9002", id="IPv6"),
        pytest.param("127.0.0.1:0", "127.0.0.1:0", id="any free port"),
    ],
)
def test_each_worker_listens_beside_the_first(listen: str, expected: str) -> None:
    assert of_worker([listen], 0) == (listen,)
    assert of_worker([listen], 2) == (expected,)


def test_envoy_is_told_of_every_worker() -> None:
    settings = load(overrides={"home": "/h", "extauthz": {"workers": 3}}).extauthz
    paths = [one["endpoint"]["address"]["pipe"]["path"] for one in endpoints(settings.addresses)]

    assert paths == ["/h/run/extauthz.sock", "/h/run/extauthz-1.sock", "/h/run/extauthz-2.sock"]
    assert of_all(["unix:/a.sock", "127.0.0.1:1"], 2) == (
        *("unix:/a.sock", "127.0.0.1:1"),
        *("unix:/a-1.sock", "127.0.0.1:2"),
    )


def test_one_worker_is_the_default_and_listens_where_it_is_told_to() -> None:
    settings = load(overrides={"home": "/h"}).extauthz

    assert (settings.workers, settings.addresses) == (1, settings.listen)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param({"workers": 0}, "greater than or equal to 1, but it is 0", id="none"),
        pytest.param({"workers": 1000}, "less than or equal to 64, but it is 1000", id="a thousand"),
        pytest.param({"workers": "many"}, "a valid integer, .*but it is 'many'", id="a word"),
        pytest.param({"workers": 1.5}, "a valid integer, .*but it is 1.5", id="one and a half"),
        pytest.param(
            {"workers": 2, "listen": ["127.0.0.1:65535"]},
            "worker 1 would listen on 127.0.0.1:65536, beyond port 65535",
            id="beyond the last port",
        ),
        pytest.param(
            {"workers": 3, "listen": ["127.0.0.1:9000", "127.0.0.1:9002"]},
            "two of 3 workers would listen on 127.0.0.1:9002; set addresses that are further apart",
            id="ports that meet",
        ),
        pytest.param(
            {"workers": 2, "listen": ["unix:/r/a.sock", "unix:/r/a-1.sock"]},
            "would listen on unix:/r/a-1.sock",
            id="sockets that meet",
        ),
    ],
)
def test_a_number_of_workers_that_cannot_be_is_refused_by_name(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=f"command line: extauthz.workers: .*{message}"):
        load(overrides={"extauthz": keys})


def test_the_environment_is_named_too() -> None:
    with pytest.raises(SettingsError, match="environment variable GATELEDGER_EXTAUTHZ__WORKERS: "):
        load(environ={"GATELEDGER_EXTAUTHZ__WORKERS": "two"})


def test_any_free_port_is_no_address_twice() -> None:
    assert problem(["127.0.0.1:0"], 4) is None
