"""The versions of the JSON files that this tool writes and reads again.

Each such file names its schema in its first key: ``"schema": "asr-flywheel-run/1"``. A version
rises when an older reader would misread the file; fields may be added without that. Files of 0.1
name none and are read as version 1.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tasks.common.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY = "schema"


class Schema(StrEnum):
    """The newest version of each kind of file; this version of the tool reads it and older ones."""

    RUN = "asr-flywheel-run/1"
    DECISION = "asr-flywheel-decision/1"
    LEADERBOARD = "asr-flywheel-leaderboard/1"
    TRAINING = "asr-flywheel-training/1"
    SERVING_PARITY = "asr-flywheel-serving-parity/1"
    RENTAL = "asr-flywheel-rental/1"
    LEASE = "asr-flywheel-lease/1"
    BOOST = "asr-flywheel-boost/1"
    REVIEW = "asr-flywheel-review/1"
    PURGED = "asr-flywheel-purged/1"
    EDGE_BUNDLE = "asr-flywheel-edge-bundle/1"
    AUDIT_HEAD = "asr-flywheel-audit-head/1"
    PURGE_JOURNAL = "asr-flywheel-purge-journal/1"
    INBOX = "asr-flywheel-inbox/1"
    IMPORT = "asr-flywheel-import/1"
    EXPORT = "asr-flywheel-export/1"
    LABELLING = "asr-flywheel-labelling/1"
    COMBINATION = "asr-flywheel-combination/1"
    TRACKING = "asr-flywheel-tracking/1"

    def mark(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document with its schema as the first key."""
        return {KEY: self.value, **{name: document[name] for name in document if name != KEY}}

    def check(self, document: Mapping[str, Any], path: Path) -> None:
        """Refuse a document of another kind, or of a version that this tool does not know.

        Args:
            document: what was read; without a schema it is of 0.1.
            path: its file, for the message.

        Raises:
            InputError: it names another schema.
        """
        named = document.get(KEY, self.value)
        kind, _, version = str(named).rpartition("/")
        own_kind, _, own_version = self.value.rpartition("/")
        if kind == own_kind and version.isdecimal() and int(version) <= int(own_version):
            return
        raise InputError(
            f"{path}: its schema is {named!r}; this version of asr-flywheel reads {self.value!r} "
            "and older ones. Fix: upgrade asr-flywheel to the version that wrote the file."
        )
