"""Faults: what an engine or a script said, told by its own name and with a remedy."""

from __future__ import annotations

import pytest

from tasks.runtimes.failures import Fault, FaultError, from_engine, from_log
from tasks.training.progress import UnkCollapseDetector

# Words of the Docker Engine and of NVIDIA's runtime hook, as their users report them; the ones that
# an engine without GPU and network gives are provoked for real in test_engine.py.
ENGINE_SAID = [
    (
        'could not select device driver "" with capabilities: [[gpu]]',
        Fault.NO_GPU_RUNTIME,
    ),
    (
        (
            "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.9, please "
            "update your driver to a newer version"
        ),
        Fault.DRIVER_TOO_OLD,
    ),
    (
        "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch",
        Fault.DRIVER_TOO_OLD,
    ),
    (
        "failed to register layer: write /opt/NeMo/a: no space left on device",
        Fault.DISK_FULL,
    ),
    (
        'invalid mount config for type "bind": bind source path does not exist: /cycles',
        Fault.BAD_MOUNT,
    ),
    (
        (
            'Head "https://nvcr.io/v2/nvidia/nemo/manifests/25.11.01": unauthorized: '
            "authentication required"
        ),
        Fault.NO_CREDENTIALS,
    ),
    (
        (
            "pull access denied for nemo, repository does not exist or may require 'docker login': "
            "denied: requested access to the resource is denied"
        ),
        Fault.NO_CREDENTIALS,
    ),
    ("manifest for nvcr.io/nvidia/nemo:25.99 not found: manifest unknown", Fault.IMAGE_ABSENT),
    (
        'Get "https://nvcr.io/v2/": dial tcp: lookup nvcr.io: Temporary failure in name resolution',
        Fault.NO_NETWORK,
    ),
    (
        (
            'Get "https://nvcr.io/v2/": net/http: request canceled while waiting for connection '
            "(Client.Timeout exceeded while awaiting headers)"
        ),
        Fault.NO_NETWORK,
    ),
    ("OCI runtime create failed: something new", Fault.BAD_REQUEST),
]
SCRIPT_SAID = [
    (
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a "
            "total capacity of 23.65 GiB of which 1.06 GiB is free."
        ),
        Fault.GPU_MEMORY,
    ),
    (
        (
            "RuntimeError: DataLoader worker (pid 99) is killed by signal: Bus error. It is "
            "possible that dataloader's workers are out of shared memory. ERROR: Unexpected bus "
            "error encountered in worker. This might be caused by insufficient shared memory (shm)."
        ),
        Fault.SHARED_MEMORY,
    ),
    (
        (
            "RuntimeError: Current CUDA Device does not support bfloat16. Please switch dtype to "
            "float16."
        ),
        Fault.NO_BF16,
    ),
    ("FloatingPointError: NaN loss: the training loss became nan", Fault.NAN_LOSS),
    ("__main__.RowsLostError: NeMo loaded 190 of 195 rows to train on", Fault.ROWS_LOST),
    (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
        Fault.DRIVER_TOO_OLD,
    ),
    ("OSError: [Errno 28] No space left on device", Fault.DISK_FULL),
    (
        "RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534",
        Fault.DISK_FULL,
    ),
    ("ValueError: something else", Fault.SCRIPT_FAILED),
]


@pytest.mark.parametrize(("said", "fault"), ENGINE_SAID)
def test_what_an_engine_says_is_understood(said: str, fault: Fault) -> None:
    """Each refusal has its own fault."""
    assert from_engine(said) is fault


@pytest.mark.parametrize(("said", "fault"), SCRIPT_SAID)
def test_what_a_script_says_is_understood(said: str, fault: Fault) -> None:
    """Each way of failing is found amid a long log."""
    noise = "\n".join(f"[NeMo I] step {number}" for number in range(2000))
    assert from_log(f"{noise}\n{said}\n{noise}") is fault


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_its_own_message(fault: Fault) -> None:
    """The message begins with the fault's name, says more, and ends with who reported it."""
    told = str(FaultError(fault, "the engine's words"))
    assert told.startswith(f"{fault.value}: ")
    assert told.endswith("\nthe engine's words")
    others = {str(FaultError(other)).partition(": ")[2] for other in Fault if other is not fault}
    assert str(FaultError(fault)).partition(": ")[2] not in others


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        (Fault.GPU_MEMORY, "drop batch_size to 2 and raise accumulate_grad_batches to 2"),
        (Fault.NO_BF16, "fp32 with a smaller batch"),
        (Fault.UNK_COLLAPSE, "nvidia/parakeet-tdt-0.6b-v2"),
        (Fault.UNK_COLLAPSE, "nvidia/stt_en_conformer_ctc_large"),
    ],
)
def test_remedies_are_the_specifications(fault: Fault, remedy: str) -> None:
    """Where the specification's troubleshooting table has a remedy, it is the one that is given."""
    assert remedy in str(FaultError(fault)).replace("\n", " ")


def heard(watch: UnkCollapseDetector, *predicted: str) -> None:
    """Lines as NeMo logs them."""
    for words in predicted:
        watch.observe(f"[NeMo I wer:318] WER predicted:{words}")


def test_a_validation_that_ends_in_unknown_words_is_a_collapse() -> None:
    """A small set has few batches to tell by: two at a validation's end are enough."""
    watch = UnkCollapseDetector()
    heard(watch, "give aspirin", "⁇", "<unk> ⁇")
    with pytest.raises(FaultError) as told:
        watch.validated(1)
    assert told.value.fault is Fault.UNK_COLLAPSE


def test_one_unknown_word_is_no_collapse() -> None:
    """Nor are several before a validation that ends in words; an empty prediction says nothing."""
    watch = UnkCollapseDetector()
    heard(watch, "⁇", "⁇", "⁇", "give ⁇")
    watch.validated(1)
    heard(watch, "⁇", "", "")
    watch.validated(2)
    heard(watch, *["⁇"] * 6)
    watch.validated(2)
    with pytest.raises(FaultError):
        heard(watch, "⁇")
