"""Simulated studies of the whole choice, and how often their useless models are kept.

benchmarks/choice_error.py prints the table of these lines and says what a study is.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from benchmarks.decision import CATEGORIES, ROWS_PER_TERM, keyword_error_change
from benchmarks.decision_by_shares import keeps
from benchmarks.simulated_choice import (
    CHOOSING_SENTENCES,
    POLICY,
    SimulatedChoice,
    choose_values,
    reachable_values,
    ship,
    train,
)
from benchmarks.simulated_general import (
    ONE_SIDED,
    draw_sentences,
    draw_share,
    edits_along_grid,
    judge_sentences,
)
from benchmarks.simulated_training import (
    ModelChange,
    SimulatedManifest,
    SimulatedModel,
    deal_folds,
    decode,
    draw_manifests,
    draw_states,
    hear_judged,
    rank_rows,
    split_ranked,
)
from tasks.decision.choice_rule import RULE, ChoiceRule
from tasks.decision.decision_table import Verdict
from tasks.decision.guardrail import Guardrail, GuardrailStatus
from tasks.decision.verdict import decide
from tasks.decision.verdict_rules import DecisionEvidence
from tasks.evaluation.statistics import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.simulated_training import Flags, Floats, Places


JUDGING_SENTENCES = 450
SEED = 17
_STUDIES_AT_ONCE = 250
_HELD = Guardrail(600, 0.04, 0.04, 0.04, 0.04, Interval(0.0, 0.0), 0.005, 0.0, 0.01)


@dataclass(frozen=True)
class ChoiceErrorRow:
    """One line of the table.

    Attributes:
        model: what the tuned model is.
        rows: of the manifest.
        judged: rows that judge.
        design: held out, or folds.
        categories: priority categories, which share the rows.
        remedies: further trainings that are allowed.
        studies: simulated.
        kept: share of studies in which the model is kept.
        upper: the one-sided 95 % upper limit of that (Clopper & Pearson).
        kept_and_held: the share in which, besides, a mixture held on the choosing sentences.
        checkpoint_on_judging: the share where the rows that judge chose the checkpoint; None where
            they are decoded several times.
        all_on_judging: the share where they chose checkpoint and mixture; None likewise.
        chose_held: share in which a mixture held on the choosing sentences.
        value: mean value of the shipped model.
        counted: whether it may be kept in at most the limit's share of the studies.
        decodes: of each row that judges, by either model.
    """

    model: str
    rows: int
    judged: int
    design: str
    categories: int
    remedies: int
    studies: int
    kept: float
    upper: float
    kept_and_held: float
    checkpoint_on_judging: float | None
    all_on_judging: float | None
    chose_held: float
    value: float
    counted: bool
    decodes: int = 1


def upper_limit(hits: int, n: int) -> float:
    """Return the one-sided 95 % upper limit of a share (Clopper & Pearson 1934)."""
    return 1.0 if hits == n else float(special.betaincinv(hits + 1, n - hits, 0.95))


def _judge_rows(
    rng: np.random.Generator,
    model: SimulatedModel,
    manifest: SimulatedManifest,
    shipped: SimulatedChoice,
    rows: Places,
    decodes: int = 1,
) -> tuple[Floats, Floats]:
    """Decode rows that neither trained nor chose, by the base and by the shipped model.

    Returns:
        The share of each row's decodes that miss its term, before and after.
    """
    tuned = decode(rng, model, manifest, shipped.kept, rows)[:, 0]
    states = draw_states(rng, model, manifest, shipped.kept, rows, tuned)
    if decodes > 1:
        states = hear_judged(rng, model, manifest, shipped.kept, rows, states, decodes)
    return states.missed[0], states.at(shipped.values)


def _verdict(
    was: Flags, now: Flags, rows: Places, categories: int, guardrail: Guardrail
) -> Verdict:
    terms = rows // ROWS_PER_TERM
    changes = {
        category: keyword_error_change(
            category, was[in_category], now[in_category], terms[in_category]
        )
        for number, category in enumerate(CATEGORIES[:categories])
        if (in_category := terms % categories == number).any()
    }
    return decide(DecisionEvidence(changes, "held-out", guardrail=guardrail), list(changes)).verdict


def _terms_kept(was: Flags, now: Flags, rows: Places, categories: int) -> Flags:
    """Return whether each study's model is kept, if general English is not lost."""
    return np.array(
        [
            _verdict(*study, categories, _HELD) is Verdict.KEEP
            for study in zip(was, now, rows, strict=True)
        ]
    )


def _shares_kept(was: Floats, now: Floats, rows: Places, categories: int, decodes: int) -> Flags:
    """Return the same of rows that were decoded several times."""
    before, after = (np.round(shares * decodes).astype(np.int64) for shares in (was, now))
    return np.array(
        [
            keeps(rows[study], before[study], after[study], decodes, categories)
            for study in range(len(rows))
        ]
    )


@dataclass
class _Counts:
    """What a line adds up over its studies."""

    kept: int = 0
    kept_and_held: int = 0
    checkpoint_on_judging: int = 0
    all_on_judging: int = 0
    chose_held: int = 0
    values: float = 0.0


