"""What is unusual: off-hours, enumeration, volume. Asked as the auditor on the real engine: exact rows of crafted data."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from audit.errors import Refused
from audit.run import Window
from tests.integration.audit.conftest import DAY, Ledger, at, some


def test_off_hours_tell_the_night_from_the_day_with_its_share(ledger: Ledger):
    ledger.plant("20 07:59", url_path="/early")
    ledger.plant("20 08:00")
    ledger.plant("19 17:59")
    ledger.plant("19 18:00", "alice", "deny", url_path="/late")
    ledger.plant("20 09:00", "bob")
    ledger.plant("20 03:00", "anonymous")

    assert [
        ("alice", "orders", 2, 4, 0.5, 1, 1, 2, at("19 18:00"), at("20 07:59"), "Fri 2026-11-20 07:59")
    ] == [tuple(row.values()) for row in ledger.ask("off-hours")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, ["19 20:00", "20 02:00"], id="UTC"),
        pytest.param({"timezone": "Asia/Tokyo"}, ["19 13:00", "19 20:00"], id="another zone's night"),
        pytest.param({"from_hour": "19", "to_hour": "3"}, ["19 13:00"], id="work over midnight"),
        pytest.param(
            {"from_hour": "19", "to_hour": "2"},
            ["19 13:00", "20 02:00"],
            id="work until the hour, not through it",
        ),
        pytest.param({"from_hour": "0", "to_hour": "24"}, [], id="work round the clock"),
        pytest.param(
            {"from_hour": "9", "to_hour": "9"}, ["19 13:00", "19 20:00", "20 02:00"], id="no work at all"
        ),
        pytest.param({"workdays": "1,2,3,4,5"}, ["19 20:00", "20 02:00"], id="weekdays"),
        pytest.param({"workdays": "5"}, ["19 13:00", "19 20:00", "20 02:00"], id="Thursday off"),
        pytest.param({"workdays": ""}, ["19 13:00", "19 20:00", "20 02:00"], id="every day off"),
    ],
)
def test_off_hours_follow_zone_hours_and_days(ledger: Ledger, given: dict[str, str], expected: list[str]):
    for time in ("19 13:00", "19 20:00", "20 02:00"):
        ledger.plant(time, service=time)

    assert expected == sorted(row["service"] for row in ledger.ask("off-hours", **given))


def test_an_unknown_time_zone_is_refused_in_clickhouses_words(ledger: Ledger):
    with pytest.raises(Refused, match=r"refused the query: .*Middle/Earth"):
        ledger.ask("off-hours", timezone="Middle/Earth")


def test_enumeration_finds_many_resources_in_one_hour(ledger: Ledger):
    for minute in range(5):
        ledger.plant(
            f"20 09:{minute:02}", "mallory", url_path=f"/orders/{minute}", http_response_status_code=404
        )
    for minute in range(4):
        ledger.plant(f"20 09:{minute:02}", "carol", url_path=f"/orders/{minute}")
    for minute in range(6):
        ledger.plant(f"20 09:{minute:02}", "dave", url_path="/orders/1")

    assert [
        {
            "hour": at("20 09:00"),
            "subject": "mallory",
            "client_address": "",
            "resources": 5,
            "services": 1,
            "requests": 5,
            "allowed": 5,
            "denied": 0,
            "not_found": 5,
            "first_seen": at("20 09:00"),
            "last_seen": at("20 09:04"),
            "first_url_path": "/orders/0",
            "last_url_path": "/orders/4",
        }
    ] == ledger.ask("enumeration", min_resources="5")


def test_enumeration_tells_those_without_identity_apart_by_address(ledger: Ledger):
    for number in range(3):
        ledger.plant("20 09:00", "anonymous", "deny", url_path=f"/{number}", client_address="::ffff:10.0.0.7")
        ledger.plant("20 09:00", "alice", url_path=f"/{number}", client_address=f"::ffff:10.1.0.{number}")
    ledger.plant("20 09:00", "anonymous", "deny", url_path="/9", client_address="::ffff:10.0.0.8")

    assert [("alice", "", 3), ("anonymous", "10.0.0.7", 3)] == some(
        ledger.ask("enumeration", min_resources="2"), "subject", "client_address", "resources"
    )


def test_volume_holds_the_window_against_equally_long_ones_before_it(ledger: Ledger):
    mib = 1 << 20
    for day in (14, 15, 16, 17, 18):
        ledger.plant(f"{day} 13:00", "usual", response_bytes=10 * mib)
        ledger.plant(f"{day} 13:00", "greedy", response_bytes=7 * mib)
    ledger.plant("20 09:00", "usual", response_bytes=10 * mib)
    ledger.plant("20 09:00", "greedy", response_bytes=99 * mib, request_bytes=mib)
    ledger.plant("20 09:00", "newcomer", response_bytes=2 * mib)
    ledger.plant("20 09:00", "little", response_bytes=mib - 1)
    ledger.plant("19 11:59", "gone", response_bytes=50 * mib)

    assert [
        ("newcomer", 2 * mib, 0, 2 * mib, 1, 0.0, 0, 0, None),
        ("greedy", 100 * mib, mib, 99 * mib, 1, 5.0 * mib, 7 * mib, 5, 20.0),
    ] == [tuple(row.values()) for row in ledger.ask("volume")]


def test_a_period_of_the_past_begins_with_its_first_moment(ledger: Ledger):
    ledger.plant("18 12:00", response_bytes=1 << 20)
    ledger.plant("19 11:59:59.999999", response_bytes=1 << 20)
    ledger.plant("20 09:00", response_bytes=6 << 20)

    assert [(1, 2 << 20, 3.0)] == some(
        ledger.ask("volume", periods="1"), "past_periods", "past_max_bytes", "ratio"
    )


@pytest.mark.parametrize(
    ("given", "window", "expected"),
    [
        pytest.param({}, DAY, [(2.0,)], id="two periods"),
        pytest.param({"periods": "0"}, DAY, [(None,)], id="no past at all"),
        pytest.param({"periods": "65535"}, DAY, [(65535.0,)], id="a past longer than there is time"),
        pytest.param(
            {"periods": "65535"},
            Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)),
            [(None,)],
            id="a window longer than there is time",
        ),
    ],
)
def test_volume_bears_any_span(
    ledger: Ledger, given: dict[str, str], window: Window, expected: list[tuple[float | None]]
):
    ledger.plant("19 09:00", response_bytes=1 << 21)
    ledger.plant("20 09:00", response_bytes=1 << 21)

    asked = {"periods": "2", "min_ratio": "0"} | given

    assert expected == some(ledger.ask("volume", window=window, **asked), "ratio")
