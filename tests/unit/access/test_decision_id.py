from __future__ import annotations

import uuid

from access import uuid7


def test_the_example_of_the_rfc_comes_out() -> None:
    # RFC 9562, A.6: 2022-02-22 19:22:22 UTC, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    noise = (0xCC3 << 68) | 0x18C4DC0C0C07398F

    assert uuid7(0x017F22E279B0, noise.to_bytes(10, "big")) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_version_and_variant_hold_whatever_the_noise_is() -> None:
    for noise in (b"\0" * 10, b"\xff" * 10):
        parsed = uuid.UUID(uuid7(2**48 - 1, noise))

        assert parsed.variant == uuid.RFC_4122
        assert parsed.version == 7


def test_later_ids_sort_behind_earlier_ones() -> None:
    assert uuid7(1, b"\xff" * 10) < uuid7(2, b"\0" * 10)
