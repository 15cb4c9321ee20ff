"""Check a manifest for every fault that would waste GPU time or spoil a metric.

It reads every row and every audio file before anything is spent, reports all findings at once and
writes nothing. Errors stop the run; warnings are kept in the run record.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.data import audio_checks, audio_probe, findings, spelling_checks
from tasks.data.audio_paths import as_posix, is_url, is_windows
from tasks.data.audio_probe import AudioFacts, Unreadable
from tasks.data.canonical import canonical
from tasks.data.manifest import parse_manifest
from tasks.data.row_terms import RowTerm, write_terms
from tasks.data.spelling_advice import advise_spelling
from tasks.data.term_checks import merge_terms
from tasks.data.text_normalizer import normalise
from tasks.data.transcript_tags import drop_tags, find_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.data.audio_checks import AudioLimits
    from tasks.data.findings import ManifestFinding
    from tasks.data.manifest import Utterance
    from tasks.models.text_style import WritingStyle


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row that may be trained on and scored.

    Attributes:
        utterance: the row as the user wrote it, its duration filled from the audio header.
        audio: the resolved, absolute path of its audio.
        audio_sha256: hash of its decoded samples.
        training_text: its text in the base's writing style.
        training_term: its term in that style.
        training_terms: its list of terms in that style.
    """

    utterance: Utterance
    audio: Path
    audio_sha256: str
    training_text: str
    training_term: str | None
    training_terms: tuple[RowTerm, ...] = ()


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """The checked rows and all findings; ``rows`` is complete only if no finding is an error.

    ``set_apart`` counts rows that are left out because of a review's mark, by the mark.
    """

    manifest: Path
    rows: tuple[CheckedRow, ...]
    findings: tuple[ManifestFinding, ...]
    set_apart: dict[str, int] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[ManifestFinding, ...]:
        """The findings that do not stop a run."""
        return tuple(f for f in self.findings if f.severity is findings.Severity.WARNING)

    @property
    def restyled(self) -> int:
        """Rows whose training text differs from the user's text."""
        return sum(row.training_text != row.utterance.text for row in self.rows)

    def raise_errors(self) -> None:
        """Raise one InputError that holds every error, if there is any."""
        findings.raise_errors(self.manifest, self.findings)


def preflight(
    manifest: Path, limits: AudioLimits, style: WritingStyle | None, *, restyle: bool = True
) -> PreflightResult:
    """Check a manifest, its audio and its text.

    Args:
        manifest: the user's manifest.
        limits: what each row must satisfy.
        style: how the base writes; None leaves text unchecked, as scoring alone needs no spelling.
        restyle: bring the training text to that style; otherwise it stays as it is.

    Raises:
        InputError: the manifest cannot be read at all.
    """
    utterances, schema_findings = parse_manifest(manifest)
    roots = [root.expanduser().resolve() for root in (manifest.parent, *limits.extra_roots)]
    problems = list(schema_findings)
    audio_paths = [(utterance, _locate(manifest, utterance, roots)) for utterance in utterances]
    problems.extend(_check_places(audio_paths, roots))
    problems.extend(_check_moved(audio_paths))
    problems.extend(_check_duplicate_rows(audio_paths))
    rewriter = style if restyle else None
    problems.extend(_check_tags(utterances, manifest))
    if style is not None:
        for utterance in utterances:
            # Tags are reported as such; what is spelled is the rest.
            rest = utterance.with_text(drop_tags(utterance.text) or utterance.text)
            text = _rewrite_text(rewriter, rest.text)
            problems.extend(_check_text(rest, text, style, restyle=restyle))
    for utterance in utterances:
        text = _rewrite_text(rewriter, utterance.text)
        problems.extend(spelling_checks.check(utterance, text, style))
    rows = []
    for utterance, path, fact in _probe(audio_paths, roots):
        problems.extend(audio_checks.check(utterance, fact, limits))
        if isinstance(fact, AudioFacts) and fact.frames:
            # To a millisecond, so that the copy does not depend on how a float prints.
            filled = replace(utterance, duration=round(fact.duration, 3))
            text = _rewrite_text(rewriter, utterance.text)
            term = utterance.term and _rewrite_text(rewriter, utterance.term)
            terms = tuple(
                RowTerm(_rewrite_text(rewriter, item.term), item.entity_category)
                for item in utterance.terms
            )
            rows.append(CheckedRow(filled, path, fact.sha256, text, term, terms))
    problems.extend(_check_duplicate_audio(rows))
    if style is not None:
        problems.extend(_check_whole(rows, style))
    problems.sort(key=lambda finding: (finding.severity.value, finding.row or 0))
    return PreflightResult(manifest, tuple(rows), tuple(problems))


