"""The kernels of depthwise.cu, compiled by gcc and run thread by thread, against PyTorch.

What a GPU runs is the same text. Around each tensor lies memory that is not a number: whoever reads
beyond finds it, and whoever writes there is found.
"""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.models.catalog import embedded_path
from tasks.runtimes.base import ENTRY

# The programs of tasks/entrypoints find each other beside themselves.
sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.needs("g++")

GUARD = 512
# What CUDA has and C has not, and a kernel's threads one after the other.
BEFORE = """
#include <math.h>
#include <string.h>
#define __device__
typedef struct { unsigned int x, y; } place;
static place threadIdx, blockIdx, blockDim;
static inline float __uint_as_float(unsigned int bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}
static inline unsigned int __float_as_uint(float f) {
    unsigned int bits;
    memcpy(&bits, &f, 4);
    return bits;
}
"""
AFTER = """
#define EACH(call) \\
    blockDim.x = threads; \\
    for (blockIdx.y = 0; blockIdx.y < rows; blockIdx.y++) \\
        for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) \\
            for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++) call;
#define T(n) *(void**)a[n]
#define N(n) *(int*)a[n]
void run_gate_and_convolve(unsigned blocks, unsigned rows, unsigned threads, void** a) {
    EACH(gate_and_convolve(T(0), T(1), T(2), T(3), T(4), N(5), N(6), N(7)))
}
void run_halve(unsigned blocks, unsigned rows, unsigned threads, void** a) {
    EACH(halve(T(0), T(1), T(2), T(3), N(4), N(5), N(6)))
}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, int], Any]:
    """Return what compiles the kernels for a number format and so many taps."""
    import depthwise_kernels  # type: ignore[import-not-found]

    folder: Path = tmp_path_factory.mktemp("kernels")

    def compiled(dtype: Any, taps: int) -> Any:
        name = f"{dtype}-{taps}"
        library = folder / f"{name}.so"
        if not library.exists():
            text = BEFORE + depthwise_kernels.source(dtype, taps, "static") + AFTER
            written = folder / f"{name}.c"
            written.write_text(text)
            command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(written), "-lm"]
            subprocess.run([*command, "-Wall", "-Werror"], check=True)
        loaded = ctypes.CDLL(str(library))

        def find(kernel: str) -> Callable[..., None]:
            run = getattr(loaded, f"run_{kernel}")

            def launch(blocks: int, rows: int, *arguments: Any) -> None:
                addresses, values = depthwise_kernels.pack(arguments)
                run(blocks, rows, depthwise_kernels.THREADS, addresses)
                del values

            return launch

        return depthwise_kernels.DepthwiseKernels(find)

    return compiled


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what puts a tensor between guards; what the kernels make lies so, too."""
    import torch

    around: list[tuple[Any, int]] = []

    def place(tensor: Any) -> Any:
        memory = torch.full((tensor.numel() + 2 * GUARD,), float("nan"), dtype=tensor.dtype)
        around.append((memory, tensor.numel()))
        inside = memory[GUARD : GUARD + tensor.numel()].view(tensor.shape)
        return inside.copy_(tensor)

    def new_empty(tensor: Any, shape: tuple[int, ...]) -> Any:
        return place(torch.full(shape, float("nan"), dtype=tensor.dtype))

    monkeypatch.setattr(torch.Tensor, "new_empty", new_empty)
    yield place
    for memory, size in around:
        assert memory[:GUARD].isnan().all()
        assert memory[GUARD + size :].isnan().all()


