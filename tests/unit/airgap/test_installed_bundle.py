"""An installation from a bundle: what is missing or changed is found, and its bases are."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from tasks.airgap import bundle_checks, installed_bundle
from tasks.airgap.bundle_manifest import BundleLayout
from tasks.airgap.installed_bundle import InstalledBase, InstalledBundle, InstalledImage
from tasks.common.errors import InputError
from tasks.common.installation import RECORD_NAME, find_bundle_root
from tasks.models import catalog, hub_cache
from tests.support import offline_bundles

if TYPE_CHECKING:
    from pathlib import Path


def _row(name: str, text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"{name},sha256={digest.rstrip('=')},{len(text)}\n"


@pytest.fixture
def installed(tmp_path: Path) -> InstalledBundle:
    """A package with a program, as `pip install --target` leaves it, and two bases."""
    part = tmp_path / "part-1"
    (part / "bin").mkdir(parents=True)
    (part / "one-1.0.dist-info").mkdir()
    (part / "one.py").write_text("VALUE = 1\n")
    (part / "bin" / "one").write_text("#!/bin/sh\n")
    (part / "one-1.0.dist-info" / "RECORD").write_text(
        _row("one.py", "VALUE = 1\n")
        + _row("../../bin/one", "#!/bin/sh\n")
        + "one-1.0.dist-info/RECORD,,\n"
    )
    folder = "models--" + offline_bundles.BASE.replace("/", "--")
    snapshot = tmp_path / "bases" / folder / "snapshots" / offline_bundles.REVISION
    snapshot.mkdir(parents=True)
    (tmp_path / "bases" / folder / "refs").mkdir()
    (tmp_path / "bases" / folder / "refs" / "main").write_text(offline_bundles.REVISION)
    (snapshot / "parakeet-ctc-0.6b.nemo").write_bytes(b"weights")
    (tmp_path / "bases" / "ward.nemo").write_bytes(b"own")
    digest = hashlib.sha256(b"weights").hexdigest()
    path = str((snapshot / "parakeet-ctc-0.6b.nemo").relative_to(tmp_path))
    record = InstalledBundle(
        tmp_path,
        "ab" * 32,
        offline_bundles.about(BundleLayout.BESIDE, "3.12"),
        "2026-11-29T12:00:00+00:00",
        installed_bundle.hash_records(tmp_path),
        (1,),
        2,
        (InstalledBase(offline_bundles.BASE, offline_bundles.REVISION, path, 7, digest),),
        (InstalledImage("nemo:1", "squashfs", "", 1, digest, ""),),
    )
    installed_bundle.write_record(record)
    return record


def test_the_record_is_read_as_it_was_written(installed: InstalledBundle) -> None:
    """With its layout, bases and images."""
    assert installed_bundle.read_record(installed.root) == installed
    (installed.root / RECORD_NAME).write_text("{}")
    with pytest.raises(InputError, match="not the record of an installation"):
        installed_bundle.read_record(installed.root)


@pytest.mark.parametrize("full", [False, True])
def test_an_installation_that_nobody_touched_is_intact(
    installed: InstalledBundle, *, full: bool
) -> None:
    """The line of a program leads where --target has moved it."""
    assert installed_bundle.find_damage(installed, full=full) == []


def test_each_damage_is_found(installed: InstalledBundle) -> None:
    """A file of the same size by its content, others by their size; and a package's RECORD."""
    module, program = installed.root / "part-1" / "one.py", installed.root / "part-1/bin/one"
    module.write_text("VALUE = 2\n")
    assert installed_bundle.find_damage(installed, full=False) == []
    (damage,) = installed_bundle.find_damage(installed, full=True)
    assert (damage.path, damage.reason) == (str(module), "was changed")
    module.write_text("VALUE = 1\n")
    program.unlink()
    (damage,) = installed_bundle.find_damage(installed, full=False)
    assert (damage.path.endswith("bin/one"), damage.reason) == (True, "is missing")
    program.write_text("#!/bin/sh\n")
    base = installed.root / installed.bases[0].path
    base.write_bytes(b"weighty")
    (damage,) = installed_bundle.find_damage(installed, full=True)
    assert (damage.path, damage.reason) == (str(base), "was changed")
    base.write_bytes(b"weights")
    record = installed.root / "part-1/one-1.0.dist-info/RECORD"
    record.write_text("")
    (damage,) = installed_bundle.find_damage(installed, full=False)
    assert (damage.path, damage.reason) == (str(record), "was changed")


def test_parts_that_are_still_to_come_are_told(installed: InstalledBundle) -> None:
    """An installation may be intact and not complete."""
    state = bundle_checks.examine(installed.root, full=False)
    assert state.intact
    assert state.as_dict()["missing_parts"] == [2]
    assert "part-2: not installed" in state.lines(5)


def test_the_catalogue_finds_the_bundles_bases(
    installed: InstalledBundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A base of the catalogue by its name, with its revision; one of the user's own by its file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (hub_cache, catalog):
        monkeypatch.setattr(module, "find_bundle_root", lambda: installed.root)
    pinned = catalog.resolve_pinned(offline_bundles.BASE)
    assert pinned.revision == offline_bundles.REVISION
    assert pinned.sha256 == installed.bases[0].sha256
    assert catalog.resolve_pinned("ward.nemo").path == installed.root / "bases" / "ward.nemo"
    with pytest.raises(InputError, match="neither a file nor a known base"):
        catalog.resolve_pinned("../bases/ward.nemo")


def test_code_finds_the_installation_that_it_is_of(tmp_path: Path) -> None:
    """In an environment, or in a part's folder; elsewhere there is none."""
    (tmp_path / RECORD_NAME).write_text("{}")
    inside = tmp_path / "venv/lib/python3.11/site-packages/tasks/common/installation.py"
    assert find_bundle_root(inside) == tmp_path
    assert find_bundle_root(tmp_path / "part-2/tasks/common/installation.py") == tmp_path
    assert find_bundle_root(tmp_path.parent / "part-2/tasks/common/installation.py") is None


def test_an_interrupted_installation_is_called_one(tmp_path: Path) -> None:
    """Nothing points to it; the fix is to install once more."""
    (tmp_path / "releases" / "ab-1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"an interrupted installation.* Fix: install the bundle"):
        bundle_checks.examine(tmp_path, full=True)
    with pytest.raises(InputError, match="this environment is not from a bundle"):
        bundle_checks.examine(None, full=True)
