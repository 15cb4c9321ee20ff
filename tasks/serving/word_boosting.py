"""Riva's word boosting: the form of a request, the scores that are tried, who heeds them.

A request names phrases with a score. NVIDIA gives each kind of decoder a range of scores, and none
of them has a known relation to the strength of NeMo's boosting tree:

- NIM 26.10, https://docs.nvidia.com/nim/speech/26.10.0/asr/customization/customization.html, lists
  word boosting for Parakeet CTC, RNN-T and TDT and for Nemotron ASR Streaming. For CTC it names
  scores from 20 to 100. For RNN-T and TDT, NVIDIA/skills, riva-asr, names 0.5 to 2.
- https://github.com/nvidia-riva/tutorials/pull/100 says that Riva's greedy decoder of CTC does not
  heed boosted words, as is expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common import hashing
from tasks.models.text_style import style_of
from tasks.transcription.boosting_phrases import PhraseList, phrase_list, read_formulary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.models.nemo_archive import NemoArchive

REQUEST_NAME = "riva_word_boosting.json"
_CTC, _TRANSDUCER = "decoder=greedy_ctc", "decoder=nemo"
_SCORES = {_CTC: (20.0, 60.0, 100.0), _TRANSDUCER: (0.5, 1.0, 2.0)}
_OTHER_SCORES = (1.0, 20.0, 60.0)


class Support(StrEnum):
    """Whether a decoder heeds boosted phrases, by NVIDIA's documentation."""

    DOCUMENTED = "documented"
    NOT_HEEDED = "not heeded"
    UNKNOWN = "unknown"


_TOLD = {
    Support.DOCUMENTED: "NVIDIA's NIM 26.10 lists word boosting for its own containers of this "
    "family; of a model of one's own it says nothing",
    Support.NOT_HEEDED: "by NVIDIA's tutorial Riva's greedy decoder of CTC does not heed boosted "
    "phrases; decoder=flashlight does, and takes a lexicon and a language model",
    Support.UNKNOWN: "whether this decoder heeds boosted phrases is not known",
}
_SUPPORT = {_CTC: Support.NOT_HEEDED, _TRANSDUCER: Support.DOCUMENTED}


@dataclass(frozen=True, slots=True)
class WordBoost:
    """Phrases and a score, sent with a request.

    Attributes:
        phrases: as the model writes them.
        score: Riva's; 0 has no effect.
    """

    phrases: tuple[str, ...]
    score: float

    @property
    def key(self) -> str:
        """A text that is another one for other phrases or another score."""
        return hashing.fingerprint([self.score, *self.phrases])


def support_of(flag: str) -> Support:
    """Return whether the decoder that riva-build is told heeds boosted phrases."""
    return _SUPPORT.get(flag, Support.UNKNOWN)


def describe_support(flag: str) -> str:
    """Say whether the decoder that riva-build is told heeds boosted phrases, and by what source."""
    support = support_of(flag)
    return f"{support.value}: {_TOLD[support]}"


def scores_for(flag: str) -> tuple[float, ...]:
    """Return the three scores that are tried: the ends and the middle of NVIDIA's range."""
    return _SCORES.get(flag, _OTHER_SCORES)


def read_phrases(path: Path, model: NemoArchive | None) -> PhraseList:
    """Read a list as the model writes it; as it stands where the model is not known.

    Raises:
        InputError: it cannot be read or holds no phrase.
    """
    lines, comments, empty = read_formulary(path)
    if model is not None:
        return phrase_list(lines, style_of(model), comments=comments, empty=empty)
    phrases = tuple(dict.fromkeys(line.text for line in lines))
    return PhraseList(phrases, comments=comments, empty=empty)


def request(phrases: Sequence[str], flag: str) -> dict[str, Any]:
    """Return the part of a RecognitionConfig that boosts phrases, in the JSON form of its protocol.

    Args:
        phrases: as the model writes them.
        flag: the decoder that riva-build is told; its weakest score begins.
    """
    return {"speech_contexts": [{"phrases": list(phrases), "boost": scores_for(flag)[0]}]}