TOLERANCES = {"float32": 1e-6, "bfloat16": 8e-3}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    ("frames", "channels", "taps", "before"),
    [(40, 6, 9, 4), (16, 128, 9, 4), (17, 10, 9, 8), (3, 4, 9, 4), (1, 2, 5, 2), (33, 4, 31, 15)],
)
def test_gate_and_convolve_is_what_pytorch_computes(
    kernels: Any, guarded: Any, dtype: str, frames: int, channels: int, taps: int, before: int
) -> None:
    """Recordings as long as the batch, shorter, and of no frame; a padded one is finite."""
    import torch
    from torch.nn import functional

    draw = torch.Generator().manual_seed(frames)
    kind = getattr(torch, dtype)
    gated = torch.randn(4, frames, 2 * channels, generator=draw).to(kind)
    counts = torch.tensor([frames, max(1, frames // 2), 0, frames + 5])
    weight = torch.randn(channels, taps, generator=draw).to(kind)
    bias = torch.randn(channels, generator=draw).to(kind)
    made = kernels(kind, taps).gate_and_convolve(
        guarded(gated), counts, guarded(weight), guarded(bias), before
    )
    own = torch.arange(frames) < counts.unsqueeze(1)
    h = functional.glu(gated.double(), dim=-1) * own.unsqueeze(-1)
    h = functional.pad(h.transpose(1, 2), (before, taps - 1 - before))
    h = functional.conv1d(h, weight.double().unsqueeze(1), bias.double(), groups=channels)
    wanted = functional.silu(h).transpose(1, 2)
    assert made.shape == wanted.shape
    assert torch.allclose(made.double(), wanted, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    ("frames", "bands", "channels"), [(40, 20, 6), (37, 21, 128), (16, 1, 4), (1, 5, 2), (2, 2, 2)]
)
def test_halve_is_what_pytorch_computes(
    kernels: Any, guarded: Any, dtype: str, frames: int, bands: int, channels: int
) -> None:
    """Even and odd numbers of frames and bands, down to one."""
    import torch
    from torch.nn import functional

    draw = torch.Generator().manual_seed(frames)
    kind = getattr(torch, dtype)
    image = torch.randn(3, frames, bands, channels, generator=draw).to(kind)
    weight = torch.randn(channels, 3, 3, generator=draw).to(kind)
    bias = torch.randn(channels, generator=draw).to(kind)
    made = kernels(kind, 9).halve(guarded(image), guarded(weight), guarded(bias))
    wanted = functional.conv2d(
        image.double().permute(0, 3, 1, 2),
        weight.double().unsqueeze(1),
        bias.double(),
        stride=2,
        padding=1,
        groups=channels,
    ).permute(0, 2, 3, 1)
    assert made.shape == wanted.shape
    assert torch.allclose(made.double(), wanted, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


def test_what_is_no_number_stays_none(kernels: Any) -> None:
    """Also where 16 bits are rounded: it must not become infinite or a number."""
    import torch

    image = torch.full((1, 2, 2, 2), float("nan"), dtype=torch.bfloat16)
    weight = torch.ones(2, 3, 3, dtype=torch.bfloat16)
    made = kernels(torch.bfloat16, 9).halve(image, weight, weight[:, 0, 0])
    assert made.isnan().all()


BY_NVRTC = """
import sys

import depthwise_kernels
import torch
from cuda.bindings import nvrtc

for dtype in (torch.float32, torch.bfloat16):
    text = depthwise_kernels.source(dtype, 9).encode()
    error, program = nvrtc.nvrtcCreateProgram(text, b"depthwise.cu", 0, [], [])
    (error,) = nvrtc.nvrtcCompileProgram(program, 0, [])
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b"  " * size
    nvrtc.nvrtcGetProgramLog(program, log)
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS, log
    _, size = nvrtc.nvrtcGetPTXSize(program)
    ptx = b"  " * size
    nvrtc.nvrtcGetPTX(program, ptx)
    assert b".entry gate_and_convolve" in ptx and b".entry halve" in ptx, ptx
    # What does not fit into registers would be read from the GPU's memory again and again.
    assert b".local" not in ptx, ptx
"""


@pytest.mark.needs("nvrtc")
def test_the_kernels_compile_for_a_gpu() -> None:
    """By NVRTC as NeMo calls it, without a GPU; a thread's arrays stay in registers."""
    folder = os.environ["FLYWHEEL_NVRTC"]
    libraries = {str(found.parent) for found in Path(folder).rglob("libnvrtc.so*")}
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ENTRY), folder]),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
    }
    done = subprocess.run(
        [sys.executable, "-c", BY_NVRTC],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["ctc", "tdt"])
