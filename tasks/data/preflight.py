"""Check a manifest for every fault that would waste GPU time or spoil a metric.

It reads every row and every audio file before anything is spent, reports all findings at once and
writes nothing. Errors stop the run; warnings are kept in the run record.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tasks.data import audio_checks, audio_probe, findings, spelling_checks
from tasks.data.audio_location import check_moved, check_places, is_file, is_inside, locate_audio
from tasks.data.audio_probe import AudioFacts, Unreadable
from tasks.data.canonical import canonical
from tasks.data.manifest import parse_manifest
from tasks.data.row_parts import CUT_PARTS
from tasks.data.row_terms import RowTerm, write_terms
from tasks.data.source_spans import find_sharing, folders_of, read_provenance
from tasks.data.term_checks import merge_terms
from tasks.data.text_checks import check_manifest_style, check_tags, check_text, rewrite_text
from tasks.data.transcript_tags import drop_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tasks.data.audio_checks import AudioLimits
    from tasks.data.findings import ManifestFinding
    from tasks.data.manifest import Utterance
    from tasks.data.source_spans import SourceSpan
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
        spans: which spans of source recordings it is, where an import wrote that down.
    """

    utterance: Utterance
    audio: Path
    audio_sha256: str
    training_text: str
    training_term: str | None
    training_terms: tuple[RowTerm, ...] = ()
    spans: tuple[SourceSpan, ...] = ()


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
    audio_paths = [
        (utterance, locate_audio(manifest, utterance, roots)) for utterance in utterances
    ]
    problems.extend(check_places(audio_paths, roots))
    problems.extend(check_moved(audio_paths))
    rewriter = style if restyle else None
    problems.extend(check_tags(utterances, manifest))
    if style is not None:
        for utterance in utterances:
            # Tags are reported as such; what is spelled is the rest.
            rest = utterance.with_text(drop_tags(utterance.text) or utterance.text)
            text = rewrite_text(rewriter, rest.text)
            problems.extend(check_text(rest, text, style, restyle=restyle))
    for utterance in utterances:
        text = rewrite_text(rewriter, utterance.text)
        problems.extend(spelling_checks.check(utterance, text, style))
    rows = []
    parts = {row.row for row, _ in audio_paths if audio_checks.is_part(row, None)}
    provenance = read_provenance(folders_of(manifest, [path for _, path in audio_paths]))
    for utterance, path, fact in _probe(audio_paths, roots):
        if audio_checks.is_part(utterance, fact):
            parts.add(utterance.row)
        problems.extend(audio_checks.check(utterance, fact, limits))
        if isinstance(fact, AudioFacts) and fact.frames:
            # To a millisecond, so that the copy does not depend on how a float prints.
            filled = replace(utterance, duration=round(fact.duration, 3))
            text = rewrite_text(rewriter, utterance.text)
            term = utterance.term and rewrite_text(rewriter, utterance.term)
            terms = tuple(
                RowTerm(rewrite_text(rewriter, item.term), item.entity_category)
                for item in utterance.terms
            )
            spans = provenance.spans_of(path, fact.sha256, fact.duration)
            rows.append(CheckedRow(filled, path, fact.sha256, text, term, terms, spans))
    # Parts of one recording are told as such; "keep one of them" would contradict that.
    problems.extend(_check_duplicate_rows(pair for pair in audio_paths if pair[0].row not in parts))
    problems.extend(_check_duplicate_audio([row for row in rows if row.utterance.row not in parts]))
    problems.extend(_check_shared_sound(rows))
    if style is not None:
        pairs = [(row.utterance, row.training_text) for row in rows]
        problems.extend(check_manifest_style(pairs, style))
    problems.sort(key=lambda finding: (finding.severity.value, finding.row or 0))
    return PreflightResult(manifest, tuple(rows), tuple(problems))


def _probe(
    audio_paths: Sequence[tuple[Utterance, Path]], roots: Sequence[Path]
) -> Iterable[tuple[Utterance, Path, AudioFacts | Unreadable]]:
    """Yield each row whose audio may be read, with its facts."""
    readable = [
        (utterance, path)
        for utterance, path in audio_paths
        if is_inside(path, roots) and is_file(path)
    ]
    facts = audio_probe.probe_all([path for _, path in readable])
    for (utterance, path), fact in zip(readable, facts, strict=True):
        yield utterance, path, fact


def _check_duplicate_rows(
    audio_paths: Iterable[tuple[Utterance, Path]],
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
                _advise_duplicate(first, others) or _advise_repeat(first, other),
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


def _advise_repeat(first: Utterance, other: Utterance) -> str:
    """Return what to do about two rows of one file; with two texts they may be parts of it."""
    keep = "keep one of the two rows"
    if canonical(first.text) == canonical(other.text):
        return keep
    return f"{keep}. Where both are parts of it, give each its offset and duration; {CUT_PARTS}"


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


def _check_shared_sound(rows: Sequence[CheckedRow]) -> Iterable[ManifestFinding]:
    """Report each row whose span of a recording overlaps with another row's."""
    by_content: dict[str, CheckedRow] = {}
    for row in rows:
        by_content.setdefault(row.audio_sha256, row)
    spans = [(sha256, span) for sha256, row in by_content.items() for span in row.spans]
    told: set[int] = set()
    for one, other, seconds in find_sharing(spans):
        first, second = sorted(
            (by_content[one].utterance, by_content[other].utterance), key=lambda row: row.row
        )
        if second.row in told:
            continue
        told.add(second.row)
        yield findings.warning(
            "shared-sound",
            second.row,
            second.audio_filepath,
            f"has {seconds:.2f} s of sound in common with row {first.row}: their spans of one "
            "source recording overlap",
            "correct start and end in the source and import it again, or remove one of the two "
            "rows; until then both stay on one side of the split",
        )