def _probe(
    audio_paths: Sequence[tuple[Utterance, Path]], roots: Sequence[Path]
) -> Iterable[tuple[Utterance, Path, AudioFacts | Unreadable]]:
    """Yield each row whose audio may be read, with its facts."""
    readable = [
        (utterance, path)
        for utterance, path in audio_paths
        if _is_inside(path, roots) and _is_file(path)
    ]
    facts = audio_probe.probe_all([path for _, path in readable])
    for (utterance, path), fact in zip(readable, facts, strict=True):
        yield utterance, path, fact


def _rewrite_text(style: WritingStyle | None, text: str) -> str:
    return text if style is None else style.rewrite(text)


def _locate(manifest: Path, utterance: Utterance, roots: Sequence[Path]) -> Path:
    """Return the real path of a row's audio, links resolved; it need not exist.

    A manifest that came from another host names folders that are not here. What follows the name of
    the cycle's folder, or of another root, is then looked for in that.
    """
    written = Path(as_posix(utterance.audio_filepath))
    if _is_file(literal := manifest.parent / utterance.audio_filepath):
        written = literal  # a backslash may stand in a name of this host
    if written.is_absolute() and not os.path.lexists(written):
        for root in roots:
            for place in reversed(range(1, len(written.parts))):
                local_path = root.joinpath(*written.parts[place + 1 :])
                if written.parts[place] == root.name and _is_file(local_path):
                    return Path(os.path.realpath(local_path))
    return Path(os.path.realpath(written if written.is_absolute() else manifest.parent / written))


def _check_moved(audio_paths: Sequence[tuple[Utterance, Path]]) -> Iterable[ManifestFinding]:
    moved_rows = [
        (utterance, path)
        for utterance, path in audio_paths
        if os.path.isabs(as_posix(utterance.audio_filepath))  # noqa: PTH117 - any length
        and not os.path.lexists(utterance.audio_filepath)
        and _is_file(path)
    ]
    if moved_rows:
        first, path = moved_rows[0]
        yield findings.warning(
            "audio-moved",
            first.row,
            first.audio_filepath,
            f"{len(moved_rows)} rows name audio by a path that is not here; it is read from {path} "
            "and beside it",
            "nothing, if that is the audio; `asr-flywheel paths` rewrites a manifest for this host",
        )


