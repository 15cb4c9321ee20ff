"""A .nemo from elsewhere: what could run code or leave its folder is refused unread."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest

from tasks.common.errors import InputError
from tasks.models import catalog, tar_members
from tasks.models.nemo_archive import check_safe, open_archive
from tests.support import factories
from tests.support.safe_models_cases import CALLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def zipped(
    names: dict[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b""
) -> bytes:
    """A zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.comment = comment
        for name, value in names.items():
            archive.writestr(name, value)
    return content.getvalue()


PLAIN = pickle.dumps(OrderedDict(a=[1, 2.5, "x", None, True]), protocol=2)
DANGERS: dict[str, tuple[bytes, str]] = {
    "a call": (factories.no_tensors(CALLS[2]), "names datetime.date"),
    "a call, protocol 4": (factories.no_tensors(CALLS[4]), "opcode"),
    "a call, protocol 0": (factories.no_tensors(CALLS[0]), "opcode"),
    "a call in the format of old": (PLAIN * 3 + CALLS[2] + PLAIN, "names datetime.date"),
    "no pickle": (b"weights" * 9, "no format"),
    "a bare pickle of protocol 0": (CALLS[0], "no format"),
    "half a pickle": (factories.no_tensors(PLAIN[:-3]), "do not read"),
    "two pickles": (factories.no_tensors(**{"x/data.pkl": PLAIN}), "exactly one"),
    "another pickle": (factories.no_tensors(**{"more.pkl": PLAIN}), "exactly one"),
    "a program": (factories.no_tensors(**{"code/x.py": b"1"}), "program"),
    "compressed": (zipped({"m/data.pkl": PLAIN}, zipfile.ZIP_DEFLATED), "compressed"),
    "a comment": (zipped({"m/data.pkl": PLAIN}, comment=b"!"), "not at its end"),
    "something behind": (factories.no_tensors() + b"behind" * 9, "not at its end"),
}


@pytest.mark.parametrize(("weights", "told"), DANGERS.values(), ids=list(DANGERS))
def test_weights_that_are_more_than_tensors_are_refused(
    tmp_path: Path, weights: bytes, told: str
) -> None:
    """With the file, what it holds and the way out; ``--trust`` takes it."""
    path = factories.write_nemo(tmp_path / "m.nemo", weights=weights)
    with pytest.raises(InputError, match=told) as refused:
        catalog.resolve(str(path))
    assert str(path) in str(refused.value)
    assert ": trust." in str(refused.value)
    assert catalog.resolve(str(path), trust=True) == path


def test_a_name_twice_in_the_weights_is_refused(tmp_path: Path) -> None:
    """Two readers might each take another one."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("m/data.pkl", PLAIN)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("m/data.pkl", CALLS[2])
    path = factories.write_nemo(tmp_path / "m.nemo", weights=content.getvalue())
    with pytest.raises(InputError, match="holds a name twice"):
        check_safe(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_weights_of_tensors_pass(tmp_path: Path, mode: str) -> None:
    """Both formats that torch writes, and the shipped base; in a compressed archive too."""
    check_safe(factories.write_nemo(tmp_path / "m.nemo", mode=mode))
    check_safe(factories.write_nemo(tmp_path / "old.nemo", weights=PLAIN * 5 + b"raw", mode=mode))
    check_safe(catalog.embedded_path())


def test_a_second_checkpoint_in_the_archive_is_read_too(tmp_path: Path) -> None:
    """Whatever is named like a pickle."""
    path = factories.write_tar(
        tmp_path / "m.nemo",
        {
            "model_config.yaml": b"a: 1",
            "model_weights.ckpt": factories.no_tensors(),
            "more.pt": factories.no_tensors(CALLS[2]),
        },
    )
    with pytest.raises(InputError, match=r"more\.pt is a pickle that names datetime\.date"):
        check_safe(path)


@pytest.mark.parametrize(
    "config",
    [
        {"target": "os.system"},
        {"encoder": {"_target_": "subprocess.Popen"}},
        {"encoder": {"_target_": "eval"}},
        {"a": [{"b": {"_target_": "builtins.exec"}}]},
        {"decoder": {"cls": "shutil.rmtree"}},
        {"target": "nemo.collections.asr.models.ctc_models.os.system"},
        {"target": "nemo.collections.asr.subprocess.Popen"},
        {"target": "nemo.collections.asr.models.restore"},
        {"target": "torch.hub.Load"},
        {"target": "nemo.collections.asr..Model"},
        {"target": "nemo.evil.Model"},
        {"target": "nemo.collectionsx.Model"},
    ],
    ids=str,
)
def test_a_class_from_elsewhere_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    """NeMo instantiates what the configuration names."""
    path = factories.write_nemo(tmp_path / "m.nemo", {**factories.CTC_CONFIG, **config})
    with pytest.raises(InputError, match=r"model_config\.yaml has (target|_target_|cls): ") as told:
        catalog.resolve(str(path))
    assert ": trust." in str(told.value)
    assert catalog.resolve(str(path), trust=True) == path


@pytest.mark.parametrize(
    "named",
    [
        "nemo.collections.asr.models.ctc_bpe_models.EncDecCTCModelBPE",
        "nemo.collections.common.parts.preprocessing.collections.ASRAudioText",
        "torch.nn.CrossEntropyLoss",
    ],
)
def test_a_class_of_nemo_or_torch_passes(tmp_path: Path, named: str) -> None:
    """At any depth."""
    config = {"target": named, "part": [{"_target_": named}]}
    check_safe(factories.write_nemo(tmp_path / "m.nemo", config))


def test_yaml_is_data_and_its_aliases_do_not_grow(tmp_path: Path) -> None:
    """A tag that would make an object is bad input; aliases of aliases are walked once."""
    weights = factories.no_tensors()
    tagged = b"a: !!python/object/apply:datetime.date [2026, 1, 1]"
    lines = ["a0: &a0 {x: 1}"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)
    ]
    for name, config in (("tag", tagged), ("aliases", "\n".join(lines).encode())):
        members = {"model_config.yaml": config, "model_weights.ckpt": weights}
        path = factories.write_tar(tmp_path / f"{name}.nemo", members)
        if name == "tag":
            with pytest.raises(InputError, match="not readable"):
                check_safe(path)
        else:
            check_safe(path)


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    """A member of a tar archive."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


