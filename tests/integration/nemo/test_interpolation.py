"""Mixtures of base and tuned model, made and decoded by NeMo."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
import yaml

from tasks.common import hashing
from tasks.common.errors import InputError, TranscriptionError
from tasks.data.cycle_folder import open_cycle
from tasks.decision.choice_rule import RULE
from tasks.decision.guardrail import GuardrailPolicy
from tasks.models.catalog import embedded_path
from tasks.runtimes.hardware import Hardware
from tasks.runtimes.local import LocalRuntime
from tasks.stages import choose, evaluate, prepare
from tasks.stages.choose import ChoiceRequest
from tasks.stages.choosing_rows import ChoosingRows
from tasks.stages.shipped_model import discard_tuned
from tasks.training import run as training_run
from tasks.training.recipes import Recipe
from tasks.transcription import mixtures, offline
from tasks.transcription.mixtures import ChoosingAudio, MixturesWanted
from tasks.transcription.rows import audio_set
from tests.support import nemo_models

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.training.run import SftResult

BASE = embedded_path().with_name("embedded_rnnt.nemo")
RUNTIME = LocalRuntime(Hardware((), 2))


@pytest.fixture
def tuned(tuned_rnnt: tuple[Path, SftResult], tmp_path: Path) -> tuple[Path, SftResult]:
    """A cycle and its finished training, of the test's own."""
    cycle, result = tuned_rnnt
    copy = shutil.copytree(cycle, tmp_path / "clinic" / "cycle1")
    place = copy / result.model.parent.relative_to(cycle)
    moved = replace(result, model=place / result.model.name, info=place / result.info.name)
    return copy, moved


def choosing(cycle: Path) -> ChoosingRows:
    """All rows of the cycle that have a term choose; five of the others are general English."""
    checked = prepare.check(open_cycle(cycle), BASE, Recipe()).rows
    with_term = tuple(row for row in checked if row.utterance.term)
    return ChoosingRows(
        tuple(row for row in with_term if row.utterance.entity_category == "drug"),
        checked[-5:],
        ("drug",),
        GuardrailPolicy(),
        (cycle,),
    )


def exponent(name: str) -> float:
    """Of a weight of a transducer with nine layers, as docs/verdict.md tells it."""
    if "norm" in name:
        return 3.0
    if not name.startswith("encoder."):
        return 1.0
    found = re.match(r"encoder\.layers\.(\d+)\.", name)
    depth = (int(found[1]) + 1) / 10 if found else 0.0
    return 2.5 + depth * (0.5 - 2.5)


def test_a_given_value_is_mixed_weight_by_weight(tuned: tuple[Path, SftResult]) -> None:
    """In 32 bits; the tuned model stays beside it, and the training is found as finished."""
    cycle, result = tuned
    request = ChoiceRequest(BASE, result, choosing(cycle), 0.25)
    shipped = choose.ship(request, RUNTIME)
    assert (shipped.value, shipped.mixed, shipped.reused) == (0.25, True, False)
    assert shipped.tuned is not None
    base, after, mixed = (
        nemo_models.weights(path) for path in (BASE, shipped.tuned, shipped.model)
    )
    assert base.keys() == after.keys() == mixed.keys()
    floating = [name for name, tensor in after.items() if tensor.is_floating_point()]
    changed = [name for name in floating if not torch.equal(base[name], after[name])]
    assert changed
    assert any("running_mean" in name for name in changed)
    for name in floating:
        wanted = base[name] + 0.25 ** exponent(name) * (after[name] - base[name])
        if name.startswith("preprocessor."):
            wanted = after[name]
        assert torch.equal(mixed[name], wanted), name
    for name in after.keys() - set(floating):
        assert torch.equal(mixed[name], after[name]), name
    info = training_run.read_info(result.info)
    assert info["model_sha256"] == hashing.sha256_file(shipped.model) == shipped.sha256
    assert info["shipping"]["tuned_sha256"] == result.model_sha256
    assert info["shipping"]["base_sha256"] == hashing.sha256_file(BASE)
    assert shipped.tuned == shipped.model.with_name("tuned_model.nemo")
    assert hashing.sha256_file(shipped.tuned) == result.model_sha256
    assert not [path for path in shipped.model.parent.iterdir() if path.name.startswith(".")]
    # Again: nothing is made. Off: the tuned model is what is shipped, under the same name.
    found = replace(result, model=shipped.tuned)
    again = choose.ship(replace(request, tuned=found), RUNTIME)
    assert (again.reused, again.sha256) == (True, shipped.sha256)
    off = choose.ship(replace(request, tuned=found, interpolate="off"), RUNTIME)
    assert (off.value, off.mixed, off.sha256) == (1.0, False, result.model_sha256)
    assert not shipped.tuned.exists()
    # The same mixture is the same file.
    found = replace(result, model=off.model)
    assert choose.ship(replace(request, tuned=found), RUNTIME).sha256 == shipped.sha256


def test_a_tuned_model_that_was_not_kept_is_not_mixed_again(tuned: tuple[Path, SftResult]) -> None:
    """The same choice is found; another one needs the tuned model, and says so."""
    cycle, result = tuned
    request = ChoiceRequest(BASE, result, choosing(cycle), 0.5)
    shipped = choose.ship(request, RUNTIME)
    discard_tuned(shipped)
    gone = replace(request, tuned=replace(result, model=result.info.with_name("tuned_model.nemo")))
    assert choose.ship(gone, RUNTIME).reused
    with pytest.raises(InputError, match=r"was not kept\. Fix: rename the folder"):
        choose.ship(replace(gone, interpolate=0.75), RUNTIME)


