"""Options that have no effect beside others: refused where they matter, else told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.parameters_without_effect import SPLIT_RULES
from tasks.common.errors import InputError
from tasks.data.importers import formats
from tasks.data.importers.source_rows import ReadOptions
from tasks.evaluation.hypotheses import write_hypotheses
from tests.support import factories

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run cycle1 --replay-share 0.3 --general none", "--replay-share 0.3 has no effect: with "),
        ("rent cycle1 --host me@there", "--host: has no effect without --provider ssh. Fix: add "),
        ("rent cycle1 --reap", "CYCLE: has no effect with --reap. Fix: leave one of the two out."),
        ("rent --reap --no-gpu-required", "--no-gpu-required: has no effect with --reap."),
        ("rent --forget 0123abcd --reap", "--reap: has no effect with --forget."),
        (
            "rent cycle1 --provider ssh --host me@there --host-block ssh-gpu-host/mine",
            "--host me@there has no effect: the settings of --host-block count instead. Fix: ",
        ),
        ("handoff --verify there --out here", "--out: has no effect with --verify."),
        ("handoff --model embedded --format onnx", "--format: has no effect with --model."),
        (
            "handoff cycle1 --base --format onnx --even-if-not-kept",
            "--even-if-not-kept: has no effect with --base.",
        ),
        ("purge cycle1 --expired --json --no-stores", "--no-stores, --json: have no effect with "),
        ("purge cycle1 --recording a --keep x", "--keep: has no effect with --recording."),
        ("purge cycle1 --forget-key --apply", "--apply: has no effect with --forget-key."),
        ("purge cycle1 --accept m.nemo --store s", "--store: has no effect with --accept."),
        (
            "purge cycle1 --voice v --no-server --delete-artifacts",
            "--delete-artifacts: has no effect with --no-server.",
        ),
        ("purge cycle1 --voice v --no-stores --store s", "--store: has no effect with --no-stores"),
        ("bundle make --out o --image-format squashfs", "--image-format: has no effect without "),
        ("bundle check here there", "here: is an installation, and there would not be read."),
        ("import a cycle1 --no-check --speech", "--speech: has no effect with --no-check."),
        ("validate-serving cycle1 --boost-score 20", "--boost-score 20 has no effect: they are "),
        (
            "validate-serving cycle1 --bundle b --endpoint here:1",
            "--endpoint here:1 has no effect: with --bundle this machine decodes",
        ),
    ],
)
def test_what_matters_is_refused_at_once(
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    line: str,
    said: str,
) -> None:
    """Exit 2 with the fix, before a folder is looked at."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code, _, errors = run(*line.split())
    assert code == 2
    assert f"error: {said}" in errors
    assert "Fix: " in errors


def test_a_sites_own_rule_of_what_is_kept_is_no_option(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the environment of every purge."""
    monkeypatch.setenv("ASR_FLYWHEEL_KEEP", "3 cycles")
    assert "--keep" not in run("purge", "cycle1", "--recording", "a")[2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "transcribe {} --model embedded --image x:1",
            "--image x:1 has no effect: the run starts ",
        ),
        (
            "transcribe {} --model embedded --partition gpu",
            "--partition gpu has no effect: the run submits no job to a cluster. Fix: add ",
        ),
        ("sheet {} out --image x:1", "--image x:1 has no effect"),
        ("boost {} --account ward --general none", "--account ward has no effect"),
        ("score {}/none.jsonl --json --worst 3", "--worst 3 has no effect with --json. Fix: "),
    ],
)
def test_what_changes_nothing_is_told(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, line: str, said: str
) -> None:
    """Before the command looks for its files, of which there are none here."""
    missing = tmp_path / "cycle1"
    _, out, errors = run(*line.format(missing).split())
    assert f"warning: {said}" in errors
    assert "warning" not in out


def test_a_split_prints_json_and_nothing_else(
    run: Callable[..., tuple[int, str, str]], cycle: Path, lower_nemo: Path
) -> None:
    """What has no effect is told beside it; the split is the two-part one."""
    line = ("split", cycle, "--base", lower_nemo, "--two-part", "--json")
    plain = json.loads(run(*line)[1])
    code, out, errors = run(*line, "--selection-share", "0.3")
    assert (code, json.loads(out)) == (0, plain)
    assert "warning: --selection-share 0.3 has no effect: --two-part sets no rows apart" in errors


def test_a_limit_without_general_english_is_told(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """`diff` has nothing to hold against it."""
    rows = tmp_path / "h.jsonl"
    write_hypotheses(rows, factories.evaluated(3, 30))
    line = ("diff", rows, rows, "--json")
    code, out, errors = run(*line, "--general-limit", "1")
    assert code == 0
    assert "warning: --general-limit 1 has no effect: no general English is compared" in errors
    assert json.loads(out) == json.loads(run(*line)[1])


@pytest.mark.parametrize(
    ("options", "name", "typed"),
    [
        (ReadOptions(tiers=("Doctor",)), "table", "--tier"),
        (ReadOptions(columns={"text": "Said"}), "nemo", "--column"),
        (ReadOptions(part="train"), "textgrid", "--part"),
        (ReadOptions(pause=1.0), "stm", "--pause"),
        (ReadOptions(voice_of_file=True), "eaf", "--voice-id"),
    ],
)
def test_an_option_that_the_format_does_not_read_is_refused(
    options: ReadOptions, name: str, typed: str
) -> None:
    """The rows would be others than those that were asked for."""
    source = Path("corpus")
    found = next(one for one in formats.FORMATS if one.name == name)
    with pytest.raises(
        InputError, match=rf"^{typed}: has no effect, since corpus is read as {name}"
    ):
        formats.refuse_unread(source, found, options)
    formats.refuse_unread(source, found, ReadOptions())


def test_every_option_of_reading_has_a_format() -> None:
    """An option that no format reads would be refused everywhere."""
    read = set().union(*(one.asks for one in formats.FORMATS))
    assert read == {"columns", "part", "tiers", "pause", "voice_of_file"}


def test_where_a_split_lies_its_options_have_no_effect() -> None:
    """`boost` measures on that split: all options of a split are in the rule."""
    (rule,) = SPLIT_RULES
    assert {"validation_fraction", "selection_share", "hold_out_terms", "disjoint", "seed"} == set(
        rule.parameters
    )
