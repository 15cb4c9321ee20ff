"""What a run of a cycle is to MLflow: its key, parameters, figures, tags and files.

All but the host's load is also read from the files that a run leaves, so that a run that was not
tracked, or that a rented host made, can be sent later.
"""

from __future__ import annotations

import calendar
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import atomic_files, hashing, privacy_settings
from tasks.data.cycle_folder import clinic_of
from tasks.records import run_record
from tasks.records.audit_log import user_name
from tasks.records.tracking.headline_figures import headline_figures
from tasks.training.progress import Epoch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tasks.data.cycle_folder import Cycle
    from tasks.records.tracking.outbox import Outbox

FIRST_TRAINING = "train"
# They say where and how a run was started, not what it makes.
_NOT_PARAMETERS = frozenset(
    ("cycle", "track", "when_busy", "no_texts", "audio", "no_audio", "shards", "store_audio")
)
_ABSOLUTE = ("/", "~")
_HYPOTHESES = ("*_hyps.jsonl", "offline_hyps.jsonl")
_SOUND = b"data:audio/"
_ROWS_READ = 1 << 20


def parameters(config: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Return a run's parameters as MLflow has them; of a path only its last name.

    Args:
        config: as run.json has it.
        above: the name of the field that holds it, with a dot.
    """
    found: dict[str, str] = {}
    for name, value in config.items():
        if (not above and name in _NOT_PARAMETERS) or value is None:
            continue
        if isinstance(value, dict):
            found.update(parameters(value, f"{above}{name}."))
        elif isinstance(value, (list, tuple)):
            found[above + name] = ", ".join(_without_folder(one) for one in value)
        else:
            found[above + name] = _without_folder(value)
    return found


def _without_folder(value: object) -> str:
    text = str(value)
    return Path(text).name if text.startswith(_ABSOLUTE) else text


def run_key(cycle: Cycle, config: Mapping[str, Any], manifest_sha256: str, base_sha256: str) -> str:
    """Return the key of a run: the same command on the same content is the same run again."""
    return hashing.fingerprint(
        {
            "clinic": clinic_of(cycle),
            "cycle": cycle.number,
            "parameters": parameters(config),
            "manifest": manifest_sha256,
            "base": base_sha256,
        }
    )[:32]


def add_beginning(
    outbox: Outbox,
    cycle: Cycle,
    config: Mapping[str, Any],
    tags: Mapping[str, object],
    *,
    started: str | None = None,
) -> None:
    """Append what is known of a run when its training begins.

    Args:
        outbox: the run's.
        cycle: cycle N.
        config: as run.json has it.
        tags: what else is known.
        started: when, as run.json has it; None for now.
    """
    if not outbox.lines():
        outbox.add(
            "begin",
            "run",
            experiment=clinic_of(cycle),
            name=f"cycle {cycle.number}: {_without_folder(config['base'])}, {config['recipe']}",
            started=time.time_ns() // 10**6 if started is None else _milliseconds(started),
        )
    outbox.add("status", "run", status="RUNNING")
    for name, value in parameters(config).items():
        outbox.add_parameter(name, value)
    outbox.add_tag("cycle", cycle.number)
    outbox.add_tag("mlflow.user", user_name())
    for name, tag in tags.items():
        outbox.add_tag(name, tag)


def add_epochs(outbox: Outbox, training: str, epochs: Iterable[Epoch]) -> None:
    """Append the figures of epochs; the step is the epoch, from 1."""
    for one in epochs:
        figures = {
            "train_loss": one.train_loss,
            "val_loss": one.val_loss,
            "val_wer": one.val_wer,
            "epoch_seconds": one.seconds,
            "gpu_memory_mib": one.gpu_memory_mib or None,
            "gpu_utilisation": one.gpu_utilisation,
        }
        for name, value in figures.items():
            outbox.add_metric(f"{training}/{name}", value, one.epoch + 1)


def add_dataset(outbox: Outbox, path: Path, context: str, sha256: str, rows: int | None) -> None:
    """Append a data set: its file's name, hash and number of rows."""
    outbox.add(
        "dataset",
        f"{context}:{sha256}",
        name=path.stem,
        source=f"{path.parent.name}/{path.name}",
        sha256=sha256,
        rows=rows,
        context=context,
    )


def add_finished(
    outbox: Outbox,
    cycle: Cycle,
    record: Mapping[str, Any],
    standing: Mapping[str, Any],
) -> None:
    """Append everything that a finished run has left.

    Args:
        outbox: the run's.
        cycle: cycle N, that was tuned.
        record: run.json.
        standing: which kept models are ``champion`` and ``candidate``, by their SHA-256, and when
            that was ``decided``.

    Raises:
        InputError: a file of the run cannot be read.
    """
    following = cycle.next
    decision = run_record.read_decision(following)
    info = training_info(cycle, record)
    attempts = ((decision.get("shipping") or {}).get("attempts")) or []
    remedies = max(0, len(attempts) - 1)
    training = remedy_name(FIRST_TRAINING, remedies) if remedies else FIRST_TRAINING
    epochs = [
        Epoch(**{name: one[name] for name in Epoch.__dataclass_fields__ if name in one})
        for one in info.get("epochs", [])
    ]
    add_epochs(outbox, training, epochs)
    for name, value in {**info.get("recipe", {}), **_hardware(info)}.items():
        if value is not None:
            outbox.add_parameter(f"recipe.{name}", value)
    _add_datasets(outbox, cycle, record, info)
    board = run_record.read_leaderboard(following)
    outbox.add_metrics(headline_figures(record, decision, board, info))
    for name, tag in _tags(cycle, record, decision).items():
        outbox.add_tag(name, tag)
    for path, place, texts in run_files(cycle, record):
        outbox.add_file(path, place, texts=texts)
    _add_model(outbox, cycle, record, decision)
    outbox.add_standing(clinic_of(cycle), standing)
    outbox.add("status", "run", status="FINISHED", ended=_milliseconds(record["finished"]))


def _milliseconds(utc: str) -> int:
    return calendar.timegm(time.strptime(utc, "%Y-%m-%dT%H:%M:%SZ")) * 1000


def remedy_name(first: str, number: int) -> str:
    """Return the name before the figures of a remedy's training.

    Args:
        first: the name of the training before it.
        number: of the remedy, from 1.
    """
    return f"remedy_{number}" if first == FIRST_TRAINING else f"{first}_remedy_{number}"


def training_info(cycle: Cycle, record: Mapping[str, Any]) -> dict[str, Any]:
    """Read training_run_info.json of the shipped model; empty where it is gone."""
    path = run_record.trained_file(cycle.next, Path(record["sft"]["training_run_info"]))
    found = atomic_files.read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _hardware(info: Mapping[str, Any]) -> dict[str, object]:
    runtime = info.get("runtime", {})
    return {
        "gpus": ", ".join(runtime.get("gpus") or []) or "none",
        "precision_used": runtime.get("precision"),
        "nemo": runtime.get("nemo"),
        "torch": runtime.get("torch"),
        "image": runtime.get("image"),
    }


def _add_datasets(
    outbox: Outbox, cycle: Cycle, record: Mapping[str, Any], info: Mapping[str, Any]
) -> None:
    preflight, split, dataset = record["preflight"], record["split"], info.get("dataset", {})
    add_dataset(
        outbox, cycle.manifest, "cycle", preflight["manifest_sha256"], int(preflight["rows"])
    )
    for part, context in (
        ("train", "training"),
        ("selection", "selection"),
        ("validation", "held-out"),
    ):
        if sha256 := dataset.get(f"{part}_sha256"):
            rows = int(dataset.get(f"{part}_rows", split[part]))
            add_dataset(outbox, cycle.path / f"{part}.jsonl", context, sha256, rows)
    general = record["config"].get("general")
    if general and Path(general).is_file():
        sentences = (record["decision"].get("guardrail") or {}).get("n")
        sha256 = hashing.sha256(Path(general))
        add_dataset(outbox, Path(general), "general English", sha256, sentences)


def _tags(cycle: Cycle, record: Mapping[str, Any], decision: Mapping[str, Any]) -> dict[str, Any]:
    reasons = [privacy_settings.for_log(str(reason)) for reason in decision["reasons"]]
    text = f"**{decision['decision'].upper()}**, by {decision['basis']} rows\n\n" + "\n".join(
        f"- {reason}" for reason in reasons
    )
    return {
        "row_set_sha256": record["split"]["content_sha256"],
        "manifest_sha256": record["preflight"]["manifest_sha256"],
        "model_sha256": record["sft"]["model_sha256"],
        "value": record["sft"].get("value"),
        "evaluated_in": cycle.next.path.name,
        "decision": decision["decision"],
        "bare_decision": decision.get("bare_decision"),
        "basis": decision["basis"],
        "route": decision["route"],
        "verdicts": record.get("verdicts"),
        "finished": record.get("finished"),
        "mlflow.note.content": text,
    }


def run_files(cycle: Cycle, record: Mapping[str, Any]) -> Iterator[tuple[Path, str, bool]]:
    """Yield the files of a run that are uploaded: path, place, and whether they hold texts.

    Where texts are hidden, files that hold any are left out; so are pages with sound where that is.
    """
    following = cycle.next
    for name in sorted((*record.get("files", {}), run_record.RECORD_NAME)):
        path = following.path / name
        if not path.is_file():
            continue
        place = path.parent.relative_to(following.path).as_posix()
        texts = path.suffix in {".jsonl", ".json", ".html", ".txt"}
        if texts and privacy_settings.hides_texts():
            continue
        if (
            privacy_settings.hides_audio()
            and path.suffix == ".html"
            and _SOUND in path.read_bytes()
        ):
            continue
        if any(path.match(pattern) for pattern in _HYPOTHESES):
            place = "hypotheses"
        yield path, "" if place == "." else place, texts


def _add_model(
    outbox: Outbox, cycle: Cycle, record: Mapping[str, Any], decision: Mapping[str, Any]
) -> None:
    model = run_record.trained_file(cycle.next, Path(record["sft"]["model"]))
    if decision["decision"] != "keep" or not model.is_file():
        return
    outbox.add_file(
        model,
        f"model-{record['sft']['model_sha256'][:12]}",
        texts=False,
        kind="model",
        model=clinic_of(cycle),
        model_sha256=record["sft"]["model_sha256"],
        cycle=cycle.number,
    )