@dataclass(frozen=True)
class ChoiceStudy:
    """The settings of a line.

    Attributes:
        model: what training makes.
        rows: of the manifest.
        folds: whether every row judges, by a model that has not seen it.
        categories: priority categories.
        remedies: further trainings that are allowed.
        one_sided: the confidence of the guardrail's upper end.
        rule: the numbers of the choice.
        decodes: of each row that judges, by either model.
    """

    model: SimulatedModel
    rows: int
    folds: bool
    categories: int
    remedies: int
    one_sided: float = ONE_SIDED
    rule: ChoiceRule = RULE
    decodes: int = 1

    @property
    def useless(self) -> bool:
        """Whether the model gains nothing."""
        return self.model.change is not ModelChange.GAIN

    @property
    def once(self) -> bool:
        """Whether the rows that judge are decoded once."""
        return self.decodes == 1

    def run(self, studies: int, seed: int = SEED) -> ChoiceErrorRow:
        """Simulate the line."""
        counts = _Counts()
        judged = 0
        for number, start in enumerate(range(0, studies, _STUDIES_AT_ONCE)):
            names = f"{self.model.name} {self.folds}".encode()
            rng = np.random.default_rng(
                [seed, self.rows, self.categories, self.remedies, *names, number]
            )
            judged = self._add(rng, min(_STUDIES_AT_ONCE, studies - start), counts)
        return ChoiceErrorRow(
            model=self.model.name,
            rows=self.rows,
            judged=judged,
            design="folds" if self.folds else "held out",
            categories=self.categories,
            remedies=self.remedies,
            studies=studies,
            kept=counts.kept / studies,
            upper=upper_limit(counts.kept, studies),
            kept_and_held=counts.kept_and_held / studies,
            checkpoint_on_judging=counts.checkpoint_on_judging / studies if self.once else None,
            all_on_judging=counts.all_on_judging / studies if self.once else None,
            chose_held=counts.chose_held / studies,
            value=counts.values / studies,
            counted=self.useless or not self.model.general.power,
            decodes=self.decodes,
        )

    def _add(self, rng: np.random.Generator, studies: int, counts: _Counts) -> int:
        """Simulate some studies and add them; return the rows that judge each."""
        model, categories = self.model, self.categories
        manifest = draw_manifests(rng, studies, self.rows)
        by_term = model.change is ModelChange.HELD_OUT_TERMS
        ranked = rank_rows(rng, studies, self.rows, categories, by_term=by_term)
        choosing, judging = split_ranked(ranked)
        settings = (categories, self.remedies, self.rule)
        shipped = ship(rng, model, manifest, choosing, *settings)
        if self.folds:
            parts = deal_folds(ranked)
            judged = [
                _judge_rows(
                    rng,
                    model,
                    manifest,
                    ship(rng, model, manifest, fold_choosing, *settings),
                    fold_judging,
                    self.decodes,
                )
                for fold_choosing, fold_judging in parts
            ]
        else:
            parts = [(choosing, judging)]
            judged = [_judge_rows(rng, model, manifest, shipped, judging, self.decodes)]
        rows = np.hstack([part_judging for _, part_judging in parts])
        was, now = (np.hstack(side) for side in zip(*judged, strict=True))
        if self.once:
            kept = _terms_kept(was > 0, now > 0, rows, categories)
        else:
            kept = _shares_kept(was, now, rows, categories, self.decodes)
        if not self.useless:
            kept &= self._kept_by_guardrail(rng, shipped)
        counts.kept += int(kept.sum())
        counts.kept_and_held += int((kept & shipped.held).sum())
        counts.chose_held += int(shipped.held.sum())
        counts.values += float(shipped.values.sum())
        if self.once:
            self._add_former(rng, manifest, [part[1] for part in parts], counts)
        return int(rows.shape[1])

    def _kept_by_guardrail(self, rng: np.random.Generator, shipped: SimulatedChoice) -> Flags:
        """Return whether the guardrail of the sentences that judge held, as a keep needs."""
        drawn = draw_sentences(rng, self.model.general, shipped.values, JUDGING_SENTENCES)
        guardrails = judge_sentences(drawn, POLICY, self.one_sided)
        return np.array([found.status is GuardrailStatus.HELD for found in guardrails])

    def _add_former(
        self,
        rng: np.random.Generator,
        manifest: SimulatedManifest,
        judging: Sequence[Places],
        counts: _Counts,
    ) -> None:
        """Add what is kept where the rows that judge choose the checkpoint, and the mixture too.

        All sentences both choose and guard, the lowest KER within the limit is taken, and a rise
        at or under the limit holds, whatever its interval.
        """
        rule = dataclasses.replace(self.rule, share_of_limit=1.0, standard_errors=0.0)
        grid = reachable_values(rule)
        studies = len(manifest.missed)
        share = draw_share(rng, studies, CHOOSING_SENTENCES + JUDGING_SENTENCES)
        words, base_edits = share.words.sum(axis=1), share.before.sum(axis=1)
        plain, mixed = [], []
        guards: list[tuple[Flags, Flags]] = []
        for rows in judging:
            _, states = train(rng, self.model, manifest, rows, self.categories)
            general = edits_along_grid(rng, self.model.general, share, grid)
            # A rise over the limit is refused, however uncertain it is.
            general = dataclasses.replace(general, errors=np.zeros_like(general.errors))
            values, held = choose_values(states, rows, general, rule)
            plain.append(states.at(np.ones(studies)) > 0)
            mixed.append(states.at(values) > 0)
            limits = np.array([POLICY.limit(rate) for rate in base_edits / words])
            guards.append(((general.edits[:, -1] - base_edits) / words <= limits, held))
        rows = np.hstack(list(judging))
        was = np.take_along_axis(manifest.missed, rows, 1)
        # The model that is shipped beside folds is one like theirs: the first's guardrail counts.
        plain_held, mixed_held = guards[0]
        for name, now, held in (
            ("checkpoint_on_judging", np.hstack(plain), plain_held),
            ("all_on_judging", np.hstack(mixed), mixed_held),
        ):
            kept = _terms_kept(was, now, rows, self.categories) & (held | self.useless)
            setattr(counts, name, getattr(counts, name) + int(kept.sum()))
