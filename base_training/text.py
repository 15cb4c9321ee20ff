"""The base model's training text: general English, and clinical English without clinical terms.

Deterministic: the same WordNet files give the same lines, and the SHA-256 of the result is in the
model card. Nothing of the benchmark may be in it; ``check_disjoint`` fails the recipe otherwise.
Run ``python -m base_training.text --out DIR`` to write ``train.txt`` and ``validation.txt``.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asr_flywheel.demo.dataset import (
    first_general_sentences,
    general_sentences,
    possible_sentences,
)
from asr_flywheel.demo.terms import TERMS, unfamiliar_words
from base_training.sentence_templates import CARRIERS, SLOT_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WORDNET = Path("/usr/share/wordnet")
SEED = 20
#: Longer lines would only make batches ragged; twenty words are about seven seconds.
MAX_WORDS = 20
SALAD_LINES = 14_000
CARRIER_LINES = 24_000
VALIDATION_LINES = 300
#: A run of this many words shared with a benchmark sentence counts as a leak.
LEAK_WORDS = 6
#: A word seen this often in WordNet's own prose counts as ordinary.
ORDINARY_COUNT = 8

_EXAMPLE = re.compile(r'"([^"]+)"')
_PARENTHESIS = re.compile(r"\([^()]*\)")
_ENDING = re.compile(r"(um|us|is|as|es|s|y|e)$")
#: How a natural sentence opens.
OPENINGS = re.compile(
    r"(i|you|he|she|it|we|they|the|his|her|my|our|their|this|that|there) ",
)

#: The parts of made-up words; what is listed twice comes twice as often.
ONSETS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr r s sh sl st t th tr v w z"
VOWELS = "a e i o u a e i o ai ea ee oo ou io"
CODAS = "n r l m s t d x n r l nd st ck ph"


class LeakError(ValueError):
    """Training text holds something of the benchmark that it must not have seen."""


@dataclass(frozen=True)
class TrainingText:
    """The recipe's two splits; ``general_english.txt`` is the third and lies with the benchmark.

    Most of ``general_english_more.txt``, which lies there too, is of the validation split. A base
    that is chosen by its error rate on this split is not to be judged by those sentences.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]

    def sha256(self) -> str:
        """Return the SHA-256 of the training lines, as they are written."""
        return hashlib.sha256(_join_lines(self.train).encode()).hexdigest()


def build(wordnet: Path = WORDNET) -> TrainingText:
    """Assemble the text from WordNet's files and this recipe's carrier sentences."""
    rng = random.Random(SEED)
    examples, definitions = wordnet_prose(wordnet)
    counts = Counter(word for line in examples + definitions for word in line.split())
    lemmas = wordnet_lemmas(wordnet)
    # The sentences that were added later had no part in this text. To filter by them, too, could
    # draw other lines than those that the embedded bases learnt; ``check_disjoint`` looks at them.
    leaks = LeakDetector.of_benchmark(first_general_sentences())

    def usable(lines: Iterable[str]) -> list[str]:
        return [line for line in dict.fromkeys(lines) if not leaks.find(line)]

    examples = usable(examples)
    sentences = [line for line in examples if is_sentence(line, counts)]
    validation = tuple(rng.sample(sentences, VALIDATION_LINES))
    # WordNet quotes some sentences twice, with a word changed: those go with their twins.
    withheld = frozenset(run for line in validation for run in runs_of_words(line))
    examples = [line for line in examples if withheld.isdisjoint(runs_of_words(line))]

    words = usable({*lemmas, *(word for word, count in counts.items() if count > 1)})
    words.sort()
    # Between Zipf's law, which would repeat a few words for ever, and every word alike.
    weights = [(counts[word] + 1) ** 0.4 for word in words]
    salad = [" ".join(rng.choices(words, weights, k=rng.randint(4, 9))) for _ in range(SALAD_LINES)]
    clinical = [clinical_line(rng, words) for _ in range(CARRIER_LINES)]
    train = usable([*examples, *usable(definitions), *salad, *clinical])
    rng.shuffle(train)
    text = TrainingText(tuple(train), validation)
    check_disjoint(text.train)
    return text


def wordnet_prose(wordnet: Path) -> tuple[list[str], list[str]]:
    """Return WordNet's example phrases and definitions, as words that can be spoken as written."""
    examples: list[str] = []
    definitions: list[str] = []
    for path in sorted(wordnet.glob("data.*")):
        for line in path.read_text(encoding="latin-1").splitlines():
            _, bar, gloss = line.partition("| ")
            if not bar:
                continue  # the licence at the head of each file
            examples += map(spoken_form, _EXAMPLE.findall(gloss))
            prose = _PARENTHESIS.sub(" ", _EXAMPLE.sub(" ", gloss))
            definitions += map(spoken_form, prose.split(";"))
    return [line for line in examples if line], [line for line in definitions if " " in line]


