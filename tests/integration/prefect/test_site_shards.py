"""A transcription in shards on a real site: one worker's run is killed, and nothing is lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support import stub_programs
from tests.support.site_shards_cases import lose_a_shard

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site


def test_a_killed_shard_costs_its_own_rows_and_no_other(site: Site, tmp_path: Path) -> None:
    """The next run decodes only those, and the file has the bytes that one process writes.

    An evaluation from the form has its cycle decoded in shards too.
    """
    lose_a_shard(site, tmp_path, {**os.environ, **stub_programs.ENVIRONMENT})
