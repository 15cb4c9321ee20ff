"""The hand-off folder: a finished run's model with its card, its commands and its hashes.

``handoff.json`` comes last and marks the folder complete. ``verify`` opens it as the next stage
would.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.common.shell_words import in_shell
from tasks.data.cycle_folder import PHRASES_NAME
from tasks.decision.decision_table import Verdict
from tasks.evaluation.result_reading import read_hypotheses
from tasks.models import catalog, purge_marks
from tasks.models.catalog import Base, Status
from tasks.records import kept_runs, run_record
from tasks.serving import model_card, riva_build, single_head, word_boosting
from tasks.serving.handoff import Accepted, Refusal, judge
from tasks.training import run as training_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.data.cycle_folder import Cycle

RECORD_NAME = "handoff.json"
SCRIPT_NAME = "deploy.sh"
BUILD_NAME = riva_build.BUILD_NAME
CARD_NAME = "MODEL_CARD.md"
FOLDER_NAME = "handoff"
_FORMAT = 1
_SLUG = re.compile(r"[^a-z0-9.]+")
_AGAIN = "Fix: copy the folder again, or make it again with `asr-flywheel handoff CYCLE`."


@dataclass(frozen=True, slots=True)
class Tuned:
    """The finished run whose model is handed on.

    Attributes:
        evaluated: the cycle that holds its evaluation and decision.
        model: its adapted_model.nemo.
        sha256: of the model, as the run wrote it down.
        record: its run.json.
        info: its training_run_info.json.
    """

    evaluated: Cycle
    model: Path
    sha256: str
    record: Mapping[str, Any]
    info: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """The decision: keep, grow or discard."""
        return str(self.record["decision"]["decision"])

    @property
    def base_name(self) -> str:
        """The base as the user named it."""
        return str(self.info["base"]["name"])


def find_tuned(cycle: Cycle) -> Tuned:
    """Find the run that tuned a model on this cycle; else the one whose evaluation lies in it.

    Raises:
        InputError: there is no finished run, or its model is gone or was changed.
    """
    for evaluated in (cycle.next, cycle):
        if run_record.is_complete(evaluated):
            return _read_tuned(evaluated)
    raise InputError(
        f"{cycle.path}: no finished run has tuned a model on this cycle. Fix: "
        f"`asr-flywheel run {in_shell(cycle.path)}`; `asr-flywheel handoff --model FILE` only "
        "says how a .nemo is served."
    )


def _read_tuned(evaluated: Cycle) -> Tuned:
    record = run_record.read(evaluated)
    model = run_record.trained_file(evaluated, Path(record["sft"]["model"]))
    sha256 = str(record["sft"]["model_sha256"])
    if not model.is_file():
        raise InputError(
            f"{model}: the run's model is not there. Fix: bring it back with `asr-flywheel fetch`."
        )
    if (actual := hashing.sha256_file(model)) != sha256:
        raise InputError(
            f"{model}: its SHA-256 is {actual}, but the run that was measured made {sha256}. "
            "Fix: bring the measured model back with `asr-flywheel fetch`, or run the cycle again."
        )
    return Tuned(
        evaluated,
        model,
        sha256,
        record,
        training_run.read_info(model.with_name(training_run.INFO_NAME)),
    )


def judge_tuned(
    tuned: Tuned, claimed: str | None, *, even_if_not_kept: bool = False
) -> Accepted | Refusal:
    """Judge a run's model, which must also be worth serving.

    Raises:
        InputError: its file is not readable.
    """
    verdict = judge(tuned.model, claimed)
    if isinstance(verdict, Refusal):
        return verdict
    base = catalog.in_catalogue(tuned.base_name)
    if base is not None and base.status is Status.BROKEN:
        reason = f"its base is {base.name}, and {base.note}."
    elif tuned.verdict != Verdict.KEEP and not even_if_not_kept:
        earlier = [
            kept_runs.beside_verdict(run.as_dict(), tuned.evaluated.clinic)
            for run in kept_runs.preserved_in(tuned.evaluated)
        ]
        reason = (
            f"the decision on this cycle is {tuned.verdict!r}, not 'keep' "
            f"({' '.join(tuned.record['decision']['reasons'])}) To hand it on all the same, with "
            f"that said on its card: --even-if-not-kept.{''.join(f' {line}' for line in earlier)}"
        )
    else:
        return verdict
    return Refusal(reason, verdict.decoder.value, claimed or "", verdict.evidence)


def write(tuned: Tuned, accepted: Accepted, folder: Path) -> Path:
    """Write the hand-off folder; its record, with the hash of every other file, comes last.

    The folder appears whole or not at all, and replaces an earlier hand-off.

    Returns:
        The path of the record.

    Raises:
        InputError: something else stands at the folder's place, or it cannot be written.
    """
    if folder.exists() and not _is_ours(folder):
        raise InputError(
            f"{folder}: is there already, and it is no hand-off. Fix: name another with --out."
        )
    name = _SLUG.sub("-", f"{accepted.decoder.value}-{tuned.model.parent.name}").strip("-")
    lines = riva_build.commands(accepted.target, training_run.MODEL_NAME, name)
    work = folder.with_name(f".{folder.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        if accepted.hybrid:
            single_head.convert(tuned.model, accepted.decoder, work / training_run.MODEL_NAME)
        else:
            _link_or_copy(tuned.model, work / training_run.MODEL_NAME)
        scripts = {
            SCRIPT_NAME: riva_build.script(accepted.target, lines),
            BUILD_NAME: riva_build.build_script(accepted.target, training_run.MODEL_NAME, lines),
        }
        for script, text in scripts.items():
            atomic_files.write_text(work / script, text)
            (work / script).chmod(0o755)
        facts = gather_facts(tuned, accepted)
        atomic_files.write_text(work / CARD_NAME, model_card.render(facts))
        boosting = _write_phrases(tuned, accepted, work)
        lists = () if boosting is None else (PHRASES_NAME, word_boosting.REQUEST_NAME)
        if (mark := purge_marks.read_mark(tuned.model)) is not None:
            # A person accepted the model; the next stage is to know it, too.
            atomic_files.write_json(work / purge_marks.MARK_NAME, mark.as_dict())
        content = (training_run.MODEL_NAME, *scripts, CARD_NAME, *lists)
        atomic_files.write_json(
            work / RECORD_NAME,
            {
                "format": _FORMAT,
                "model": training_run.MODEL_NAME,
                "decoder": accepted.decoder.value,
                "riva_decoder_flag": accepted.target.flag,
                "nim_family": accepted.target.family,
                "base": tuned.base_name,
                "decision": tuned.verdict,
                "commands": dict(lines),
                "warnings": list(accepted.warnings),
                "boosting": boosting,
                "measured_model_sha256": tuned.sha256,
                "documentation": riva_build.DOCUMENTATION,
                "files": {file: hashing.sha256_file(work / file) for file in content},
            },
        )
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)
    except OSError as wrong:
        raise InputError(
            f"{folder}: cannot be written ({wrong}). Fix: choose another place."
        ) from wrong
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder / RECORD_NAME


def _write_phrases(tuned: Tuned, accepted: Accepted, work: Path) -> dict[str, Any] | None:
    """Write the run's phrases as they are and in Riva's form; None for a run that boosted nothing.

    Raises:
        InputError: the list is damaged.
    """
    source = tuned.evaluated.path / PHRASES_NAME
    if "boosting" not in run_record.read_decision(tuned.evaluated) or not source.is_file():
        return None
    flag = accepted.target.flag
    phrases = word_boosting.read_phrases(source, None).phrases
    atomic_files.write_text(work / PHRASES_NAME, "".join(f"{phrase}\n" for phrase in phrases))
    atomic_files.write_json(work / word_boosting.REQUEST_NAME, word_boosting.request(phrases, flag))
    return {
        "phrases": len(phrases),
        "decoder_heeds": word_boosting.support_of(flag).value,
        "note": word_boosting.describe_support(flag),
        "scores_to_try": list(word_boosting.scores_for(flag)),
    }


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and ((folder / RECORD_NAME).is_file() or not any(folder.iterdir()))


def _link_or_copy(model: Path, place: Path) -> None:
    with suppress(OSError):  # another file system, or one without links
        os.link(model, place)
        return
    shutil.copyfile(model, place)


def gather_facts(tuned: Tuned, accepted: Accepted) -> model_card.Facts:
    """Gather what a card says of a run's model."""
    evaluated = tuned.evaluated
    return model_card.Facts(
        record=tuned.record,
        info=tuned.info,
        decision=run_record.read_decision(evaluated),
        headline=run_record.read_leaderboard(evaluated)["sections"]["headline"],
        rows=read_hypotheses(evaluated.offline_hyps),
        base=_describe_base(tuned.base_name),
        decoder=accepted.decoder.value,
        target=accepted.target,
    )


