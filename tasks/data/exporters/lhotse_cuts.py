"""Write Lhotse cuts, by lhotse itself: cuts.jsonl.gz with one supervision a cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.common.errors import InputError
from tasks.common.installation import install_fix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.data.exporters.exported_row import ExportedRow


def write(folder: Path, _: Path, rows: Sequence[ExportedRow]) -> None:
    """Write the cuts; clinical fields are the supervision's custom fields.

    Raises:
        InputError: lhotse is not installed.
    """
    try:
        import lhotse  # noqa: PLC0415 - an optional package
        from lhotse.audio import AudioSource  # noqa: PLC0415 - likewise
    except ImportError as absent:
        raise InputError(
            "Writing Lhotse cuts needs the package lhotse, which is not installed. "
            f"Fix: {install_fix('import')}."
        ) from absent
    with lhotse.CutSet.open_writer(folder / "cuts.jsonl.gz", overwrite=True) as writer:
        for row in rows:
            name = f"{row.number:06d}"
            recording = lhotse.Recording(
                id=name,
                # Relative to the export, which may be moved.
                sources=[AudioSource(type="file", channels=[0], source=row.audio)],
                sampling_rate=row.rate,
                num_samples=row.frames,
                duration=row.seconds,
            )
            supervision = lhotse.SupervisionSegment(
                id=name,
                recording_id=name,
                start=0.0,
                duration=row.seconds,
                text=row.utterance.text,
                speaker=row.utterance.voice_id,
                custom=row.fields(),
            )
            cut = recording.to_cut()
            cut.id = name
            cut.supervisions = [supervision]
            writer.write(cut)
