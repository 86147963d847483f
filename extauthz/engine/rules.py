"""The rules of a policy, in the order in which they are tried, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from extauthz.engine import reference
from extauthz.engine.embedded import filled
from extauthz.engine.rows import Row
from extauthz.engine.verdict import verdict_of

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable

    from extauthz.engine.model import Model
    from extauthz.engine.rows import Table
    from extauthz.engine.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """One p row. `effect` is allow or deny as Casbin counts them."""

    row: Row
    effect: int
    # The fields as the matcher calls them: {"p_sub": "alice", …}.
    names: Mapping[str, str]

    @property
    def denies(self) -> bool:
        return self.effect == reference.EFFECT_OF["deny"]


class Rules(Sequence[Rule]):
    """All p rows. An index counts them in the order in which they are tried; it is no line number."""

    def __init__(self, table: Table, order: Iterable[int], model: Model) -> None:
        """`order`: where in the table each rule is."""
        self._model = model
        # The fields of each rule; what is answered where it decides; and for each 1 where it denies, else 0.
        self.fields: list[tuple[str, ...]] = []
        self.verdicts: list[Verdict] = []
        effect = model.effect_field
        for at in order:
            fields = table.records[at]
            denies = effect is not None and fields[effect] == "deny"
            self.fields.append(fields)
            self.verdicts.append(verdict_of(fields, table.lines[at], table.texts[at], denies=denies))
        self.denies = bytes([not verdict.allowed for verdict in self.verdicts])

        # The matcher with each rule's own expressions, where it evaluates such.
        self._filled = (
            [filled(model.matcher, model, fields) for fields in self.fields] if model.embedded else []
        )

    def matcher(self, index: int) -> ast.expr:
        """What has to hold for a rule to match."""
        return self._filled[index] if self._filled else self._model.matcher

    def where(self, index: int) -> tuple[int, str]:
        """The line of a rule in the policy file, and what is written there."""
        verdict = self.verdicts[index]
        return verdict.line or 0, verdict.text

    def effect(self, index: int) -> int:
        """Allow or deny as Casbin counts them."""
        return reference.EFFECT_OF["deny" if self.denies[index] else "allow"]

    def __len__(self) -> int:
        return len(self.fields)

    @overload
    def __getitem__(self, index: int) -> Rule: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Rule]: ...

    def __getitem__(self, index: int | slice) -> Rule | Sequence[Rule]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        line, text = self.where(index)
        row = Row(line, "p", self.fields[index], text)
        names = {f"p_{name}": value for name, value in zip(self._model.policy, row.fields, strict=True)}
        return Rule(row, self.effect(index), names)


def rules_in_order(model: Model, table: Table, found: Sequence[int], links: Sequence[int]) -> Rules:
    """The rules as Casbin orders them: by priority or by the hierarchy of subjects, else as written.

    Raises RuntimeError on a circle of roles where the hierarchy is needed.
    """
    if "priority" not in model.policy and model.effect != reference.SUBJECT_PRIORITY:
        return Rules(table, found, model)
    lists = [list(table.records[at]) for at in found]
    place = {id(fields): at for fields, at in zip(lists, found, strict=True)}
    ordered = reference.sorted_rows(
        model.policy, model.effect, lists, [table.records[at][: model.roles["g"]] for at in links]
    )
    return Rules(table, (place[id(fields)] for fields in ordered), model)
