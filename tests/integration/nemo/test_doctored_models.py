"""Models that must not be kept: real files decode real speech, and the verdict sees why.

One writes every drug's name, one has forgotten English, one has learnt its training rows by heart.
The last two are one real tuning at three times the recipe's learning rate and on two dozen rows,
judged on terms that it has heard and on terms that it has not.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from sentencepiece import sentencepiece_model_pb2

from asr_flywheel.demo import synthesis
from asr_flywheel.demo.dataset import DemoUtterance, general_sentences, plan_cycle, speak
from asr_flywheel.demo.voices import VOICES
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.manifest import Utterance as Row
from tasks.data.manifest import write_manifest
from tasks.data.split_parts import Split
from tasks.data.training_set import write_training_set
from tasks.decision import evidence
from tasks.decision.decision_table import TableReading, Verdict
from tasks.decision.guardrail import Guardrail, GuardrailPolicy, check_guardrail
from tasks.decision.verdict import Decision, decide
from tasks.evaluation import diff
from tasks.evaluation.scoring import Scores, score
from tasks.models import catalog
from tasks.runtimes import hardware
from tasks.runtimes.local import LocalRuntime
from tasks.stages import evaluate, prepare
from tasks.training import run as training_run
from tasks.training import sft
from tasks.training.recipes import Recipe
from tasks.transcription.offline import transcribe
from tasks.transcription.rows import audio_set, hypotheses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.preflight import CheckedRow, PreflightResult
    from tasks.evaluation.hypotheses import Hypothesis

BASE = "embedded"
LEARNT, FRESH, GENERAL = "learnt", "fresh", "general"
HARD = Recipe(lr=1e-3, epochs=2, batch_size=4)


def clinical_rows() -> list[tuple[str, DemoUtterance, str]]:
    """Drug rows: which set, what is said, the term.

    Of twelve drugs two rows are trained on and one is held out; of the others two are held out.
    """
    by_term: dict[str, list[DemoUtterance]] = {}
    for row in plan_cycle(seed=7):
        if row.term.category == "drug":
            by_term.setdefault(row.term.text, []).append(row.utterance)
    planned = []
    for number, (term, utterances) in enumerate(by_term.items()):
        sets = ("train", "train", LEARNT) if number < 12 else (FRESH, FRESH)
        planned += [(one, said, term) for one, said in zip(sets, utterances, strict=False)]
    return planned


def write_cycle(folder: Path) -> tuple[Cycle, list[str]]:
    """Speak everything into a cycle; returns it and the set of each row."""
    (folder / "audio").mkdir(parents=True)
    general = [
        (GENERAL, DemoUtterance(f"general_{n}", text, VOICES[n % len(VOICES)], "clean", n), None)
        for n, text in enumerate(general_sentences()[:30])
    ]
    planned = [*clinical_rows(), *general]
    rows = []
    for number, (_, said, term) in enumerate(planned, start=1):
        name = f"audio/{said.name}.wav"
        seconds = synthesis.write_wav(folder / name, speak(replace(said, noise_level="clean")))
        category = None if term is None else "drug"
        rows.append(Row(number, name, said.text, seconds, term, category))
    write_manifest(folder / "manifest.jsonl", rows)
    return open_cycle(folder), [one for one, _, _ in planned]


def tune_too_hard(cycle: Cycle, checked: PreflightResult, sets: Sequence[str]) -> Path:
    """The real tuning stage, on two dozen rows."""
    numbers = {
        side: tuple(
            row.utterance.row for row, one in zip(checked.rows, sets, strict=True) if one == side
        )
        for side in ("train", LEARNT)
    }
    data = write_training_set(
        cycle.path, checked.rows, Split(numbers["train"], numbers[LEARNT], ())
    )
    request = training_run.SftRequest(
        base=catalog.resolve(BASE),
        base_name=BASE,
        data=data,
        recipe=HARD,
        model_dir=cycle.path / "models" / "hard",
        audio_roots=(cycle.path,),
        key="hard",
    )
    return sft.train(request, LocalRuntime(hardware.detect()), lambda _: None).model


def write_every_drug(target: Path, drugs: Sequence[str]) -> Path:
    """The base with a tokenizer in which every piece that starts a word brings all drugs along."""
    shout = "".join(f"\u2581{drug}" for drug in drugs)
    with tarfile.open(catalog.resolve(BASE)) as source, tarfile.open(target, "w") as changed:
        for member in source.getmembers():
            content = source.extractfile(member)
            data = b"" if content is None else content.read()
            if member.name.endswith("tokenizer.model"):
                # Protobuf makes the class at run time.
                model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
                model.ParseFromString(data)
                for piece in model.pieces:
                    if piece.piece.startswith("\u2581"):
                        piece.piece = shout + piece.piece
                data = model.SerializeToString()
                member.size = len(data)
            changed.addfile(member, BytesIO(data) if member.isfile() else None)
    return target


@dataclass(frozen=True)
class Heard:
    """Every row of the cycle as each model heard it."""

    sets: Sequence[str]
    rows: dict[str, tuple[Hypothesis, ...]]

    def scores(self, model: str, *wanted: str) -> Scores:
        """A model's scores on some of the sets, each row marked as trained on or held out."""
        return score(
            row for row, one in zip(self.rows[model], self.sets, strict=True) if one in wanted
        )

    def missed(self, model: str, wanted: str) -> float:
        """A model's KER on one of the sets."""
        ker = self.scores(model, wanted).ker
        assert ker is not None
        return ker

    def guardrail(self, model: str) -> Guardrail:
        """General English, before and after."""
        before, after = self.scores("base", GENERAL), self.scores(model, GENERAL)
        return check_guardrail(before, after, GuardrailPolicy())

    def judge(
        self, model: str, held_out: str, guardrail: Guardrail | None = None
    ) -> tuple[Decision, TableReading]:
        """Our decision, held out is one of the sets; and the bare table over all rows."""
        pairing = diff.pair(*(self.scores(one, "train", held_out) for one in ("base", model)))
        decided = decide(evidence.evidence(pairing, guardrail=guardrail), ["drug"])
        return decided, evidence.read_all_rows(pairing, ["drug"])


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """Speech, a tuning and three decodings, for real."""
    cycle, sets = write_cycle(tmp_path_factory.mktemp("clinic") / "cycle1")
    checked = prepare.check(cycle, catalog.resolve(BASE), HARD)
    drugs = sorted({row.utterance.term for row in checked.rows if row.utterance.term})
    models = {
        "base": catalog.resolve(BASE),
        "hard": tune_too_hard(cycle, checked, sets),
        "every-drug": write_every_drug(cycle.path / "models" / "every_drug.nemo", drugs),
    }
    runtime = LocalRuntime(hardware.detect())
    kept = evaluate.open_hypothesis_cache(cycle, runtime)
    audio = audio_set(checked.rows, (cycle.path,))
    transcripts = transcribe(tuple(models.values()), audio, runtime, kept)
    trained = tuple(_numbers(checked.rows, sets, trained=True))
    split = Split(trained, tuple(_numbers(checked.rows, sets, trained=False)), ())
    return Heard(
        sets,
        {
            name: hypotheses(checked.rows, one, split)
            for name, one in zip(models, transcripts, strict=True)
        },
    )


