from __future__ import annotations

from extauthz.familiar import Kept


def test_what_is_kept_is_bounded_and_what_was_looked_at_last_stays() -> None:
    kept: Kept[int, str] = Kept(10)
    kept.keep(-1, "often asked")

    for number in range(1_000):
        kept.keep(number, str(number))

        assert kept[-1] == "often asked"
        assert kept.size <= 10
    assert (kept[999], kept[500]) == ("999", None)
