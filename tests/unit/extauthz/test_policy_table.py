"""How a policy's rows lie in memory once they are read."""

from __future__ import annotations

from extauthz.engine.finding import Report
from extauthz.engine.rows import table_of

# More texts than are remembered at a time.
MANY = 60_000


def test_a_role_is_one_text_however_many_rows_name_it() -> None:
    """Comparing it is comparing addresses, and it lies in memory once."""
    rules = (f"p, role:{number % 9_000}, /things/{number}, GET, allow\n" for number in range(MANY))
    links = (f"g, user{number}, role:{number % 9_000}\n" for number in range(MANY))
    report = Report("policy.csv", [])

    table = table_of("".join((*rules, *links)), report)

    roles = [
        record[0] if ptype == "p" else record[1]
        for ptype, record in zip(table.ptypes, table.records, strict=True)
    ]
    assert not report.findings
    assert len(roles) == 2 * MANY
    assert len({id(role) for role in roles}) == 9_000
