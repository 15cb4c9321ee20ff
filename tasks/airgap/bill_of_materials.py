"""The bill of materials of a bundle, in CycloneDX 1.6: what is in it, from where, by which hash.

A hospital's security office reads it into its own scanner before anything is carried inside.
"""

from __future__ import annotations

import json
import zipfile
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks.airgap.bundle_manifest import BundleContent, ContentKind
from tasks.airgap.wheel_resolution import PROJECT
from tasks.common.errors import InputError
from tasks.common.installation import install_fix
from tasks.models import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from email.message import Message
    from pathlib import Path

EXTRA_FIX = f"Fix: {install_fix('bundle')}."
# Longer is a licence's text, which some packages write there.
_LONGEST_LICENCE = 100


def check_library() -> None:
    """Refuse to begin where the library of the format is not installed.

    Raises:
        InputError: names the extra.
    """
    try:
        import cyclonedx.output.json  # noqa: F401, PLC0415 - of an extra
    except ImportError as absent:
        raise InputError(f"cyclonedx-python-lib: not installed. {EXTRA_FIX}") from absent


def write_bill(
    contents: Sequence[BundleContent],
    files: Path,
    markers: Mapping[str, str],
    target: Path,
) -> None:
    """Write the bill of these contents.

    Args:
        contents: wheels, bases and images.
        files: the folder with their files.
        markers: values of the environment markers on the host: which dependencies hold there.
        target: the JSON document.
    """
    from cyclonedx.model.bom import Bom  # noqa: PLC0415 - of an extra
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415 - likewise

    bom = Bom()
    requirements: dict[str, list[str]] = {}
    components: dict[str, Any] = {}
    for content in contents:
        if content.kind is ContentKind.WHEEL:
            metadata = _read_metadata(files / content.name)
            name = str(canonicalize_name(str(metadata["Name"])))
            requirements[name] = [str(text) for text in metadata.get_all("Requires-Dist") or ()]
            components[name] = _package(content, metadata)
        elif content.kind is ContentKind.BASE:
            components[content.name] = _model(content)
        elif content.kind is ContentKind.IMAGE:
            components[content.name] = _image(content)
    bom.metadata.component = components.pop(PROJECT, None)
    for component in components.values():
        bom.components.add(component)
    if bom.metadata.component is not None:
        components[PROJECT] = bom.metadata.component
    for name, texts in requirements.items():
        needed = {_named(text, markers) for text in texts} & components.keys()
        if name == PROJECT:  # what its extras and the bundle bring belongs to it
            needed |= components.keys() - requirements.keys()
        bom.register_dependency(
            components[name], [components[one] for one in sorted(needed - {name})]
        )
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    target.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _named(text: str, markers: Mapping[str, str]) -> str:
    """Return the package of a requirement that holds on the host, with any extra; else ""."""
    requirement = Requirement(text)
    marker = requirement.marker
    is_extra = marker is not None and "extra" in str(marker)
    holds = marker is None or is_extra or marker.evaluate({**markers, "extra": ""})
    return canonicalize_name(requirement.name) if holds else ""


def _read_metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [
            path
            for path in archive.namelist()
            if path.endswith(".dist-info/METADATA") and path.count("/") == 1
        ]
        return message_from_bytes(archive.read(name))


def _hashes(content: BundleContent) -> list[Any]:
    from cyclonedx.model import HashAlgorithm, HashType  # noqa: PLC0415 - of an extra

    return [HashType(alg=HashAlgorithm.SHA_256, content=content.sha256)]


def _package(content: BundleContent, metadata: Message) -> Any:  # noqa: ANN401 - of an extra
    from cyclonedx.contrib.license.factories import LicenseFactory  # noqa: PLC0415 - of an extra
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415 - likewise
    from packageurl import PackageURL  # noqa: PLC0415 - likewise

    name, version = canonicalize_name(str(metadata["Name"])), str(metadata["Version"])
    expression = str(metadata["License-Expression"] or "")
    licence = expression or str(metadata["License"] or "").strip()
    is_short = bool(licence) and len(licence) <= _LONGEST_LICENCE and "\n" not in licence
    factory = LicenseFactory()
    purl = PackageURL("pypi", name=name, version=version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.APPLICATION if name == PROJECT else ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=_hashes(content),
        licenses=[factory.make_from_string(licence)] if is_short else [],
    )


def _model(content: BundleContent) -> Any:  # noqa: ANN401 - of an extra
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415 - of an extra
    from cyclonedx.model.license import DisjunctiveLicense  # noqa: PLC0415 - likewise

    base = catalog.in_catalogue(content.details["base"])
    return Component(
        name=content.details["base"],
        version=content.details["revision"] or content.sha256[:12],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{content.name}@{content.sha256[:12]}",
        hashes=_hashes(content),
        licenses=[DisjunctiveLicense(name=base.licence)] if base and base.licence else [],
        description="" if base is None else base.source,
    )


def _image(content: BundleContent) -> Any:  # noqa: ANN401 - of an extra
    from cyclonedx.model import Property  # noqa: PLC0415 - of an extra
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415 - likewise

    details = content.details
    return Component(
        name=details["image"],
        version=details["id"],
        type=ComponentType.CONTAINER,
        bom_ref=f"image:{content.name}@{content.sha256[:12]}",
        # Of its file in the bundle; the engine's own id is its version.
        hashes=_hashes(content),
        properties=[Property(name="asr-flywheel:format", value=details["format"])],
    )
