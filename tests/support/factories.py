"""Small real things that tests are made of: recordings, manifests, models, evaluation rows."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import sentencepiece
import soundfile
import yaml

from tasks.data.manifest import Utterance
from tasks.decision.guardrail import Guardrail
from tasks.evaluation.error_counts import Proportion
from tasks.evaluation.hypotheses import Hypothesis, Partition
from tasks.evaluation.keyword_change import KeywordErrorChange
from tasks.evaluation.scoring import Scores, score
from tasks.evaluation.statistics import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

RATE = 16000
RESULT_FIELDS = (
    *("audio_filepath", "ref", "hyp", "term", "entity_category", "ipa_source", "voice_id"),
    *("noise_level", "context_type"),
)
"""The fields of a row of an evaluation (contracts)."""
DRUGS = ("aspirin", "metformin", "lisinopril", "warfarin", "insulin")
PROCEDURES = ("appendectomy", "colonoscopy", "intubation", "biopsy", "dialysis")
LOWER_SENTENCES = (
    "the patient takes aspirin twice a day and sleeps well",
    "quick brown foxes jump over the lazy dog",
    "we planned a colonoscopy for the next morning",
    "she was given warfarin because her pulse was irregular",
)
CASED_SENTENCES = (
    "The patient takes Aspirin twice a day, and sleeps well.",
    "Quick brown foxes jump over the lazy dog. Are they quick?",
    "A colonoscopy was planned, but not done.",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG.",
)


def write_wav(
    path: Path, seconds: float = 0.3, *, seed: int = 0, rate: int = RATE, channels: int = 1
) -> Path:
    """A recording of noise, loud and quiet as speech is; another seed is another recording."""
    samples = np.random.default_rng(seed).uniform(-0.4, 0.4, (round(seconds * rate), channels))
    samples *= np.clip(np.abs(np.sin(np.arange(len(samples)) * 12 / rate)), 0.01, 1)[:, None]
    soundfile.write(path, samples, rate, subtype="PCM_16", format="WAV")
    return path


def write_wav_outside(cycle: Path) -> Path:
    """A recording beside the cycle's folder."""
    return write_wav(cycle.parent / "elsewhere.wav", seed=99)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """One JSON object a line."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def cycle_rows() -> list[dict[str, Any]]:
    """Ten rows, five drugs and five procedures, whose audio is audio/0.wav to audio/9.wav."""
    terms = [(term, "drug") for term in DRUGS] + [(term, "procedure") for term in PROCEDURES]
    return [
        {
            "audio_filepath": f"audio/{number}.wav",
            "text": f"the doctor wrote {term} into the chart",
            "duration": None,
            "term": term,
            "entity_category": category,
            "ipa_source": "merriam-webster",
            "voice_id": "anna",
            "noise_level": "clean",
            "context_type": "dictation",
        }
        for number, (term, category) in enumerate(terms)
    ]


def make_cycle(parent: Path, number: int = 1) -> Path:
    """A cycle folder with ten rows and their recordings."""
    folder = parent / f"cycle{number}"
    (folder / "audio").mkdir(parents=True)
    for place in range(10):
        write_wav(folder / "audio" / f"{place}.wav", seed=place)
    write_rows(folder / "manifest.jsonl", cycle_rows())
    return folder


def make_general(folder: Path, sentences: int) -> Path:
    """A manifest of general English with its recordings, each of other noise than a cycle's."""
    (folder / "audio").mkdir(parents=True)
    rows = [
        {
            "audio_filepath": f"audio/sentence{number}.wav",
            "text": "we often walk along the river in the evening",
            "duration": 2.0,
        }
        for number in range(sentences)
    ]
    for number, row in enumerate(rows):
        write_wav(folder / str(row["audio_filepath"]), 2.0, seed=10_000 + number)
    return write_rows(folder / "manifest.jsonl", rows)


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every path under a folder: a file's bytes, else what it is."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found