def test_an_encoder_with_these_kernels_computes_what_nemos_computes(
    kernels: Any, kind: str
) -> None:
    """The whole encoder of a trained base, recordings of three lengths."""
    import torch
    from folded_encoder import FoldedEncoder, check_alike  # type: ignore[import-not-found]
    from greedy_decoder import restore  # type: ignore[import-not-found]

    encoder = restore(str(embedded_path().with_name(f"embedded_{kind}.nemo")), "cpu").encoder
    taps = encoder.layers[0].conv.depthwise_conv.kernel_size[0]
    with_kernels = FoldedEncoder(encoder, torch.float32, kernels=kernels(torch.float32, taps))
    by_pytorch = FoldedEncoder(encoder, torch.float32)
    check_alike(encoder, with_kernels, torch.float32)
    features = torch.randn(3, 80, 403, generator=torch.Generator().manual_seed(5))
    counts = torch.tensor([403, 260, 9])
    features = features.masked_fill(torch.arange(403) >= counts[:, None, None], 0.0)
    with torch.inference_mode():
        ours, frames = with_kernels(features, counts)
        theirs, _ = by_pytorch(features, counts)
    assert ours.isfinite().all()
    for row, count in enumerate(frames.tolist()):
        apart = ours[row, :, :count] - theirs[row, :, :count]
        assert apart.norm() < 1e-5 * theirs[row, :, :count].norm()


@pytest.fixture(scope="module")
def encoder() -> Any:
    """The encoder of a trained base."""
    from greedy_decoder import restore

    return restore(str(embedded_path()), "cpu").encoder


def test_pytorch_convolves_where_the_kernels_are_wrong_or_do_not_start(
    kernels: Any, encoder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The encoder stays folded, and the log says what differs and by how much."""
    import encoder_runner  # type: ignore[import-not-found]
    import torch

    runner = encoder_runner.EncoderRunner(encoder, torch.float32, fold=True)
    taps = encoder.layers[0].conv.depthwise_conv.kernel_size[0]
    right = kernels(torch.float32, taps)
    runner.folded.how = runner.folded.how._replace(kernels=right)
    runner.check()
    assert runner.folded.how.kernels is right
    assert not capsys.readouterr().out
    # A tap too early.
    early = right.gate_and_convolve
    monkeypatch.setattr(right, "gate_and_convolve", lambda *a: early(*a[:-1], a[-1] + 1))
    runner.check()
    told = capsys.readouterr().out
    assert told.startswith(
        f"{encoder_runner.PREFIX}convolved by PyTorch, which prepares each shape"
    )
    assert "it differs by 0." in told
    assert runner.folded.how.kernels is None
    assert runner.describe() == ", encoder folded"

    def refuse(*_: object) -> None:
        raise RuntimeError("CUDA_ERROR_INVALID_VALUE")

    monkeypatch.setattr(right, "gate_and_convolve", refuse)
    runner.folded.how = runner.folded.how._replace(kernels=right)
    runner.check()
    assert "RuntimeError: CUDA_ERROR_INVALID_VALUE" in capsys.readouterr().out
    assert runner.folded.how.kernels is None
    assert runner.describe() == ", encoder folded"


def test_pytorch_convolves_where_the_kernels_do_not_compile(
    encoder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here there is no GPU to compile for, whatever is installed; the log says what failed."""
    import encoder_runner
    import torch

    with monkeypatch.context() as changed:
        changed.setattr(torch.Tensor, "is_cuda", property(lambda _: True))
        runner = encoder_runner.EncoderRunner(encoder, torch.float32, fold=True)
        assert runner.folded.how.kernels is None
        by_pytorch = ", encoder folded, convolved by PyTorch, which prepares each shape"
        assert runner.describe() == by_pytorch
    told = capsys.readouterr().out
    assert told.startswith(
        f"{encoder_runner.PREFIX}convolved by PyTorch, which prepares each shape: "
    )


@pytest.mark.parametrize(
    ("dtype", "channels", "reason"),
    [("float16", (8,), "torch.float16"), ("float32", (8, 7), "an odd number of channels, 7")],
)
def test_other_tensors_are_left_to_pytorch(
    dtype: str, channels: tuple[int, ...], reason: str
) -> None:
    """Two channels are read at once, of one of two number formats."""
    import depthwise_kernels
    import torch

    with pytest.raises(depthwise_kernels.UnsuitableKernelsError, match=reason):
        depthwise_kernels.compile_kernels(torch.device("cuda"), getattr(torch, dtype), 9, channels)
