"""The check of the documentation finds what it is for, and only that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lint import documentation

if TYPE_CHECKING:
    from pathlib import Path

WORDS = documentation.read_words()
LONG = " ".join(["word"] * 26)


def faults(markdown: str) -> list[str]:
    """The messages for a page, by the project's own word list."""
    return [message for _, message in documentation.check_prose(markdown, WORDS)]


@pytest.mark.parametrize(
    "page",
    [
        f"{LONG}.",
        f"- {LONG}",
        f"| a | {LONG} |",
        f"{' '.join(['word'] * 13)}\n{' '.join(['word'] * 13)}",
    ],
)
def test_a_sentence_of_26_words_is_found_in_text_list_and_table(page: str) -> None:
    """Also where it goes over two lines."""
    (message,) = faults(page)
    assert message.startswith("26 words, at most 25")


@pytest.mark.parametrize(
    "page",
    [
        f"{' '.join(['word'] * 25)}.",
        f"{' '.join(['word'] * 20)}. {' '.join(['Word'] * 20)}.",
        f"{' '.join(['word'] * 20)}\n\n{' '.join(['word'] * 20)}",
        f"- {' '.join(['word'] * 20)}\n- {' '.join(['word'] * 20)}",
        f"```\n{LONG}\n```",
        f"Run:\n\n    {LONG}\n\nThen stop.",
        f"`{LONG}` is one word.",
        f"[text](https://example.org/{LONG.replace(' ', '/')})",
    ],
)
def test_short_sentences_and_code_pass(page: str) -> None:
    """What separates sentences is a stop, a blank line, an item or a cell."""
    assert faults(page) == []


def test_an_abbreviation_does_not_end_a_sentence() -> None:
    """Else a long sentence would pass as two."""
    half = " ".join(["word"] * 14)
    assert faults(f"{half}, e.g. NeMo, {half}.")


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ("The model forgets English.", "forgets"),
        ("We go down the LADDER.", "LADDER"),
        ("The host is given back.", "given back"),
        ("The host is\ngiven back.", "given back"),
        ("As the model was told.", "told"),
    ],
)
def test_a_word_of_the_list_is_found_with_the_better_one(page: str, word: str) -> None:
    """In any casing, and where it goes over two lines."""
    (message,) = faults(page)
    assert message.startswith(f"{word!r}: write ")


@pytest.mark.parametrize(
    "page", ["Run `rent --forget LEASE`.", "a shelter", "They tell apart two."]
)
def test_code_parts_of_words_and_exceptions_pass(page: str) -> None:
    """A command's option may be a word of the list."""
    assert faults(page) == []


@pytest.mark.parametrize("figure", ["95 % of", "1.50 $ an hour", "10 M rows", "10 k rows"])
def test_a_figure_has_its_unit_without_a_space(figure: str) -> None:
    """95%, $1.50 and 10M."""
    assert len(faults(figure)) == 1
    assert faults("95% of 10M rows at $1.50/h, in 5 MB and 10 minutes") == []


def project(root: Path, readme: str) -> Path:
    """A project with one page."""
    (root / "docs" / "log").mkdir(parents=True)
    (root / "tasks").mkdir()
    (root / "tasks" / "gate.py").touch()
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        (root / name).write_text("# A page\n")
    (root / "README.md").write_text(readme)
    return root


def test_links_and_paths_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    """With file and line; addresses, anchors and folders that are there pass."""
    page = "[a](docs/log) [b](https://example.org) [c](#top)\n[d\nd](docs/log/no.md)\n"
    page += "`tasks/gate.py` `tasks/no.py`\n"
    assert documentation.check(project(tmp_path, page), WORDS) == [
        "README.md:4: tasks/no.py: there is no such path in the project",
        f"README.md:2: link to docs/log/no.md: there is no such file in {tmp_path.name}",
    ]


def test_the_log_keeps_its_words_but_not_its_dead_links(tmp_path: Path) -> None:
    """An entry is not rewritten."""
    root = project(tmp_path, "# A page\n")
    entry = root / "docs" / "log" / "2026-11-22-entry.md"
    entry.write_text(f"The model forgets: {LONG}.\n")
    assert documentation.check(root, WORDS) == []
    entry.write_text("[gone](gone.md)\n")
    assert len(documentation.check(root, WORDS)) == 1


def test_a_page_that_code_names_must_be_there(tmp_path: Path) -> None:
    """With file and line; a page that was moved leaves no comment behind."""
    root = project(tmp_path, "# A page\n")
    page = "docs/" + "moved.md"
    (root / "tasks" / "gate.py").write_text(f"\n# {page} says why\n")
    assert documentation.check(root, WORDS) == [f"tasks/gate.py:2: {page}: there is no such page"]
    (root / page).write_text("# Moved\n")
    assert documentation.check(root, WORDS) == []


def test_a_line_of_the_word_list_without_a_better_word_is_an_error(tmp_path: Path) -> None:
    """It names the file and the line."""
    words = tmp_path / "words.txt"
    words.write_text("# comment\nladder\n")
    with pytest.raises(ValueError, match=r"words\.txt:2: 'ladder'. Fix: write PATTERN"):
        documentation.read_words(words)
