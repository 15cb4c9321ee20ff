"""What is decoded and what is taken from before, without a model: the runtime is planned."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common import hashing
from tasks.common.errors import TranscriptionError
from tasks.runtimes.base import Job, JobResult, Script
from tasks.runtimes.hardware import Hardware
from tasks.transcription.audio_sets import AudioSet
from tasks.transcription.hypothesis_cache import TranscriptStore
from tasks.transcription.offline import missing, transcribe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


def said(path: str, shift: int) -> str:
    """What a file's name says, and the shift."""
    return f"said {path[-5]}+{shift}" if shift else f"said {path[-5]}"


@dataclass
class Planned:
    """A runtime that decodes a file to its own name, and counts."""

    identity: str = "planned"
    script: Script = field(default_factory=lambda: Script("", ""))
    hardware: Hardware = field(default_factory=lambda: Hardware((), 1))
    decoded: list[list[str]] = field(default_factory=list)
    shifts: list[list[list[int]] | None] = field(default_factory=list)
    worked_in: list[Path] = field(default_factory=list)
    apart: list[bool] = field(default_factory=list)
    fails_after: int | None = None

    def check(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Nothing to refuse."""

    def path_mapper(self, work: Path, reads: Sequence[Path]) -> Callable[[Path], str]:
        """Everything is where it is."""
        return str

    def execute(
        self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
    ) -> JobResult:
        """Write what the program would write, or die on the way."""
        job.write_request()
        job.log.touch()
        self.worked_in.append(job.work)
        request = json.loads(json.dumps(job.request))
        for wanted in [one_set for one in request["jobs"] for one_set in one["sets"]]:
            if self.fails_after is not None and len(self.decoded) == self.fails_after:
                return JobResult(1)
            self.decoded.append([path.rsplit("/", 1)[-1] for path in wanted["audio"]])
            self.apart.append(wanted.get("apart", False))
            self.shifts.append(wanted.get("shifts"))
            shifts = wanted.get("shifts", [[0]] * len(wanted["audio"]))
            with open(wanted["out"], "w", encoding="utf-8") as out:  # noqa: PTH123 - a string
                out.writelines(
                    json.dumps(
                        {"audio": path, "hyp": f"said {path[-5]}" + f"+{shift}" * (shift > 0)}
                    )
                    + "\n"
                    for path, several in zip(wanted["audio"], shifts, strict=True)
                    for shift in several
                )
            on_line(json.dumps({"event": "set", "seconds": 2.0}))
        return JobResult(0)


def audio(folder: Path, recordings: str) -> AudioSet:
    """Files 0.wav, 1.wav, … of 3 s, with these hashes."""
    count = range(len(recordings))
    paths = tuple(folder / f"{n}.wav" for n in count)
    return AudioSet(paths, (3.0,) * len(paths), tuple(recordings), (folder,))


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """Two files with different contents."""
    found = tmp_path / "a.nemo", tmp_path / "b.nemo"
    for path in found:
        path.write_bytes(path.name.encode())
    return found


def test_nothing_is_decoded_twice(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """The second time no job is started; the hypotheses and their order are the same."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "kept", "decoder")
    first = transcribe(models, audio(tmp_path, "xyz"), runtime, kept)
    assert [one.decoded for one in first] == [3, 3]
    assert first[0].hypotheses == ("said 0", "said 1", "said 2")
    assert first[0].rtfx == 4.5
    again = transcribe(models, audio(tmp_path, "xyz"), runtime, kept)
    assert len(runtime.decoded) == 2
    assert [one.hypotheses for one in again] == [one.hypotheses for one in first]
    assert [(one.decoded, one.rtfx) for one in again] == [(0, 0.0), (0, 0.0)]


def test_a_model_that_is_gone_keeps_its_hypotheses(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    """They are found by its hash; a recording that it has not decoded is missing."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "kept", "decoder")
    first = transcribe(models, audio(tmp_path, "xyz"), runtime, kept)
    sha256 = hashing.sha256_file(models[0])
    models[0].unlink()
    kept = replace(kept, gone={models[0]: sha256})
    again = transcribe(models, audio(tmp_path, "xyz"), runtime, kept)
    assert [one.hypotheses for one in again] == [one.hypotheses for one in first]
    (piece,) = missing(models[:1], audio(tmp_path, "xyzu"), kept)
    assert piece[1].recordings == ("u",)


def test_only_new_recordings_and_new_models_are_decoded(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    """By content: a changed file is decoded again, a renamed one is not."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "kept", "decoder")
    transcribe(models[:1], audio(tmp_path, "xyz"), runtime, kept)
    both = transcribe(models, audio(tmp_path, "xwz"), runtime, kept)
    assert [sorted(names) for names in runtime.decoded[1:]] == [
        ["1.wav"],
        ["0.wav", "1.wav", "2.wav"],
    ]
    assert [one.decoded for one in both] == [1, 3]
    models[0].write_bytes(b"changed")
    transcribe(models[:1], audio(tmp_path, "xyz"), runtime, kept)
    assert runtime.decoded[-1] == ["0.wav", "1.wav", "2.wav"]


def test_the_same_recording_twice_is_decoded_once(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    """Both rows get its hypothesis."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "kept", "decoder")
    (found,) = transcribe(models[:1], audio(tmp_path, "xyx"), runtime, kept)
    assert runtime.decoded == [["0.wav", "1.wav"]]
    assert found.hypotheses == ("said 0", "said 1", "said 0")
    assert found.decoded == 2


def test_a_row_is_decoded_under_its_shifts_and_what_is_there_is_not_decoded_again(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    """Plain hypotheses are those of a set without shifts; more shifts decode only themselves."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "kept", "decoder")
    plain = transcribe(models, audio(tmp_path, "xyz"), runtime, kept)
    assert runtime.shifts == [None, None]
    varied = replace(audio(tmp_path, "xyz"), shifts=((0,), (0, 40), (0,)))
    both = transcribe(models, varied, runtime, kept, plainly=models[1:])
    assert (runtime.decoded[2:], runtime.shifts[2:]) == ([["1.wav"]], [[[40]]])
    assert [one.hypotheses for one in both] == [one.hypotheses for one in plain]
    assert both[0].variants == (("said 0",), ("said 1", "said 1+40"), ("said 2",))
    assert both[0].part(1).variants == both[0].variants[1:]
    assert both[1].variants == ()
    more = replace(varied, shifts=((0,), (0, 40, 60), (0,)))
    transcribe(models[:1], more, runtime, kept)
    assert runtime.shifts[3:] == [[[60]]]


def test_a_recording_that_stands_twice_is_decoded_under_the_shifts_of_both(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    """Each row gets those of its own shifts."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "kept", "decoder")
    twice = replace(audio(tmp_path, "xx"), shifts=((0,), (0, 20)))
    (found,) = transcribe(models[:1], twice, runtime, kept)
    assert runtime.shifts == [[[0, 20]]]
    assert found.variants == (("said 0",), ("said 0", "said 0+20"))
    assert found.rtfx == 3.0


@pytest.mark.parametrize("broken", ["{", '{"hyp": "x"}\n', "[]\n"])
def test_a_broken_store_costs_time_and_nothing_else(
    broken: str, tmp_path: Path, models: tuple[Path, Path]
) -> None:
    """What cannot be read is decoded again, and written anew."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "kept", "decoder")
    transcribe(models[:1], audio(tmp_path, "xyz"), runtime, kept)
    (file,) = (tmp_path / "kept").rglob("*.jsonl")
    file.write_text(broken)
    (found,) = transcribe(models[:1], audio(tmp_path, "xyz"), runtime, kept)
    assert found.decoded == 3
    (once_more,) = transcribe(models[:1], audio(tmp_path, "xyz"), runtime, kept)
    assert once_more.decoded == 0


def test_a_killed_job_loses_one_piece(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """What was decoded before its end is kept; the next run decodes the rest."""
    kept = TranscriptStore(tmp_path / "kept", "decoder")
    many = audio(tmp_path, "".join(chr(0x4E00 + number) for number in range(100)))
    dying = Planned(fails_after=3)
    with pytest.raises(TranscriptionError, match="exit code 1"):
        transcribe(models[:1], many, dying, kept)
    first = sum(map(len, dying.decoded))
    assert 0 < first < 100
    (found,) = transcribe(models[:1], many, Planned(), kept)
    assert found.decoded == 100 - first
    assert found.hypotheses == tuple(f"said {path.name[-5]}" for path in many.audio)


def test_another_decoder_decodes_for_itself(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """A changed program or image may decode differently."""
    runtime: Any = Planned()
    for decoder in ("one", "two"):
        transcribe(
            models[:1], audio(tmp_path, "xyz"), runtime, TranscriptStore(tmp_path / "kept", decoder)
        )
    assert len(runtime.decoded) == 2


def test_what_the_host_lacks_is_told_with_its_remedy(tmp_path: Path) -> None:
    """A container that was killed for its memory is not just an exit code."""

    class Killed(Planned):
        def execute(
            self, job: Job, on_line: Callable[[str], None], poll: Callable[[], None]
        ) -> JobResult:
            job.log.write_text("loading\n")
            return JobResult(137, oom_killed=True)

    model = tmp_path / "model.nemo"
    model.write_bytes(b"weights")
    with pytest.raises(TranscriptionError, match=r"host-memory: .*memory limit(.|\n)*loading"):
        transcribe(
            (model,),
            audio(tmp_path, "a"),
            Killed(),
            TranscriptStore(tmp_path / "kept", "by"),
            print,
        )


def test_decoding_works_beside_the_cycle_and_leaves_nothing(tmp_path: Path) -> None:
    """Not in this process's /tmp: an engine outside a worker's container does not know that one."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "cycle1" / ".transcripts", "d")
    model = tmp_path / "m.nemo"
    model.write_bytes(b"model")
    transcribe((model,), audio(tmp_path, "ab"), runtime, kept)
    (work,) = runtime.worked_in
    assert work.is_relative_to(tmp_path / "cycle1")
    assert not work.exists()
    assert not list(kept.folder.glob(".work-*"))


def test_nobody_is_waited_for_where_nothing_is_to_be_decoded(tmp_path: Path) -> None:
    """A GPU is asked for by the first run, and not by one that finds all texts."""
    entered: list[str] = []

    @contextmanager
    def slot(name: str) -> Iterator[None]:
        entered.append(name)
        yield

    kept, model = TranscriptStore(tmp_path / "kept", "d"), tmp_path / "m.nemo"
    model.write_bytes(b"model")
    for name in ("first", "again"):
        transcribe((model,), audio(tmp_path, "ab"), Planned(), kept, holding=slot(name))
    assert entered == ["first"]


def test_a_set_apart_is_decoded_in_the_same_job_by_the_models_that_are_named(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    """Its pieces are cut alone and marked; the models' own sets and speeds are as without it."""
    runtime, kept = Planned(), TranscriptStore(tmp_path / "kept", "decoder")
    long_audio = AudioSet((tmp_path / "long1.wav",), (120.0,), ("long",), (tmp_path,), apart=True)
    both = transcribe(models, audio(tmp_path, "xyz"), runtime, kept, also=[(models[0], long_audio)])
    assert len(runtime.worked_in) == 1
    assert runtime.decoded == [
        ["0.wav", "1.wav", "2.wav"],
        ["long1.wav"],
        ["0.wav", "1.wav", "2.wav"],
    ]
    assert runtime.apart == [False, True, False]
    assert [(one.decoded, one.audio_seconds, len(one.hypotheses)) for one in both] == [
        (3, 9.0, 3),
        (3, 9.0, 3),
    ]
    assert kept.read(models[0])["long"] == "said 1"
    assert "long" not in kept.read(models[1])