def wordnet_lemmas(wordnet: Path) -> set[str]:
    """Return WordNet's single words in small letters, without names and abbreviations."""
    lemmas = set()
    for path in sorted(wordnet.glob("data.*")):
        for line in path.read_text(encoding="latin-1").splitlines():
            fields = line.split(" ", 5)
            if len(fields) == 6 and re.fullmatch(r"[a-z]{3,14}", fields[4]):  # noqa: PLR2004 - as WordNet splits
                lemmas.add(fields[4])
    return lemmas


def spoken_form(line: str) -> str:
    """Lower-case words of a-z and apostrophes, or nothing where that would not be what is said.

    Digits, abbreviations and foreign letters are read out in ways that the letters don't show.
    """
    line = line.strip().replace("`", "'").replace("\u2019", "'")
    if re.search(r"[^A-Za-z' ,.;:!?\-]|\b[A-Z]{2,}\b|\w\.\w|\b[A-Za-z]\.", line):
        return ""
    words = re.sub(r"[^a-z' ]+", " ", line.lower()).split()
    words = [word.strip("'") for word in words]
    if not all(words) or len(words) > MAX_WORDS:
        return ""
    return " ".join(words)


def is_sentence(line: str, counts: Counter[str]) -> bool:
    """Return whether a line reads like a natural sentence of ordinary words."""
    words = line.split()
    return (
        6 <= len(words) <= 16  # noqa: PLR2004 - neither a title nor a paragraph
        and OPENINGS.match(line) is not None
        and all(counts[word] >= ORDINARY_COUNT for word in words)
    )


def clinical_line(rng: random.Random, words: Sequence[str]) -> str:
    """Return one carrier sentence, its slot filled with anything but a term of the benchmark."""
    kind = rng.random()
    if kind < 0.4:  # noqa: PLR2004 - a share
        filler = " ".join(made_up_word(rng) for _ in range(rng.choice((1, 1, 1, 2))))
    elif kind < 0.7:  # noqa: PLR2004 - a share
        filler = rng.choice(words)
    else:
        filler = rng.choice(SLOT_WORDS)
    return rng.choice(CARRIERS)(rng, filler)


def made_up_word(rng: random.Random) -> str:
    """Make up a pronounceable word: the model must learn to spell by ear."""
    onsets, vowels, codas = ONSETS.split(), VOWELS.split(), CODAS.split()
    syllables = (rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.randint(1, 4)))
    return "".join(syllables) + rng.choice(codas)


@dataclass(frozen=True)
class LeakDetector:
    """Finds the benchmark in a line of text.

    Attributes:
        words: Matches a term's unfamiliar word, or a simple inflection of one.
        phrases: Matches a whole term.
        runs: Every run of ``LEAK_WORDS`` words of every possible benchmark sentence and of
            held-out sentences of general English.
    """

    words: re.Pattern[str]
    phrases: re.Pattern[str]
    runs: frozenset[tuple[str, ...]]

    @classmethod
    def of_benchmark(cls, general: Sequence[str]) -> LeakDetector:
        """Return the detector for the embedded benchmark and some held-out general sentences."""
        stems = sorted(_ENDING.sub("", word) for word in unfamiliar_words())
        return cls(
            words=re.compile(rf"\b(?:{'|'.join(stems)})[a-z']{{0,4}}\b"),
            phrases=re.compile(rf"\b(?:{'|'.join(sorted(term.text for term in TERMS))})"),
            runs=frozenset(
                run for line in (*possible_sentences(), *general) for run in runs_of_words(line)
            ),
        )

    def find(self, line: str) -> str | None:
        """Return a part of the benchmark that is in the line, or None."""
        match = self.words.search(line) or self.phrases.search(line)
        if match:
            return match.group()
        return next((" ".join(run) for run in runs_of_words(line) if run in self.runs), None)


def check_disjoint(lines: Iterable[str]) -> None:
    """Fail if training lines hold anything of the benchmark or of the held-out sentences.

    That is a term, an unfamiliar word of one or a simple inflection of it, or a run of
    ``LEAK_WORDS`` words of a sentence.

    Raises:
        LeakError: Names what was found, and in which line.
    """
    detector = LeakDetector.of_benchmark(general_sentences())
    for number, line in enumerate(lines, start=1):
        leaked = detector.find(line)
        if leaked:
            raise LeakError(f"line {number} holds {leaked!r}, which the benchmark tests: {line!r}")


def runs_of_words(line: str) -> Iterable[tuple[str, ...]]:
    """Return every run of ``LEAK_WORDS`` words of a line."""
    words = line.split()
    return zip(*(words[i:] for i in range(LEAK_WORDS)), strict=False)


def _join_lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Write the splits and print what they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--wordnet", type=Path, default=WORDNET)
    args = parser.parse_args()
    text = build(args.wordnet)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "train.txt").write_text(_join_lines(text.train), encoding="ascii")
    (args.out / "validation.txt").write_text(_join_lines(text.validation), encoding="ascii")
    words = sum(len(line.split()) for line in text.train)
    print(f"{len(text.train)} lines, {words} words, sha256 {text.sha256()}")


if __name__ == "__main__":
    main()
