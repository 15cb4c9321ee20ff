"""The runtime of commands that start a job themselves."""

from __future__ import annotations

import pytest

from asr_flywheel.chosen_runtime import choose_runtime
from flows.config_fields import RuntimeName
from tasks.common.errors import InputError


def test_a_cluster_is_refused_where_no_job_of_it_is_started() -> None:
    """`sheet` and `import --cut` do not decode here what was meant for a node."""
    with pytest.raises(InputError, match=r"--runtime slurm: .* with --runtime local"):
        choose_runtime(RuntimeName.SLURM, "image", trust=False)
