"""A transcription in shards by the real decoder, on a site of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support import prefect_site
from tests.support.site_shards_cases import lose_a_shard

if TYPE_CHECKING:
    from pathlib import Path


def test_shards_that_nemo_decodes_make_the_file_of_one_process(tmp_path: Path) -> None:
    """The same story with the real decoder, on a site of its own."""
    with prefect_site.running(tmp_path) as site:
        lose_a_shard(site, tmp_path, dict(os.environ))
