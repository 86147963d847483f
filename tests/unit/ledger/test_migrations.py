from datetime import UTC, datetime

import pytest

from ledger.migrate import Applied, Migration, MigrationError, migrations, refuse, states

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ONE, TWO = Migration("0001_one.sql", "CREATE ONE;\n"), Migration("0002_two.sql", "CREATE TWO;\n")


def applied(*done: Migration) -> dict[str, Applied]:
    return {each.name: Applied(each.name, each.sha256, NOW) for each in done}


def test_what_was_not_applied_is_pending() -> None:
    found = states([ONE, TWO], applied(ONE))

    assert [("0001_one.sql", "applied", NOW), ("0002_two.sql", "pending", None)] == [
        (each.name, each.state, each.applied_at) for each in found
    ]
    refuse(found)


@pytest.mark.parametrize(
    ("ours", "done", "why"),
    [
        pytest.param(
            [Migration("0001_one.sql", "CREATE ANOTHER;\n")],
            [ONE],
            "0001_one.sql: not the file that was applied",
            id="an applied file was changed",
        ),
        pytest.param([ONE], [ONE, TWO], "newer gateledger (0002_two.sql)", id="the database is newer"),
    ],
)
def test_a_database_that_does_not_fit_is_refused(
    ours: list[Migration], done: list[Migration], why: str
) -> None:
    with pytest.raises(MigrationError) as refusal:
        refuse(states(ours, applied(*done)))

    assert why in str(refusal.value)


def test_a_statement_ends_with_a_line_that_ends_in_a_semicolon() -> None:
    migration = Migration(
        "0001_x.sql", "-- first; still a comment\nSELECT ';a';\n\n-- tail\nSELECT\n 2;\n-- end\n"
    )

    assert ("-- first; still a comment\nSELECT ';a'", "-- tail\nSELECT\n 2") == migration.statements


def test_the_shipped_migrations_are_in_order_and_may_be_run_again() -> None:
    found = migrations()

    numbers = [each.name[:4] for each in found]

    assert sorted(set(numbers)) == numbers
    for each in found:
        for statement in each.statements:
            assert "IF NOT EXISTS" in statement or "IF EXISTS" in statement
