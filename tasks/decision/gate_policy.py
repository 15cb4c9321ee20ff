"""The thresholds of the gate."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.common.valid_values import ValidValues
from tasks.data.vocabularies import CATEGORIES


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The thresholds; the defaults are the specification's.

    Attributes:
        priority: entity categories whose KER decides.
        tune_above: tuning is worth it above this KER, exclusive.
        harden_below: below this KER, exclusive, the evaluation is too easy.
        min_rows: rows that the manifest must have.
        min_priority_rows: rows that each priority category must have.
        min_source_rows: rows that a pronunciation source must have to be compared.
        good_pronunciation: a dictionary's rows are good at or under this KER.
        bad_pronunciation: guessed pronunciations are bad above this KER.
    """

    priority: tuple[str, ...] = ("drug",)
    tune_above: float = 0.3
    harden_below: float = 0.1
    min_rows: int = 100
    min_priority_rows: int = 5
    min_source_rows: int = 5
    good_pronunciation: float = 0.1
    bad_pronunciation: float = 0.3

    def __post_init__(self) -> None:
        if not self.priority:
            raise InputError(
                f"{name_of('priority')}: is empty. Fix: name at least one category, such as drug."
            )
        for category in self.priority:
            if category not in CATEGORIES:
                raise InputError(
                    f"{name_of('priority')} {category!r} is not a category. Fix: "
                    f"{ValidValues(tuple(CATEGORIES)).fix(category)}."
                )
        if not 0 <= self.harden_below <= self.tune_above <= 1:
            raise InputError(
                f"gate policy: harden_below {self.harden_below} and tune_above {self.tune_above} "
                "contradict each other. Fix: 0 <= harden_below <= tune_above <= 1."
            )
