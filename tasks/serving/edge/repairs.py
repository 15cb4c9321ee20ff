"""Why an engine writes other texts: by repairing one thing after the other, and decoding again.

Each repair puts what the model was measured with in the place of what the bundle or the engine has:
labels, metadata, settings, frame phase, resampling, precision, graphs, and last NeMo's own
features. A row is attributed to the repair that brings its offline text back. Repairs add up, so
that two faults of one bundle do not hide each other.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import onnx

from tasks.common import atomic_files
from tasks.common.counted import counted
from tasks.serving.causes import Cause, CauseName
from tasks.serving.edge import engine_files, graph_decoder, recognizers, substitutes
from tasks.serving.edge.bundle import BUNDLE_NAME, EdgeEngine, EdgePrecision, graph_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.serving.edge.bundle import EdgeBundle, Framing
    from tasks.serving.edge.nemo_export import NemoExport
    from tasks.serving.edge.recognizers import Samples
    from tasks.serving.parity import ParityRow

NO_REPAIR = "no repair"
"""How a result begins that rests on what was seen, not on a text that came back."""
SUBSTITUTED = "substituted"
"""How a result begins that rests on the engine's text made by NeMo's graphs."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing put right.

    Attributes:
        cause: what a row that it repairs is attributed to.
        says: what was put right, for the report.
        setup: the bundle after it.
    """

    cause: CauseName
    says: str
    setup: EdgeBundle


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What a repair did.

    Attributes:
        cause: what its rows are attributed to.
        says: what was put right.
        tried: rows whose text was still another one.
        repaired: rows that have the offline text since.
    """

    cause: CauseName
    says: str
    tried: tuple[ParityRow, ...]
    repaired: tuple[ParityRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as the report holds it."""
        return {
            "repair": self.says,
            "speaks_for": self.cause.value,
            "rows": len(self.tried),
            "repaired": len(self.repaired),
        }


def repair(
    rows: Sequence[ParityRow],
    recordings: Sequence[Path],
    bundle: EdgeBundle,
    exported: NemoExport,
    work: Path,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[RepairResult, ...]:
    """Repair a bundle step by step, and decode the rows whose text is not the offline one yet.

    Args:
        rows: whose texts differ.
        recordings: of these rows.
        bundle: what served them; its files stay as they are.
        exported: NeMo's export of the model that was measured, with these rows' features.
        work: a folder for repaired copies.
        report: is told of each step.
    """
    left = list(range(len(rows)))
    read = [recognizers.read_samples(path) for path in recordings]
    results = []

    def settle(cause: CauseName, says: str, done: Sequence[int]) -> None:
        results.append(
            RepairResult(cause, says, tuple(rows[n] for n in left), tuple(rows[n] for n in done))
        )
        report(f"{says}: {len(done)} of {counted(len(left), 'row')}")
        left[:] = [n for n in left if n not in done]

    def restored(texts: Mapping[int, str]) -> list[int]:
        return [n for n in left if texts[n] == rows[n].offline.hyp]

    served = _decode(bundle, read, left)
    changed = [n for n in left if served[n] != rows[n].served]
    settle(CauseName.UNSTEADY, "decoded twice without a change", changed)
    for step in _repairs(bundle, exported, work):
        if not left:
            break
        served = _decode(step.setup, read, left)
        settle(step.cause, step.says, restored(served))
    if left:
        decoder = graph_decoder.load(exported, bundle.decoder)
        texts = {n: decoder.decode(exported.features[n]) for n in left}
        by_features = restored(texts)
        for one in substitutes.of_engine(bundle.engine, bundle.decoder):
            features = exported.substituted[one.name] if one.features else exported.features
            decoder = graph_decoder.load(exported, bundle.decoder, one.most_symbols)
            same = [n for n in by_features if decoder.decode(features[n]) == served[n]]
            settle(one.cause, f"{SUBSTITUTED}: {one.says}", same)
            by_features = [n for n in by_features if n in left]
        settle(CauseName.FEATURES, "NeMo's features into the exported graph", by_features)
    if left:
        results.append(
            RepairResult(
                CauseName.PRECISION,
                f"{NO_REPAIR}: with NeMo's features the exported graph still decides otherwise",
                tuple(rows[n] for n in left),
                tuple(rows[n] for n in left),
            )
        )
    return tuple(results)


def _decode(
    bundle: EdgeBundle,
    read: Sequence[tuple[Samples, int]],
    places: Sequence[int],
) -> dict[int, str]:
    recognizer = recognizers.load(bundle)
    return {place: recognizer.recognise(*read[place]) for place in places}


def _repairs(bundle: EdgeBundle, exported: NemoExport, work: Path) -> Iterator[Repair]:
    """Yield the repairs that change something, each on top of those before it."""
    setup = _copy(bundle, work / "repaired")
    for look in (_labels, _metadata, _sample_rate, _settings, _phase):
        for cause, says, repaired in look(setup, exported):
            setup = repaired
            yield Repair(cause, says, setup)
    quantised = setup.precision is not EdgePrecision.FP32
    names = engine_files.write(
        setup.engine, exported, setup.decoder, EdgePrecision.FP32, setup.folder
    )
    setup = replace(setup, precision=EdgePrecision.FP32, files=dict.fromkeys(names, ""))
    if quantised:
        yield Repair(CauseName.QUANTISATION, "graphs in fp32", setup)
    else:
        says = "graphs exported anew of the model that was measured"
        yield Repair(CauseName.OTHER_MODEL, says, setup)


def _copy(bundle: EdgeBundle, folder: Path) -> EdgeBundle:
    folder.mkdir(parents=True)
    for name in (*bundle.files, BUNDLE_NAME):
        shutil.copyfile(bundle.folder / name, folder / name)
    return replace(bundle, folder=folder)


def _labels(setup: EdgeBundle, exported: NemoExport) -> Iterator[tuple[CauseName, str, EdgeBundle]]:
    listed = "tokens.txt" if setup.engine is EdgeEngine.SHERPA_ONNX else "vocab.txt"
    path = setup.folder / listed
    right = engine_files.label_list(exported.labels)
    has, wants = path.read_text(encoding="utf-8").splitlines(), right.splitlines()
    if has == wants:
        return
    atomic_files.write_text(path, right)
    place = next(
        (n for n, (a, b) in enumerate(zip(has, wants, strict=False)) if a != b),
        min(len(has), len(wants)),
    )
    line = repr(has[place]) if place < len(has) else "missing"
    says = f"{listed} as the model has it (line {place + 1} was {line})"
    yield CauseName.LABELS, says, setup


def _metadata(
    setup: EdgeBundle, exported: NemoExport
) -> Iterator[tuple[CauseName, str, EdgeBundle]]:
    if setup.engine is EdgeEngine.ONNX_ASR:
        path = setup.folder / "config.json"
        right: dict[str, Any] = engine_files.onnx_asr_config(exported, setup.decoder)
        has = json.loads(path.read_text(encoding="utf-8"))
        if wrong := _differences(has, right, tuple(right)):
            atomic_files.write_json(path, {**has, **right})
            yield CauseName.METADATA, f"config.json as the model wants it ({wrong})", setup
        return
    path = setup.folder / graph_names(setup.engine, setup.decoder, setup.precision)[0]
    right = engine_files.sherpa_metadata(exported, setup.decoder)
    graph = onnx.load(path, load_external_data=False)
    entries = engine_files.read_metadata(graph)
    for cause, keys in (
        (CauseName.NORMALISATION, ("normalize_type",)),
        (CauseName.METADATA, tuple(key for key in right if key != "normalize_type")),
    ):
        if wrong := _differences(entries, right, keys):
            entries = {**entries, **{key: right[key] for key in keys if key in right}}
            engine_files.set_metadata(graph, entries)
            path.write_bytes(graph.SerializeToString())
            yield cause, f"metadata as the model wants it ({wrong})", setup


def _differences(has: Mapping[str, Any], right: Mapping[str, Any], keys: Sequence[str]) -> str:
    wrong = [key for key in keys if key in right and has.get(key) != right[key]]
    return ", ".join(f"{key} was {has.get(key)!r}, not {right[key]!r}" for key in wrong)


def _sample_rate(
    setup: EdgeBundle, exported: NemoExport
) -> Iterator[tuple[CauseName, str, EdgeBundle]]:
    """Put right what the engine brings each recording to."""
    right = int(exported.settings["sample_rate"])
    if (has := setup.sample_rate) != right:
        says = f"the engine listens at {right} Hz instead of {has} Hz"
        yield CauseName.SAMPLE_RATE, says, replace(setup, sample_rate=right)


def _settings(
    setup: EdgeBundle,
    exported: NemoExport,  # noqa: ARG001 - one form for all
) -> Iterator[tuple[CauseName, str, EdgeBundle]]:
    """Put the options of sherpa-onnx's features right."""
    if setup.engine is not EdgeEngine.SHERPA_ONNX:
        return
    record = dict(setup.record)
    for name, right, cause in (
        ("dither", 0.0, CauseName.DITHER),
        ("high_freq", recognizers.SHERPA_HIGH_FREQ, CauseName.MEL_BANDS),
    ):
        if (has := record.get(name, right)) != right:
            record[name] = right
            setup = replace(setup, record=dict(record))
            yield cause, f"{name} {right:g} instead of {has:g}", setup


def _phase(
    setup: EdgeBundle,
    exported: NemoExport,  # noqa: ARG001 - one form for all
) -> Iterator[tuple[CauseName, str, EdgeBundle]]:
    right, has = engine_files.framing(setup.engine), setup.framing
    if has == right:
        return
    late = _first_middle(has) - _first_middle(right)
    frames = "only whole frames" if right.snipped else "mirrored ends"
    was = f"the first frame was {abs(late) / setup.sample_rate * 1000:g} ms off"
    says = (
        f"{counted(right.lead, 'sample')} of silence before each recording and {right.trail} "
        f"after it, with {frames} "
        f"({was if late else 'the first frame was right, the ends were not'})"
    )
    cause = CauseName.FRAME_PHASE if late else CauseName.END_FRAMES
    yield cause, says, replace(setup, framing=right)


def _first_middle(framing: Framing) -> int:
    """Return where in the recording sherpa-onnx's first frame has its middle, in samples."""
    half_window, half_hop = 200, 80
    return (half_window if framing.snipped else half_hop) - framing.lead


def attribute(results: Sequence[RepairResult], compared: int) -> tuple[Cause, ...]:
    """Turn what the repairs did into causes, the largest first.

    Args:
        results: of the repairs.
        compared: rows of the comparison.
    """
    causes: dict[CauseName, list[RepairResult]] = {}
    for result in results:
        if result.repaired:
            causes.setdefault(result.cause, []).append(result)
    found = [
        Cause(
            name,
            sum(len(one.repaired) for one in of_cause),
            tuple(_evidence(one, compared) for one in of_cause),
        )
        for name, of_cause in causes.items()
    ]
    return tuple(sorted(found, key=lambda cause: -cause.rows))


def _evidence(result: RepairResult, compared: int) -> str:
    rows = f"{len(result.repaired)} of {counted(len(result.tried), 'row')} whose text differed"
    if result.cause is CauseName.UNSTEADY:
        return f"{result.says}: {rows} got another text"
    if result.says.startswith(SUBSTITUTED):
        return (
            f"{result.says}: the exported graph writes the engine's text of {rows} with it, and "
            "the offline text without it"
        )
    if result.says.startswith(NO_REPAIR):
        return f"{result.says}: {len(result.repaired)} of {counted(compared, 'row')}"
    return f"{result.says}: {rows} have the offline text with it"
