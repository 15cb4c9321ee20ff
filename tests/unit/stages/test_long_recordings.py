"""Long recordings of an import are cut into rows; the model is one that hears letters."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks.common.errors import InputError, TranscriptionError
from tasks.data.labelling.formulary import FormularyTerm
from tasks.data.labelling.term_matcher import TermMatcher
from tasks.models.catalog import embedded_path
from tasks.runtimes.base import JobResult
from tasks.stages.long_recordings import CutSettings, LongRowCutter
from tests.support import corpora, factories

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.data.importers.import_summary import ImportSummary
    from tasks.runtimes.base import Job

STRIDE_S = 0.04
BLANK = 26


@dataclass
class LetterRuntime:
    """A runtime whose model hears a letter each 40 ms, as a test says; it counts its jobs."""

    said: list[str]
    fails: bool = False
    jobs: int = 0
    heard: list[str] = field(default_factory=list)

    def path_mapper(self, _: Path, __: Sequence[Path]) -> Callable[[Path], str]:
        """Paths are those of this machine."""
        return str

    def execute(self, job: Job, on_line: Callable[[str], None], _: object) -> JobResult:
        """Write the emissions of each recording, as emit_ctc.py does."""
        self.jobs += 1
        job.log.write_text("no model\n")
        on_line(json.dumps({"event": "model", "how": "", "stride_s": STRIDE_S, "blank": BLANK}))
        for wanted in job.request["recordings"]:
            said = self.said[len(self.heard)]
            log_probs = np.full((len(said), BLANK + 1), -9.0, dtype=np.float16)
            for frame, char in enumerate(said):
                log_probs[frame, BLANK if char == "." else ord(char) - ord("a")] = -0.01
            words = [word.replace(" ", "") for word in wanted["words"]]
            np.savez(
                Path(wanted["out"]),
                log_probs=log_probs,
                labels=np.array([ord(char) - ord("a") for char in "".join(words)], np.int32),
                counts=np.array([len(word) for word in words], np.int32),
            )
            self.heard.append(wanted["audio"])
            on_line(json.dumps({"event": "recording", "out": wanted["out"], "seconds": 0.1}))
            if self.fails:
                return JobResult(1)
        return JobResult(0)


def record(folder: Path, name: str, said: str, text: str) -> None:
    """Write a recording with noise where a letter is said, and its transcript."""
    rng = np.random.default_rng(len(said))
    loud = np.repeat([char != "." for char in said], round(STRIDE_S * corpora.RATE))
    sound = np.where(loud, rng.uniform(-0.4, 0.4, len(loud)), rng.uniform(-1e-4, 1e-4, len(loud)))
    corpora.write(folder / f"{name}.wav", np.rint(sound * 32767).astype(np.int16))
    (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def cut(
    tmp_path: Path, nemo: Path, runtime: LetterRuntime, longest: float = 4.0, **more: Any
) -> ImportSummary:
    """Import the source into cycle1."""
    matcher = TermMatcher([FormularyTerm("heart failure", "condition", "terms.csv:2")])
    cutter = LongRowCutter(CutSettings(nemo, longest, matcher=matcher), runtime)  # type: ignore[arg-type]
    return corpora.run(tmp_path / "source", tmp_path / "cycle1", cutter=cutter, check=False, **more)


SENTENCES = ("she.has.heart....failure", "and.takes.nothing.today", "come.back.on.monday.please")
GAP = "." * 12
TEXTS = [sentence.replace("....", ".").replace(".", " ") for sentence in SENTENCES]


def sheet(cycle: Path) -> list[dict[str, str]]:
    """The rows that were set apart."""
    with (cycle / "import_set_apart.csv").open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_recording_becomes_rows_between_its_pauses(tmp_path: Path, lower_nemo: Path) -> None:
    """Short ones stay whole; each row says its conversation, its score and where it is from."""
    said = GAP.join(("", *SENTENCES, ""))
    record(tmp_path / "source", "long", said, "\n".join(TEXTS))
    record(tmp_path / "source", "short", "hello.there", "hello there")
    before = factories.snapshot(tmp_path / "source")
    runtime = LetterRuntime([said])
    summary = cut(tmp_path, lower_nemo, runtime, longest=1.9)
    assert factories.snapshot(tmp_path / "source") == before
    rows = corpora.rows(tmp_path / "cycle1")
    assert [row["text"] for row in rows] == [*TEXTS, "hello there"]
    assert [row.get("conversation_id") for row in rows] == ["recording 1"] * 3 + [None]
    assert [row.get("alignment_score") for row in rows] == [pytest.approx(0.99, abs=0.01)] * 3 + [
        None
    ]
    at = len(GAP) * STRIDE_S
    for origin, sentence in zip(corpora.provenance(tmp_path / "cycle1"), SENTENCES, strict=False):
        assert at - 0.26 < origin["start"] < at
        at += len(sentence) * STRIDE_S
        assert at < origin["end"] < at + 0.26
        at += len(GAP) * STRIDE_S
    assert (summary.cut, summary.set_apart, summary.rows) == (1, 0, 4)
    assert not (tmp_path / "cycle1" / "import_set_apart.csv").exists()
    cuts = json.loads((tmp_path / "cycle1" / "import_cuts.json").read_text())
    assert cuts["recordings"][0]["rows"] == 3


def test_rows_that_were_not_said_so_are_set_apart(tmp_path: Path, lower_nemo: Path) -> None:
    """A sentence that nobody says, and one that nobody wrote down; the sheet has them."""
    said = GAP.join(("", SENTENCES[0], SENTENCES[1], "nobodywrotethis", SENTENCES[2], ""))
    text = "\n".join([TEXTS[0], TEXTS[1], TEXTS[2], "goodbye"])
    record(tmp_path / "source", "long", said, text)
    summary = cut(tmp_path, lower_nemo, LetterRuntime([said]), longest=2.5)
    kept = [row["text"] for row in corpora.rows(tmp_path / "cycle1")]
    assert kept == TEXTS[:2]
    (apart,) = sheet(tmp_path / "cycle1")
    assert apart["text"] == f"{TEXTS[2]} goodbye"
    assert (tmp_path / "cycle1" / apart["audio_filepath"]).is_file()
    assert apart["checked"] == ""
    cuts = json.loads((tmp_path / "cycle1" / "import_cuts.json").read_text())["recordings"][0]
    assert cuts["words_not_heard"] == 1
    ((start, end),) = cuts["without_transcript"]
    assert end - start == pytest.approx(len("nobodywrotethis") * STRIDE_S, abs=0.6)
    assert summary.set_apart == 1
    assert len(corpora.provenance(tmp_path / "cycle1")) == 3


def test_a_person_who_heard_them_imports_the_sheet(tmp_path: Path, lower_nemo: Path) -> None:
    """It is a labelling sheet: what is marked as right becomes rows of another cycle."""
    said = GAP.join(("", *SENTENCES, ""))
    record(tmp_path / "source", "long", said, "\n".join([*TEXTS, "goodbye"]))
    cut(tmp_path, lower_nemo, LetterRuntime([said]), longest=1.9)
    path = tmp_path / "cycle1" / "import_set_apart.csv"
    (row,) = sheet(tmp_path / "cycle1")
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, row)
        writer.writeheader()
        writer.writerow({**row, "text": TEXTS[2], "checked": "x"})
    corpora.run(path, tmp_path / "cycle2", check=False)
    assert [row["text"] for row in corpora.rows(tmp_path / "cycle2")] == [TEXTS[2]]


def test_a_term_is_never_cut(tmp_path: Path, lower_nemo: Path) -> None:
    """Though its words are far apart, and a row without a cut in it is too long."""
    said = GAP.join(("", "she.has.heart", "failure.and.takes.nothing", ""))
    record(tmp_path / "source", "long", said, "she has heart failure and takes nothing")
    cut(tmp_path, lower_nemo, LetterRuntime([said]), longest=1.7)
    texts = [row["text"] for row in corpora.rows(tmp_path / "cycle1")]
    assert any("heart failure" in text for text in texts)
    assert len(texts) > 1


def test_what_was_heard_is_not_heard_again(tmp_path: Path, lower_nemo: Path) -> None:
    """An import that stopped after the first of two recordings hears the second one alone."""
    said = [GAP.join(("", *order, "")) for order in (SENTENCES, SENTENCES[::-1])]
    record(tmp_path / "source", "a", said[0], "\n".join(TEXTS))
    record(tmp_path / "source", "b", said[1], "\n".join(TEXTS[::-1]))
    with pytest.raises(TranscriptionError):
        cut(tmp_path, lower_nemo, LetterRuntime(said[:1], fails=True), longest=1.9)
    assert not (tmp_path / "cycle1").exists()
    runtime = LetterRuntime(said[1:])
    assert cut(tmp_path, lower_nemo, runtime, longest=1.9).rows == 6
    assert len(runtime.heard) == 1
    assert not (tmp_path / ".cycle1.importing").exists()


def test_a_transcript_of_another_recording_is_refused(tmp_path: Path, lower_nemo: Path) -> None:
    """No word of it is heard; the error names the text, and nothing is in the cycle."""
    record(tmp_path / "source", "long", "." * 100, "these words are not said here")
    with pytest.raises(InputError, match=r"long\.txt: no word of the transcript was heard"):
        cut(tmp_path, lower_nemo, LetterRuntime(["." * 100]), longest=1.9)
    assert not (tmp_path / "cycle1").exists()
    record(tmp_path / "source", "short", "hello.there", "hello there")
    runtime = LetterRuntime(["." * 100])
    summary = cut(tmp_path, lower_nemo, runtime, longest=1.9, leave_out=True)
    assert (summary.rows, summary.left_out, summary.cut) == (1, 1, 0)


def test_a_recording_that_says_no_channel_is_refused(tmp_path: Path, lower_nemo: Path) -> None:
    """As it is where nothing is cut; the model does not run for it."""
    record(tmp_path / "source", "long", "." * 100, "words")
    both = np.stack([corpora.speech(4, seed=1), corpora.speech(4, seed=2)], axis=1)
    corpora.write(tmp_path / "source" / "long.wav", both)
    runtime = LetterRuntime([])
    with pytest.raises(InputError, match=r"2 channels .* they are never mixed"):
        cut(tmp_path, lower_nemo, runtime, longest=1.9)
    assert runtime.jobs == 0


def test_terms_of_a_long_row_go_to_the_rows_that_have_them(
    tmp_path: Path, lower_nemo: Path
) -> None:
    """A list is divided, and a field of the whole recording is in each row."""
    said = GAP.join(("", *SENTENCES, ""))
    record(tmp_path / "source", "long", said, "")
    (tmp_path / "source" / "long.txt").unlink()
    terms = [{"term": "heart failure", "entity_category": "condition"}]
    factories.write_rows(
        tmp_path / "source" / "manifest.jsonl",
        [
            {
                "audio_filepath": "long.wav",
                "text": " ".join(TEXTS),
                "terms": terms,
                "voice_id": "dr a",
                "conversation_id": "visit 7",
            }
        ],
    )
    cut(tmp_path, lower_nemo, LetterRuntime([said]), longest=1.9)
    rows = corpora.rows(tmp_path / "cycle1")
    assert [row.get("terms") for row in rows] == [terms, None, None]
    assert {row["voice_id"] for row in rows} == {"dr a"}
    assert {row["conversation_id"] for row in rows} == {"visit 7"}


def test_a_base_without_ctc_is_refused(tmp_path: Path) -> None:
    """Before anything is converted; the error names a base that aligns."""
    record(tmp_path / "source", "long", "." * 100, "words")
    runtime = LetterRuntime([])
    with pytest.raises(InputError, match="Fix: --cut-base embedded, or another CTC base"):
        cut(tmp_path, embedded_path("embedded-tdt"), runtime, longest=1.9)
    assert runtime.jobs == 0