def test_rows_choose_and_every_figure_is_told(tuned: tuple[Path, SftResult]) -> None:
    """The ends of the grid write what base and tuned model write; the choice is one of the grid."""
    cycle, result = tuned
    rule = replace(RULE, coarse=(0.5, 1.0), refinements=1, fewest_rows=1)
    rows = choosing(cycle)
    shipped = choose.ship(
        ChoiceRequest(BASE, result, rows, "auto", replace(rule, fewest_rows=100)), RUNTIME
    )
    # Too few rows: the stated value, and nothing is decoded.
    assert (shipped.choice["chosen"], shipped.choice["candidates"]) == (False, [])
    assert shipped.value == RULE.stated
    found = replace(result, model=shipped.tuned or result.model)
    lines: list[str] = []
    shipped = choose.ship(ChoiceRequest(BASE, found, rows, "auto", rule), RUNTIME, lines.append)
    values = [candidate["value"] for candidate in shipped.choice["candidates"]]
    assert values[0] == 0
    assert {0.5, 1.0} < set(values)
    assert len(values) >= 4
    assert shipped.value in values
    assert all(c["rows"] == len(rows.selection) for c in shipped.choice["candidates"])
    assert all(c["general_sentences"] == 5 for c in shipped.choice["candidates"])
    assert len(lines) == len(values)


def test_any_candidates_texts_can_be_made_again(tuned: tuple[Path, SftResult]) -> None:
    """Base, tuned model and mixture write the same by the decoder that judges; silence is heard."""
    cycle, result = tuned
    checked = prepare.check(open_cycle(cycle), BASE, Recipe()).rows
    audio = audio_set(checked, (cycle,))
    cache = evaluate.open_hypothesis_cache(open_cycle(cycle), RUNTIME)
    alone = offline.transcribe((BASE, result.model), audio, RUNTIME, cache)
    texts: dict[float, mixtures.Texts] = {}

    def answer(so_far: Mapping[float, mixtures.Texts]) -> MixturesWanted:
        texts.update(so_far)
        return MixturesWanted(ship=0.5) if so_far else MixturesWanted(values=(0.0, 0.5, 1.0))

    out = cycle / "mixture.nemo"
    sets = [ChoosingAudio("as it is", audio), ChoosingAudio("later", audio, 8000)]
    mixtures.decode_mixtures(BASE, result.model, sets, out, RUNTIME, answer)
    assert texts[0.0]["as it is"] == alone[0].hypotheses
    assert texts[1.0]["as it is"] == alone[1].hypotheses
    assert texts[0.0]["as it is"] != texts[0.0]["later"]
    again = cycle / "again.nemo"
    mixtures.write_mixture(BASE, result.model, 0.5, again, RUNTIME)
    (alone_again,) = offline.transcribe((again,), audio, RUNTIME, cache)
    assert texts[0.5]["as it is"] == alone_again.hypotheses
    assert hashing.sha256_file(again) == hashing.sha256_file(out)


def test_a_given_value_is_mixed_without_nemo(
    tuned: tuple[Path, SftResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes as from the job that decodes, also where NeMo cannot be imported."""
    cycle, result = tuned
    decoded, mixed = cycle / "decoded.nemo", cycle / "mixed.nemo"
    mixtures.decode_mixtures(
        BASE, result.model, (), decoded, RUNTIME, lambda _: MixturesWanted(ship=0.3)
    )
    (tmp_path / "nemo.py").write_text("raise SystemExit('NeMo was imported')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    mixtures.write_mixture(BASE, result.model, 0.3, mixed, RUNTIME)
    assert hashing.sha256_file(mixed) == hashing.sha256_file(decoded)
    assert {path.name for path in cycle.glob(".*mixed*")} == set()
    # What one configuration leaves open, only NeMo can tell to be equal.
    with pytest.raises(TranscriptionError, match="NeMo was imported"):
        mixtures.write_mixture(_without_vocabulary(tmp_path), result.model, 0.3, mixed, RUNTIME)
    monkeypatch.undo()
    mixed.unlink()
    mixtures.write_mixture(_without_vocabulary(tmp_path), result.model, 0.3, mixed, RUNTIME)
    assert hashing.sha256_file(mixed) == hashing.sha256_file(decoded)


def _without_vocabulary(folder: Path) -> Path:
    """Write the base without what its configuration repeats of the tokenizer."""
    path = folder / "terse.nemo"
    with tarfile.open(BASE) as source, tarfile.open(path, "w") as made:
        for member in source:
            stream = source.extractfile(member)
            if stream is None:
                continue
            content = stream.read()
            if member.name.endswith("model_config.yaml"):
                config = yaml.safe_load(content)
                del config["joint"]["vocabulary"]
                content = yaml.safe_dump(config).encode()
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def test_models_of_two_kinds_are_not_mixed(tuned: tuple[Path, SftResult]) -> None:
    """A CTC and an RNN-T have no weights in common; the message says what differs."""
    cycle, result = tuned
    request = ChoiceRequest(embedded_path(), result, choosing(cycle), 0.5)
    with pytest.raises(TranscriptionError, match="models that differ cannot be mixed"):
        choose.ship(request, RUNTIME)
    assert hashing.sha256_file(result.model) == result.model_sha256
    assert "shipping" not in training_run.read_info(result.info)
