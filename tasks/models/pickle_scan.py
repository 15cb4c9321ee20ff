"""Scan weights that torch saved, without unpickling, for anything but tensors.

A checkpoint is a pickle, and a pickle may call anything. ``torch.load(weights_only=True)`` calls
only what rebuilds tensors; NeMo before 3.0 does not ask for that. What that loading would refuse
is told here from the opcodes alone, without torch.
"""

from __future__ import annotations

import pickletools
import zipfile
from typing import IO

_LEGACY_PICKLES = 5
"""Of the format before torch 1.6: magic number, protocol, system, content, keys of storages."""
_MOST_PICKLE_BYTES = 256 << 20
_ZIP_START, _ZIP_END, _ZIP_END_BYTES = b"PK\x03\x04", b"PK\x05\x06", 22
_PICKLE_START = b"\x80"
_STORAGES = (
    "Double", "Float", "Half", "Long", "Int", "Short", "Char", "Byte", "Bool", "BFloat16",
    "ComplexDouble", "ComplexFloat", "QUInt8", "QInt8", "QInt32", "QUInt4x2", "QUInt2x4",
)  # fmt: skip
_DTYPES = (
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
    "bool", "complex64", "complex128",
)  # fmt: skip
ALLOWED = frozenset(
    {
        "collections.OrderedDict",
        "_codecs.encode",
        "torch.Size",
        "torch.Tensor",
        "torch.device",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
        "torch._utils._rebuild_qtensor",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        *(f"torch.{kind}Storage" for kind in _STORAGES),
        *(f"torch.{kind}" for kind in _DTYPES),
    }
)
"""What a pickle of tensors names, as module and name; all of it is on torch's own list."""
# Those that build values; none of them looks up or calls anything but what ALLOWED names.
_OPCODES = frozenset(
    (
        "PROTO", "STOP", "MARK", "POP", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1",
        "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "EMPTY_TUPLE", "TUPLE",
        "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM",
        "SETITEMS", "EMPTY_SET", "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT", "BINPERSID",
        "GLOBAL", "REDUCE", "NEWOBJ", "BUILD",
    )
)  # fmt: skip


def find_danger(weights: IO[bytes], size: int) -> str:
    """Describe the first content of weights that is no tensor; return "" if there is none.

    Args:
        weights: what torch saved; must be seekable.
        size: its bytes.
    """
    start = weights.read(len(_ZIP_START))
    weights.seek(0)
    try:
        if start == _ZIP_START:
            return _in_zip(weights, size)
        if start.startswith(_PICKLE_START):
            return _in_pickles(weights, _LEGACY_PICKLES)
    # Whatever does not read as weights is refused, not judged.
    except (ValueError, OSError, EOFError, KeyError, IndexError, zipfile.BadZipFile) as wrong:
        return f"weights that do not read as torch's ({wrong})"
    return "weights in no format that torch loads safely"


def _in_zip(weights: IO[bytes], size: int) -> str:  # noqa: PLR0911 - one return a refusal
    """Return the first danger in the format since torch 1.6, a zip archive without compression."""
    weights.seek(max(0, size - _ZIP_END_BYTES))
    # Other readers may take another directory than Python's where anything follows it.
    if not weights.read().startswith(_ZIP_END):
        return "a zip archive whose directory is not at its end"
    with zipfile.ZipFile(weights) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names):
            return "a zip archive that holds a name twice"
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            return "a zip archive that is compressed, which torch's never is"
        if sum(entry.file_size for entry in entries) > size:
            return "a zip archive whose files are larger than itself"
        if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
            return "a program (TorchScript)"
        pickles = [entry for entry in entries if entry.filename.endswith(".pkl")]
        if [entry.filename.rpartition("/")[2] for entry in pickles] != ["data.pkl"]:
            return "a zip archive without exactly one data.pkl"
        if pickles[0].file_size > _MOST_PICKLE_BYTES:
            return f"a pickle of {pickles[0].file_size} bytes"
        with archive.open(pickles[0]) as stream:
            return _in_pickles(stream, 1)


def _in_pickles(stream: IO[bytes], count: int) -> str:
    """Return the first danger in a sequence of pickles."""
    for _ in range(count):
        # The format's magic number is a LONG1 too, so that all are read by one list.
        for opcode, argument, _place in pickletools.genops(stream):
            if opcode.name == "GLOBAL":
                # pickletools writes a space between module and name.
                name = ".".join(str(argument).split(" ", 1))
                if name not in ALLOWED:
                    return f"a pickle that names {name}"
            elif opcode.name not in _OPCODES:
                return f"a pickle with the opcode {opcode.name}"
    return ""