def tokenizer(sentences: Sequence[str]) -> bytes:
    """A SentencePiece model of single characters, trained on a few sentences."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="char",
        vocab_size=100,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


CTC_CONFIG: dict[str, Any] = {
    "target": "nemo.collections.asr.models.ctc_bpe_models.EncDecCTCModelBPE",
    "sample_rate": RATE,
    "encoder": {"att_context_style": "regular"},
    "decoder": {"vocabulary": ["a", "b"]},
}
TDT_CONFIG: dict[str, Any] = {
    "target": "nemo.collections.asr.models.rnnt_bpe_models.EncDecRNNTBPEModel",
    "sample_rate": RATE,
    "model_defaults": {"tdt_durations": [0, 1, 2]},
    "joint": {"vocabulary": ["a", "b"]},
    "loss": {"loss_name": "tdt"},
}
RNNT_CONFIG: dict[str, Any] = {
    "target": "nemo.collections.asr.models.rnnt_bpe_models.EncDecRNNTBPEModel",
    "sample_rate": RATE,
    "joint": {"vocabulary": ["a", "b"]},
    "loss": {"loss_name": "default"},
}
STREAMING_CONFIG: dict[str, Any] = {
    **RNNT_CONFIG,
    "encoder": {"att_context_style": "chunked_limited", "causal_downsampling": True},
}


def write_nemo(
    path: Path,
    config: Mapping[str, Any] = CTC_CONFIG,
    spelling: bytes | None = None,
    *,
    weights: bytes | None = None,
    mode: str = "w",
) -> Path:
    """A .nemo that is whole in all but the meaning of its weights."""
    content = dict(config)
    members = {"model_weights.ckpt": no_tensors() if weights is None else weights}
    if spelling is not None:
        content["tokenizer"] = {"type": "bpe", "model_path": "nemo:0123_tokenizer.model"}
        members["0123_tokenizer.model"] = spelling
    members = {"model_config.yaml": yaml.safe_dump(content).encode(), **members}
    write_tar(path, members, mode=mode)
    return path


def no_tensors(pickled: bytes | None = None, **more: bytes) -> bytes:
    """Weights as torch saves them, of no tensor; or with a pickle of one's own, and more files."""
    data = pickle.dumps({}, protocol=2) if pickled is None else pickled
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, value in {"data.pkl": data, "version": b"3\n", **more}.items():
            archive.writestr(f"model_weights/{name}", value)
    return content.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes], *, mode: str = "w") -> Path:
    """A tar archive with these members, named as NeMo names them."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # a mode as text
        for name, data in members.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def utterance(row: int, category: str | None = "drug", **fields: Any) -> Utterance:
    """A row of English text."""
    text = fields.pop("text", f"the patient has been taking this medicine since day {row}")
    return Utterance(row, f"audio/{row}.wav", text, entity_category=category, **fields)


def evaluated(
    missed: int,
    n: int,
    category: str | None = "drug",
    *,
    start: int = 0,
    part: Partition | None = None,
    **fields: Any,
) -> list[Hypothesis]:
    """``n`` rows of a category, the first ``missed`` of which miss their term."""
    return [
        Hypothesis(
            audio_filepath=f"audio/{start + place}.wav",
            ref="give aspirin now",
            hyp="give as prin now" if place < missed else "give aspirin now",
            term="aspirin",
            entity_category=category,
            part=part,
            **fields,
        )
        for place in range(n)
    ]


def scored(missed: int, n: int, category: str | None = "drug", **fields: Any) -> Scores:
    """The scores of ``evaluated`` rows."""
    return score(evaluated(missed, n, category, **fields))


def held_guardrail() -> Guardrail:
    """General English that was checked and not lost."""
    return Guardrail(
        600, 0.04, 0.04, 0.05, 0.05, Interval(-0.002, 0.002), 0.005, upper=0.001, bound=0.01
    )


def delta(before: int, after: int, n: int, category: str = "drug") -> KeywordErrorChange:
    """A difference without rows that changed to and fro."""
    return KeywordErrorChange(
        category,
        Proportion(before, n),
        Proportion(after, n),
        fixed=max(before - after, 0),
        broken=max(after - before, 0),
    )
