"""The bill of materials: valid, complete, and with the hashes of the bundle."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from pydantic import HttpUrl

from tasks.airgap.bill_of_materials import write_bill
from tasks.airgap.bundle_manifest import ContentKind
from tasks.airgap.bundle_writing import describe
from tasks.airgap.wheel_resolution import WheelTarget
from tests.support import offline_bundles

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@pytest.fixture
def bill(tmp_path: Path) -> dict[str, Any]:
    """The bill of three packages, a base and an image."""
    requires = ["numpy>=2", "speech; extra == 'fast'", "absent", "numpy; python_version < '3'"]
    offline_bundles.write_wheel(tmp_path, "clinical_asr_flywheel", requires, licence="Apache-2.0")
    offline_bundles.write_wheel(tmp_path, "numpy", licence="BSD-3-Clause AND 0BSD")
    offline_bundles.write_wheel(tmp_path, "speech", licence="A licence of its own " * 20)
    (tmp_path / "parakeet-ctc-0.6b.nemo").write_bytes(b"weights")
    (tmp_path / "nemo.tar").write_bytes(b"layers")
    contents = offline_bundles.describe_all(tmp_path)
    details = {"image": "nvcr.io/nvidia/nemo:25.11.01", "format": "docker", "id": "sha256:1"}
    contents.append(describe(tmp_path / "nemo.tar", ContentKind.IMAGE, details))
    target = tmp_path / "bom.cdx.json"
    write_bill(contents, tmp_path, WheelTarget("3.12").markers(), target)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(target.read_text()) is None
    # The validator would check addresses too with an extra of jsonschema, by which every import of
    # Prefect takes a third longer.
    addresses = re.findall(r'"(\w+://.*?)"', target.read_text())
    hosts = {HttpUrl(address).host for address in addresses}
    assert hosts == {"cyclonedx.org", "huggingface.co"}
    found: dict[str, Any] = json.loads(target.read_text())
    found["hashes"] = {content.name: content.sha256 for content in contents}
    return found


def test_every_file_is_a_component_with_its_hash(bill: dict[str, Any]) -> None:
    """Packages as libraries, the base as a model with its licence, the image as a container."""
    components = {one["name"]: one for one in bill["components"]}
    assert bill["metadata"]["component"]["name"] == "clinical-asr-flywheel"
    assert {name: one["type"] for name, one in components.items()} == {
        "numpy": "library",
        "speech": "library",
        offline_bundles.BASE: "machine-learning-model",
        "nvcr.io/nvidia/nemo:25.11.01": "container",
    }
    assert components["numpy"]["purl"] == "pkg:pypi/numpy@1.0"
    assert components["numpy"]["licenses"] == [{"expression": "BSD-3-Clause AND 0BSD"}]
    assert "licenses" not in components["speech"]
    base = components[offline_bundles.BASE]
    assert base["version"] == offline_bundles.REVISION
    assert base["licenses"] == [{"license": {"name": "CC-BY-4.0"}}]
    written = {
        one["hashes"][0]["content"] for one in [*components.values(), bill["metadata"]["component"]]
    }
    assert written == set(bill["hashes"].values())


def test_dependencies_are_those_that_the_bundle_holds(bill: dict[str, Any]) -> None:
    """With those of extras; a requirement that no wheel meets is no component."""
    by_ref = {one["bom-ref"]: one["name"] for one in bill["components"]}
    (root,) = [
        one["dependsOn"]
        for one in bill["dependencies"]
        if one["ref"] == bill["metadata"]["component"]["bom-ref"]
    ]
    assert {by_ref[ref] for ref in root} == set(by_ref.values())