def _describe_base(name: str) -> Base | None:
    """Describe the base; None if a .nemo of the user's own has been moved since."""
    with suppress(InputError):
        return catalog.describe(name)
    return None


def verify(folder: Path) -> list[str]:
    """Open a hand-off as the next stage would.

    Returns:
        What was checked, a line each.

    Raises:
        InputError: a file is missing or was changed, the model does not open, its decoder is not
            the one of the record, or a command names a file that is not there.
    """
    if not (folder / RECORD_NAME).is_file():
        raise InputError(
            f"{folder}: has no {RECORD_NAME}: it is no whole hand-off. Fix: make it again with "
            "`asr-flywheel handoff CYCLE`."
        )
    record = atomic_files.read_json(folder / RECORD_NAME)
    for name, sha256 in record["files"].items():
        _check_file(folder / name, sha256)
    verdict = judge(folder / record["model"], record["decoder"])
    if isinstance(verdict, Refusal):
        raise InputError(f"{folder / record['model']}: {verdict.reason}")
    served_by = verdict.as_dict()
    for name in ("riva_decoder_flag", "nim_family"):
        if served_by[name] != record[name]:
            raise InputError(
                f"{folder}: {name} is {record[name]!r}, not {served_by[name]!r}. {_AGAIN}"
            )
    count = len(record["files"])
    return [
        f"{counted(count, 'file')} {agreed(count, 'has', 'have')} the hashes of the record",
        f"{record['model']} opens; its decoder is {served_by['decoder']}",
        _check_command(folder, record["commands"]["riva_build"], verdict.target.flag),
    ]


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise InputError(f"{path}: is missing. {_AGAIN}")
    if (actual := hashing.sha256_file(path)) != sha256:
        raise InputError(f"{path}: its SHA-256 is {actual}, the record says {sha256}. {_AGAIN}")


def _check_command(folder: Path, line: str, flag: str) -> str:
    names = riva_build.files_read(line)
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"{folder}: riva-build names {name}, which is not there. {_AGAIN}")
    if flag not in line.split():
        raise InputError(f"{folder}: riva-build lacks {flag}. {_AGAIN}")
    if not (folder / BUILD_NAME).is_file():
        raise InputError(f"{folder / BUILD_NAME}: is missing. {_AGAIN}")
    if line not in (folder / BUILD_NAME).read_text(encoding="utf-8"):
        raise InputError(f"{folder / BUILD_NAME}: runs another riva-build. {_AGAIN}")
    return f"riva-build has {flag} and reads {', '.join(names)}"
