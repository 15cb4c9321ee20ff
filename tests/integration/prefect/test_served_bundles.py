"""validate-serving on a site: bundles, and the ward server that serves one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prefect.blocks.system import Secret

from tasks.common import atomic_files
from tests.support import prefect_site, secret_search, served_cycles, ward_threads

if TYPE_CHECKING:
    from pathlib import Path

    from asr_flywheel.site.local_site import Site

pytestmark = pytest.mark.needs("edge")
TOKEN = "planted-token-of-a-ward-0123456789"  # noqa: S105 - planted
DEPLOYMENT = "validate-serving/validate-serving"


def test_a_bundle_and_its_server_write_what_was_measured(site: Site, tmp_path: Path) -> None:
    """By the deployment, with the token in a block; texts, report and artifact are there."""
    cycle, bundle = served_cycles.make(tmp_path)
    with prefect_site.speaking_to(site):
        Secret(value=TOKEN).save("ward-token", overwrite=True)
    with ward_threads.serving(bundle, token=TOKEN) as address:
        config = {
            "cycle": str(cycle),
            "model": "embedded",
            "bundles": [str(bundle)],
            "server": address,
            "api_key_secret": "ward-token",
        }
        run = prefect_site.launch(site, config, DEPLOYMENT)
        prefect_site.ends(site, run, "Completed")
    report = atomic_files.read_json(cycle / "serving_parity_edge.json")
    assert [(one["name"], one["verdict"]) for one in report["bundles"]] == [
        ("other onnx-asr fp32", "exact"),
        ("other onnx-asr fp32 server", "exact"),
    ]
    pairs = [(one["before"], one["after"]) for one in report["served_verdict"]["comparisons"]]
    assert ("other onnx-asr fp32", "other onnx-asr fp32 server") in pairs
    written = (cycle / "served_other_onnx-asr_fp32_server_hyps.jsonl").read_bytes()
    assert written == (cycle / "served_other_onnx-asr_fp32_hyps.jsonl").read_bytes()
    artifacts = prefect_site.call(site, "POST", "artifacts/latest/filter")
    (told,) = [one for one in artifacts if one["key"].endswith("serving-parity-edge")]
    assert "## What is served" in told["data"]
    prefect_site.says(site, run, "8 of 8 texts to the letter")
    assert secret_search.files_with(TOKEN, cycle, bundle, site.folder) == []
