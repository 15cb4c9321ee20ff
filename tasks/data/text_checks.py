"""Checks of what a row's text holds, and of how the manifest is written as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common.counted import agreed, counted
from tasks.common.parameter_names import name_of
from tasks.common.shell_words import in_shell
from tasks.data import findings
from tasks.data.spelling_advice import advise_spelling
from tasks.data.text_normalizer import normalise
from tasks.data.transcript_tags import find_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.findings import ManifestFinding
    from tasks.data.manifest import Utterance
    from tasks.models.text_style import WritingStyle


def check_tags(utterances: Iterable[Utterance], manifest: Path) -> Iterable[ManifestFinding]:
    """Report each row whose text holds what nobody said, with both ways out."""
    for utterance in utterances:
        if tags := find_tags(utterance.text):
            yield findings.error(
                "text-tag",
                utterance.row,
                " ".join(tags),
                "the text holds tags that nobody said; they would be trained and scored as words",
                f"asr-flywheel tags {in_shell(manifest)} --out COPY --drop tag keeps the words "
                "around them, and --drop row leaves the row out; put the copy in the manifest's "
                "place",
            )


def check_text(
    utterance: Utterance, text: str, style: WritingStyle, *, restyle: bool
) -> Iterable[ManifestFinding]:
    """Report a text that the base cannot spell, and a term that it writes otherwise.

    Args:
        utterance: the row.
        text: that is trained on in the place of its own.
        style: how the base writes.
        restyle: whether the text was brought to that style.
    """
    row = utterance.row
    if not utterance.text.strip():
        return  # reported as a missing or empty text
    if unknown := style.unknown_in(text):
        unspellable = " ".join(repr(part) for part in unknown)
        yield findings.error(
            "text-unspellable",
            row,
            utterance.text,
            f"the base's tokenizer cannot spell {unspellable}: training would teach it to write ⁇",
            advise_spelling(
                utterance.text,
                lambda part: style.unknown_in(rewrite_text(style if restyle else None, part)),
                cased=style.cased,
            ),
        )
    elif not text:
        yield findings.error(
            "text-empties",
            row,
            utterance.text,
            "nothing is left of the text in the base's style",
            "give a transcript with words",
        )
    for item in utterance.flagged:
        written = normalise(style.rewrite(item.term))
        if written != normalise(item.term):
            yield findings.warning(
                "term-style",
                row,
                item.term,
                f"the base writes the term as {written!r}, so that its KER counts it as missed",
                "write term and text as the base does",
            )


def check_manifest_style(
    rows: Sequence[tuple[Utterance, str]], style: WritingStyle
) -> Iterable[ManifestFinding]:
    """Warn where the manifest as a whole is written otherwise than the base writes.

    Args:
        rows: each with the text that is trained on in the place of its own.
        style: how the base writes.
    """
    texts = [utterance.text for utterance, _ in rows if utterance.text]
    if not texts:
        return
    fix = "nothing, if normalised text is all you need; else write the manifest as the base does"
    if style.cased and not any(char.isupper() for text in texts for char in text):
        yield findings.warning(
            "casing-differs",
            None,
            texts[0],
            "the base writes capitals, no row has any: tuning will teach it lower case",
            fix,
        )
    if style.punctuated and not any(char in ".,?" for text in texts for char in text):
        yield findings.warning(
            "punctuation-differs",
            None,
            texts[0],
            "the base writes punctuation, no row has any: tuning will teach it to leave it out",
            fix,
        )
    changed = [(one, training_text) for one, training_text in rows if training_text != one.text]
    if changed:
        utterance, training_text = changed[0]
        yield findings.warning(
            "restyled",
            utterance.row,
            training_text,
            f"{counted(len(changed), 'row')} {agreed(len(changed), 'is', 'are')} written in the "
            "base's style in the training copy",
            f"nothing; {name_of('keep_style')} turns it off",
        )


def rewrite_text(style: WritingStyle | None, text: str) -> str:
    """Return the text as the base writes it; as it is, where no style is asked for."""
    return text if style is None else style.rewrite(text)
