"""Frequencies and counts in the strict view: "every 8 hours", "twice a day", "x 3"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.evaluation.spoken_numbers import read_ordinal
from tasks.evaluation.strict_table import ValueKind
from tasks.evaluation.value_items import COUNTS, Found, Item, frequency, unread
from tasks.evaluation.word_reader import WordReader

if TYPE_CHECKING:
    from collections.abc import Sequence

_PERIODS = {
    "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year", "nightly": "night",
    "hourly": "hour", "annually": "year",
}  # fmt: skip
COUNTED_PERIODS = frozenset(("day", "week", "month", "year", "night"))


class FrequencyRules(WordReader):
    """The rules that read how often."""

    def every(self, place: int) -> Found | None:
        """Read "every 8 hours", "q8h", "q 4-6 hours"."""
        word = self.words[place]
        if word not in ("every", "each", "q"):
            return None
        return self._every_other(place) or self._every_so_many(place)

    def _every_so_many(self, place: int) -> Found | None:
        word = self.words[place]
        number = self._range(place + 1)
        if number is None:
            return None
        text, end, single = number
        unit = self._time_unit(end)
        if unit is None:
            if word != "q":
                return None
            return [unread(f"q{text}")], end
        name, end = unit
        if single == 1:
            return self._period_item(name), end
        return [frequency(f"every {text} {name}")], end

    def _every_other(self, place: int) -> Found | None:
        """Read "every other Monday" and "every third week"; "each other" is no frequency."""
        if self.words[place] != "every" or place + 1 >= self.count:
            return None
        other = self.words[place + 1] == "other"
        count, end = (2, place + 2) if other else read_ordinal(self.words, place + 1) or (0, place)
        if not count or end >= self.count:
            return None
        unit = self._time_unit(end)
        if unit is not None:
            return [frequency(f"every {count} {unit[0]}")], unit[1]
        entry, _ = self.table.phrases.match(self.words, end) or (None, end)
        is_day = entry is not None and entry.kind is ValueKind.FREQUENCY
        if other or is_day:
            return [frequency(f"every {count}")], end
        return None

    def _period_item(self, name: str) -> Sequence[Item]:
        if name in COUNTED_PERIODS:
            return [frequency(f"1 per {name}")]
        return [frequency(f"every 1 {name}")]

    def counted(self, place: int) -> Found | None:  # noqa: PLR0911 - one return a form
        """Read "twice a day", "3 times daily", "3x", "x 3", "8 hourly"."""
        word = self.words[place]
        if word in COUNTS:
            return self._times(str(COUNTS[word]), place + 1)
        if word in ("x", "times"):
            return self._counted_after(place)
        number = self._range(place)
        if number is None:
            return None
        text, end, _ = number
        after = self.word(end)
        if after == "hourly":
            return [frequency(f"every {text} hour")], end + 1
        if after in ("times", "time"):
            return self._times(text, end + 1)
        # "2 x 3 cm" and "2x3 cm" are no counts, "2x 25 mg" is one.
        is_count = self.is_joined(end) and not self.is_joined(end + 1)
        if after == "x" and (is_count or self._read_number(end + 1) is None):
            return self._times(text, end + 1)
        return None

    def _counted_after(self, place: int) -> Found | None:
        """Read "x 3"; of "x 3 days" the number is read as a length of time."""
        number = self._range(place + 1)
        if number is None:
            return None
        text, end, _ = number
        if self.runs_on(end) or self._match_unit(end) is not None:
            return [], place + 1
        return self._times(text, end)

    def _times(self, count: str, end: int) -> Found:
        """Return a count with the period that follows it, if one does."""
        period = self._period(end)
        if period is not None:
            return [frequency(f"{count} per {period[0]}")], period[1]
        if count == "1" and self.word(end) in ("every", "each", "q", "at", "in", "on"):
            # "once every 8 hours": the interval says it.
            items, stop = self.items_at(end)
            if items and items[0].kind is ValueKind.FREQUENCY:
                return items, stop
        return [frequency(f"{count} times")], end

    def _period(self, place: int) -> tuple[str, int] | None:
        """Return the period of "a day", "per week", "daily"."""
        word = self.word(place)
        if word in _PERIODS:
            return _PERIODS[word], place + 1
        if word in ("a", "an", "per", "each", "every", "/", "in"):
            place += 1
            if word == "in" and self.word(place) in ("a", "one", "the"):
                place += 1
        elif word not in ("day", "week", "d"):
            return None
        if place >= self.count:
            return None
        unit = self._time_unit(place)
        if unit is None or (word == "in" and unit[0] not in COUNTED_PERIODS):
            return None
        return unit

    def _daily(self, place: int) -> Found:
        """Return the frequency of "two tablets a day" and "40 mg/day"."""
        if self.word(place) in ("a", "an", "per", "/"):
            unit = self._time_unit(place + 1)
            if unit is not None and unit[0] in COUNTED_PERIODS:
                return [frequency(f"1 per {unit[0]}")], unit[1]
        return [], place
