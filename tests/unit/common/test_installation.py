"""What messages say to install: never this project's name from a public index."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import tasks
from tasks.common.installation import install_fix

ROOT = Path(tasks.__file__).parent.parent


def test_an_extra_is_installed_from_the_checkout_into_this_environment() -> None:
    """The interpreter is named, since `pip` may be another one's."""
    assert (
        install_fix("edge")
        == f"{sys.executable} -m pip install '.[edge]' in this project's checkout"
    )
    assert "'.[nemo]' -c constraints.txt in" in install_fix("nemo", pinned=True)


def test_no_page_and_no_message_installs_this_project_from_an_index() -> None:
    """The name is not registered there, and anybody could."""
    by_name = re.compile(r"install\s+[\"'\s]*clinical-asr-flywheel")
    paths = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for package in ("asr_flywheel", "blocks", "flows", "tasks", "deployments"):
        paths += [path for path in (ROOT / package).rglob("*.*") if path.suffix in {".py", ".md"}]
    assert len(paths) > 400
    assert [str(path) for path in paths if by_name.search(path.read_text("utf-8"))] == []


def test_every_extra_that_is_named_is_there() -> None:
    """A fix with another name would install nothing."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    named = set()
    for path in (ROOT / "tasks").rglob("*.py"):
        named |= set(re.findall(r"install_fix\([\"'](\w+)[\"']", path.read_text("utf-8")))
    assert named >= {"nemo", "edge", "import", "riva", "vad", "bundle", "demo"}
    assert all(re.search(rf"^{name} = \[", project, re.MULTILINE) for name in named)