def _is_inside(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _is_file(path: Path) -> bool:
    # Path.is_file raises where a name is too long for the file system.
    return os.path.isfile(path)  # noqa: PTH113


def _check_places(
    audio_paths: Sequence[tuple[Utterance, Path]], roots: Sequence[Path]
) -> Iterable[ManifestFinding]:
    for utterance, path in audio_paths:
        name = utterance.audio_filepath
        if not _is_inside(path, roots) and not os.path.lexists(path):
            yield findings.error(
                "audio-missing",
                utterance.row,
                name,
                f"there is no such audio file on this host{_name_foreign(name)}",
                _advise_missing(name),
            )
        elif not _is_inside(path, roots):
            yield findings.error(
                "audio-outside",
                utterance.row,
                name,
                f"the audio lies outside the cycle's folder, at {path}",
                "copy it into the cycle, or allow its folder with --audio-root",
            )
        elif not os.path.exists(path):  # noqa: PTH110 - a name that is too long does not exist
            yield findings.error(
                "audio-missing",
                utterance.row,
                name,
                f"there is no such audio file{_name_foreign(name)}",
                f"put the file there ({path}) or correct audio_filepath (relative to the "
                "manifest's folder)",
            )
        elif not _is_file(path):
            yield findings.error(
                "audio-not-a-file",
                utterance.row,
                name,
                "audio_filepath is not a file",
                "name the audio file itself",
            )


def _name_foreign(name: str) -> str:
    """Say that a path is another system's; nothing for one of this host."""
    if is_url(name):
        return ": it is a URL, and recordings are read from files"
    return ": it is a path of Windows" if is_windows(name) else ""


def _advise_missing(name: str) -> str:
    """Return the fix for an absolute path that leads nowhere here."""
    if is_url(name) and not name.lower().startswith("file:"):
        return "download it into the cycle's folder and write audio_filepath relative to that"
    folder = name.rpartition("\\" if "\\" in name else "/")[0]
    return (
        "copy the recordings into the cycle's folder, laid out as they were, or rewrite the "
        f"manifest: asr-flywheel paths MANIFEST --out COPY --map '{folder}=OURS'"
    )


def _check_duplicate_rows(
    audio_paths: Sequence[tuple[Utterance, Path]],
) -> Iterable[ManifestFinding]:
    rows: defaultdict[Path, list[Utterance]] = defaultdict(list)
    for utterance, path in audio_paths:
        rows[path].append(utterance)
    for first, *others in rows.values():
        for other in others:
            yield findings.error(
                "duplicate-row",
                other.row,
                other.audio_filepath,
                f"the same audio file stands already in row {first.row}",
                _advise_duplicate(first, others) or "keep one of the two rows",
            )


def _advise_duplicate(first: Utterance, others: Sequence[Utterance]) -> str | None:
    """Return how rows of one sentence and several terms become one row; None for other rows."""
    rows = (first, *others)
    terms = merge_terms([row.flagged for row in rows])
    if len({canonical(row.text) for row in rows}) > 1 or len(terms) <= len(first.flagged):
        return None
    return (
        f"keep row {first.row} alone; in the place of its term and entity_category, write "
        f"{write_terms(terms)}"
    )


def _check_duplicate_audio(rows: Sequence[CheckedRow]) -> Iterable[ManifestFinding]:
    by_content: defaultdict[str, list[CheckedRow]] = defaultdict(list)
    for row in rows:
        by_content[row.audio_sha256].append(row)
    for same in by_content.values():
        first = same[0]
        for other in same[1:]:
            if other.audio == first.audio:
                continue  # reported as a duplicate row
            where = f"the same recording as row {first.utterance.row}, under another name"
            if not other.utterance.text or not first.utterance.text:
                continue  # reported as a missing or empty text
            if canonical(other.utterance.text) != canonical(first.utterance.text):
                yield findings.error(
                    "conflicting-text",
                    other.utterance.row,
                    other.utterance.text,
                    f"{where}, with another text",
                    "listen to it, and remove the row whose text it is not, or give that row its "
                    "own recording",
                )
            else:
                yield findings.warning(
                    "duplicate-audio",
                    other.utterance.row,
                    other.utterance.audio_filepath,
                    where,
                    f"{_advise_duplicate(first.utterance, [other.utterance]) or 'remove one'}; "
                    "until then both stay on one side of the split",
                )


def _check_tags(utterances: Iterable[Utterance], manifest: Path) -> Iterable[ManifestFinding]:
    """Report each row whose text holds what nobody said, with both ways out."""
    for utterance in utterances:
        if tags := find_tags(utterance.text):
            yield findings.error(
                "text-tag",
                utterance.row,
                " ".join(tags),
                "the text holds tags that nobody said; they would be trained and scored as words",
                f"asr-flywheel tags {manifest.name} --out COPY --drop tag keeps the words around "
                "them, and --drop row leaves the row out; put the copy in the manifest's place",
            )


def _check_text(
    utterance: Utterance, text: str, style: WritingStyle, *, restyle: bool
) -> Iterable[ManifestFinding]:
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
                lambda part: style.unknown_in(_rewrite_text(style if restyle else None, part)),
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


def _check_whole(rows: Sequence[CheckedRow], style: WritingStyle) -> Iterable[ManifestFinding]:
    """Warn where the manifest as a whole is written otherwise than the base writes."""
    texts = [row.utterance.text for row in rows if row.utterance.text]
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
    changed = [row for row in rows if row.training_text != row.utterance.text]
    if changed:
        yield findings.warning(
            "restyled",
            changed[0].utterance.row,
            changed[0].training_text,
            f"{len(changed)} rows are written in the base's style in the training copy",
            "nothing; --keep-style turns it off",
        )