TRICKS: dict[str, tuple[tarfile.TarInfo, str]] = {
    "absolute": (entry("/evil"), "leads out"),
    "parent": (entry("../evil"), "leads out"),
    "parent inside": (entry("a/../../evil"), "leads out"),
    "backslashes": (entry("..\\evil"), "leads out"),
    "symbolic link": (entry("a", tarfile.SYMTYPE, "/etc/hostname"), "is a link to"),
    "hard link": (entry("a", tarfile.LNKTYPE, "model_config.yaml"), "is a link to"),
    "fifo": (entry("a", tarfile.FIFOTYPE), "neither a file nor a folder"),
    "character device": (entry("a", tarfile.CHRTYPE), "neither a file nor a folder"),
    "block device": (entry("a", tarfile.BLKTYPE), "neither a file nor a folder"),
    "twice": (entry("model_config.yaml"), "comes twice"),
    "twice, in other words": (entry("./model_weights.ckpt"), "comes twice"),
}


@pytest.mark.parametrize(("member", "told"), TRICKS.values(), ids=list(TRICKS))
def test_tricks_of_an_archive_are_refused_whoever_is_trusted(
    tmp_path: Path, member: tarfile.TarInfo, told: str
) -> None:
    """Every reader sees it, also the one that only asks for the decoder."""
    path = factories.write_nemo(tmp_path / "m.nemo")
    with tarfile.open(path, "a") as archive:
        archive.addfile(member)
    for read in (
        open_archive,
        check_safe,
        lambda one: catalog.describe(str(one)),
        lambda one: catalog.resolve(str(one)),
    ):
        with pytest.raises(InputError, match=told) as refused:
            read(path)
        assert repr(member.name) in str(refused.value)


def grown(path: Path) -> None:
    """A megabyte that unpacks into more than a gigabyte."""
    with tarfile.open(path, "w:gz", compresslevel=9) as archive:
        for name, content in (("model_config.yaml", b"a: 1"), ("model_weights.ckpt", b"1")):
            member = entry(name, size=len(content))
            archive.addfile(member, io.BytesIO(content))
        archive.addfile(entry("zeros", size=80 << 20), io.BytesIO(bytes(80 << 20)))


def lying(path: Path) -> None:
    """A member that claims a terabyte."""
    factories.write_nemo(path)
    with path.open("r+b") as stream:
        stream.seek(-tarfile.RECORDSIZE, io.SEEK_END)
        stream.write(entry("claim", size=1 << 40).tobuf())


def crowded(path: Path) -> None:
    """More members than any model has."""
    with tarfile.open(path, "w") as archive:
        for number in range(tar_members.MOST_MEMBERS + 1):
            archive.addfile(entry(f"{number}"))


@pytest.mark.parametrize(
    ("make", "told"),
    [(grown, "members claim"), (lying, "members claim"), (crowded, "more than 10000 members")],
)
def test_sizes_that_lie_or_explode_are_refused(
    tmp_path: Path, make: Callable[[Path], None], told: str
) -> None:
    """Before anything is unpacked."""
    path = tmp_path / "m.nemo"
    make(path)
    with pytest.raises(InputError, match=told):
        open_archive(path)


def test_a_configuration_or_tokenizer_of_endless_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a limit of its own."""
    monkeypatch.setattr("tasks.models.nemo_archive._MOST_CONFIG_BYTES", 40)
    with pytest.raises(InputError, match="more than 40"):
        open_archive(factories.write_nemo(tmp_path / "m.nemo"))
