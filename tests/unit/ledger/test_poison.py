import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ledger.poison import culprits

# A busy machine is no failure.
UNHURRIED = hypothesis_settings(deadline=None)


@UNHURRIED
@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=8))
def test_exactly_the_bad_entries_are_found(rows: int, bad: set[int]) -> None:
    found = culprits(rows, lambda numbers: "bad" if bad & set(numbers) else "")

    assert [range(n, n + 1) for n in sorted(bad) if n < rows] == [each.numbers for each in found]


@pytest.mark.parametrize("max_trials", [1, 2, 5, 40])
def test_when_the_trials_run_out_no_bad_entry_is_missed(max_trials: int) -> None:
    trials = 0

    def fault(numbers: range) -> str:
        nonlocal trials
        trials += 1
        return "bad" if any(n % 3 == 0 for n in numbers) else ""

    found = culprits(100, fault, max_trials)

    assert {n for n in range(100) if n % 3 == 0} <= {n for each in found for n in each.numbers}
    assert trials <= max_trials + 100


def test_a_batch_that_passes_has_no_culprit() -> None:
    assert () == culprits(5, lambda _: "")
