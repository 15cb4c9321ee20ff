"""An image in an offline bundle: saved by this engine, loaded into one, or written as a squashfs.

The image is a tiny one, of one program; tests/nightly/test_air_gap.py has the stand-in.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.runtimes import image_archives
from tests.support import docker_daemon, needs
from tests.support.image_bundles import bundle_image, check, ignore, install

MIB = 1 << 20


@pytest.mark.needs("dockerd")
def test_an_image_is_loaded_from_its_pieces_and_missed_when_it_is_gone(tmp_path: Path) -> None:
    """Without an engine the rest is installed, and the image when the command is repeated."""
    engine = docker_daemon.client()
    image = docker_daemon.tiny_image(engine)
    parts = bundle_image(image, tmp_path, MIB)
    assert len(parts) > 2
    number = engine.images.get(image).id
    engine.images.remove(image, force=True)
    target, program = tmp_path / "opt", str(Path(str(needs.find("docker"))).parent)
    nowhere = tmp_path / "bin"
    nowhere.mkdir()
    for name in ("sh", "dirname", "grep", "sha256sum"):
        (nowhere / name).symlink_to(str(needs.find(name)))
    assert "not loaded" in install(target, parts, str(nowhere))
    assert check(target)["absent_images"] == [image]
    said = install(target, parts, f"{program}:{nowhere}")
    assert "intact" in said
    assert "loaded as" in said
    assert engine.images.get(image).id == number
    state = check(target)
    assert (state["ok"], state["absent_images"]) == (True, [])
    engine.images.remove(image, force=True)
    assert check(target)["absent_images"] == [image]


@pytest.mark.needs("mksquashfs")
def test_a_squashfs_has_the_images_files_and_its_variables(tmp_path: Path) -> None:
    """Where charliecloud reads them; nothing of the container that it came from is left."""
    engine = docker_daemon.client()
    container = engine.containers.create(docker_daemon.tiny_image(engine), ["true"])
    image = "asr-flywheel/tiny-with-variables:test"
    name, _, tag = image.partition(":")
    container.commit(name, tag, changes="ENV WORDS='two words' PATH=/bin")
    container.remove()
    before = len(engine.containers.list(all=True))
    target = tmp_path / "tiny.sqsh"
    assert image_archives.save_squashfs(image, target, ignore) == engine.images.get(image).id
    assert len(engine.containers.list(all=True)) == before
    engine.images.remove(image, force=True)
    root = tmp_path / "root"
    line = [str(needs.find("unsquashfs")), "-quiet", "-no-progress", "-dest", str(root)]
    subprocess.run([*line, str(target)], check=True, capture_output=True)
    assert (root / "bin/busybox").read_bytes() == needs.BUSYBOX.read_bytes()
    assert (root / "ch/environment").read_text() == "PATH=/bin\nWORDS=two words\n"
