"""The folder in which an import works, and the journal by which it is resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.importers.staging import open_staging, write_entry

if TYPE_CHECKING:
    from pathlib import Path


def test_two_imports_of_one_cycle_exclude_each_other(tmp_path: Path) -> None:
    """The second is refused, and the first goes on."""
    with (
        open_staging(tmp_path / "cycle1"),
        pytest.raises(InputError, match="another import writes"),
        open_staging(tmp_path / "cycle1"),
    ):
        pass
    with open_staging(tmp_path / "cycle1") as place:
        assert place.content.is_dir()


def test_an_import_that_is_stopped_twice_loses_nothing(tmp_path: Path) -> None:
    """What the first had done and the second had not reached is still known to the third."""
    with open_staging(tmp_path / "cycle1") as place:
        for count in (3, 1):
            place.take_old_journal()
            with place.journal.open("w", encoding="utf-8") as journal:
                for number in range(count):
                    write_entry(journal, {"number": number, "import": count})
        with place.journal.open("a", encoding="utf-8") as journal:
            journal.write('{"number": 1, "im')
        place.take_old_journal()
        assert [(found["number"], found["import"]) for found in place.old_entries()] == [
            (0, 1),
            (1, 3),
            (2, 3),
        ]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file in the place of a folder."""
    (tmp_path / "clinic").write_text("")
    with (
        pytest.raises(InputError, match=r"cannot be written.*Fix: choose another place"),
        open_staging(tmp_path / "clinic" / "cycle1"),
    ):
        pass