def _numbers(rows: Sequence[CheckedRow], sets: Sequence[str], *, trained: bool) -> list[int]:
    return [
        row.utterance.row
        for row, one in zip(rows, sets, strict=True)
        if (one == "train") == trained
    ]


def test_a_model_that_writes_every_drug_is_discarded_for_false_keywords(heard: Heard) -> None:
    """It misses no drug at all, so that the bare table keeps it."""
    decided, bare = heard.judge("every-drug", FRESH)
    assert heard.missed("base", FRESH) > 0.4
    assert heard.missed("every-drug", FRESH) == 0.0
    assert bare.verdict is Verdict.KEEP
    assert decided.verdict is Verdict.DISCARD
    assert any("gained by false keywords" in reason for reason in decided.reasons)


def test_a_model_that_forgot_english_is_discarded_for_forgetting(heard: Heard) -> None:
    """It hears the drugs that it learnt in new rows too, so that the bare table keeps it."""
    decided, bare = heard.judge("hard", LEARNT, heard.guardrail("hard"))
    assert bare.verdict is Verdict.KEEP
    assert decided.verdict is Verdict.DISCARD
    assert any("The model forgets" in reason for reason in decided.reasons)


def test_a_model_that_learnt_its_rows_by_heart_is_not_kept(heard: Heard) -> None:
    """All it gains is on rows that it was trained on; over all rows the bare table keeps it."""
    decided, bare = heard.judge("hard", FRESH)
    assert heard.missed("hard", "train") < 0.5 * heard.missed("base", "train")
    assert bare.verdict is Verdict.KEEP
    assert decided.verdict in (Verdict.DISCARD, Verdict.INCONCLUSIVE)
    expected = "Memorised" if decided.verdict is Verdict.DISCARD else "Chance explains"
    assert any(expected in reason for reason in decided.reasons)


def test_the_base_itself_is_not_kept_either(heard: Heard) -> None:
    """The same model twice: no difference, nothing forgotten, no reason to keep a copy."""
    decided, _ = heard.judge("base", FRESH, heard.guardrail("base"))
    assert decided.verdict is not Verdict.KEEP
    assert heard.guardrail("base").rise == 0.0
