"""Check the documentation: sentence length, words, figures' form, links and paths.

Pages that the code names must exist too.

Run as ``python -m lint.documentation`` from the project's root; ``make lint`` does. Code and quoted
output are not prose. Of CHANGELOG.md and docs/log only the links are checked.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parent.parent
WORDS = Path(__file__).with_name("words.txt")
LONGEST = 25
"""Words in a sentence."""

_CODE_WORD = "CODE"
_FENCE = re.compile(r"^\s*(```|~~~)")
_INLINE_CODE = re.compile(r"`[^`]+`")
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_TAG = re.compile(r"<[^>]+>")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
_RULE = re.compile(r"^\s*\|?[\s:|-]+\|?\s*$")
_END = re.compile(r"[.!?][)\]\"'*]*\s+(?=[\"'(\[*]*[A-Z0-9`])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|et al|vs|cf|St)\.\s")
_FIGURE = re.compile(r"\d (?:%|\$)|\d [kM]\b")
_PATH = re.compile(
    r"`((?:asr_flywheel|base_training|benchmarks|blocks|deployments|docs|flows|lint|tasks|tests)"
    r"/[\w./-]*(?:/|\w\.(?:py|sh|md|json|yaml|txt|css|html)))`"
)
_PAGE = re.compile(r"\bdocs/[\w-]+\.md\b")
_CODE = ("*.py", "*.sh", "*.yaml", "Makefile")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A block of prose: a paragraph, a list item, a heading or a table cell.

    Attributes:
        line: number of its first line, from 1.
        text: its words on one line, without markup; inline code is one word.
    """

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class BannedWord:
    """A pattern that the prose does not use, and what to write instead."""

    pattern: re.Pattern[str]
    better: str


def read_words(path: Path = WORDS) -> list[BannedWord]:
    """Read the word list.

    Raises:
        ValueError: a line is not ``PATTERN | BETTER``; it names the file and the line.
    """
    words = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        # Patterns hold "|" too, but not with a space on both sides.
        pattern, separator, better = line.partition(" | ")
        if not separator or not better.strip():
            raise ValueError(f"{path}:{number}: {line!r}. Fix: write PATTERN | BETTER.")
        words.append(BannedWord(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), better.strip()))
    return words


def paragraphs(markdown: str) -> Iterator[Paragraph]:
    """Yield the prose of a page in order, without code blocks."""
    gathered: list[str] = []
    start = 0
    fenced = indented = False
    lines = markdown.splitlines()
    for number, line in enumerate([*lines, ""], start=1):
        if _FENCE.match(line):
            fenced = not fenced
        after_blank = number == 1 or not lines[number - 2].strip()
        in_item = bool(gathered) and _ITEM.match(gathered[0]) is not None
        indented = line.startswith("    ") and (indented or (after_blank and not in_item))
        is_code = fenced or indented or _FENCE.match(line) is not None
        is_table = line.lstrip().startswith("|")
        breaks = is_code or is_table or not line.strip() or line.startswith("#")
        if gathered and (breaks or _ITEM.match(line)):
            yield Paragraph(start, _plain(" ".join(gathered)))
            gathered = []
        if is_code or not line.strip():
            continue
        if is_table:
            if not _RULE.match(line):
                yield from (Paragraph(number, _plain(cell)) for cell in _cells(line))
        elif line.startswith("#"):
            yield Paragraph(number, _plain(line.lstrip("# ")))
        else:
            start = start if gathered else number
            gathered.append(line.strip() if gathered else line)


def sentences(text: str) -> list[str]:
    """Split a paragraph into its sentences."""
    held = _ABBREVIATION.sub(lambda match: match.group().replace(". ", "._"), text)
    return [part.replace("._", ". ") for part in _END.split(held) if part.strip()]


def count_words(sentence: str) -> int:
    """Count the words: what holds a letter or a digit."""
    return sum(any(sign.isalnum() for sign in word) for word in sentence.split())


def check_prose(markdown: str, words: Sequence[BannedWord]) -> Iterator[tuple[int, str]]:
    """Yield the line and the message of each fault of a page's prose."""
    for paragraph in paragraphs(markdown):
        for sentence in sentences(paragraph.text):
            if (length := count_words(sentence)) > LONGEST:
                yield paragraph.line, f"{length} words, at most {LONGEST}: {sentence!r}"
        for word in words:
            for match in word.pattern.finditer(paragraph.text):
                yield paragraph.line, f"{match.group()!r}: write {word.better}"
        for match in _FIGURE.finditer(paragraph.text):
            yield paragraph.line, f"{match.group()!r}: write 95%, $1.50/h, 10M"


def check_links(page: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the message of each link that leads to no file."""
    text = page.read_text(encoding="utf-8")
    for link in _LINK.finditer(text):
        place, _, _ = link[2].partition("#")
        if place and "://" not in place and not (page.parent / place).exists():
            line = text.count("\n", 0, link.start()) + 1
            yield line, f"link to {link[2]}: there is no such file in {root.name}"


def check_paths(page: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the message of each path in backticks that is not in the project."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        for target in _PATH.findall(line):
            if not (root / target).exists():
                yield number, f"{target}: there is no such path in the project"


def check_pages_named(source: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the message of each page that code names and that is not there."""
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        for target in _PAGE.findall(line):
            if not (root / target).exists():
                yield number, f"{target}: there is no such page"


def check(root: Path, words: Sequence[BannedWord]) -> list[str]:
    """Check README, CONTRIBUTING and docs, and what code says of them; return a line a fault."""
    pages = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]
    log = [root / "CHANGELOG.md", *sorted((root / "docs" / "log").glob("*.md"))]
    found: list[str] = []

    def add(page: Path, faults: Iterable[tuple[int, str]]) -> None:
        found.extend(f"{page.relative_to(root)}:{line}: {message}" for line, message in faults)

    for page in pages:
        add(page, check_prose(page.read_text(encoding="utf-8"), words))
        add(page, check_paths(page, root))
    for page in [*pages, *log]:
        add(page, check_links(page, root))
    for source in _sources(root):
        add(source, check_pages_named(source, root))
    return found


def main() -> None:
    """Print each fault; exit with 1 if there is one."""
    found = check(ROOT, read_words())
    for line in found:
        print(line)
    if found:
        sys.exit(1)


def _sources(root: Path) -> list[Path]:
    """List the project's own code, without environments, caches and copies that a build left."""
    tops = [path for path in root.iterdir() if path.is_dir() and path.name != "build"]
    own = [path for path in tops if not path.name.startswith(".")]
    within = [path for folder in own for form in _CODE for path in folder.rglob(form)]
    return sorted([*within, *(path for form in _CODE for path in root.glob(form))])


def _cells(row: str) -> list[str]:
    return [cell for cell in re.split(r"(?<!\\)\|", row) if cell.strip()]


def _plain(markdown: str) -> str:
    text = _ITEM.sub("", markdown)
    text = _INLINE_CODE.sub(_CODE_WORD, _IMAGE.sub("", text))
    text = _LINK.sub(r"\1", text)
    return _TAG.sub("", text).replace("**", "").strip()


if __name__ == "__main__":
    main()
