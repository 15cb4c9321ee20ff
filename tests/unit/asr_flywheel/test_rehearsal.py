"""The rehearsal: each step's end is recorded, failures too, and a record tells nothing private."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr_flywheel import rehearsal as runner
from asr_flywheel import rehearsal_steps as steps
from asr_flywheel.cli import main
from asr_flywheel.rehearsal_commands import Commands, FailedError, RehearsalPlan, SkippedError
from tasks.airgap import installed_bundle
from tasks.airgap.bundle_manifest import BundleLayout
from tasks.airgap.installed_bundle import InstalledBundle
from tasks.common.errors import InputError
from tasks.common.installation import RECORD_NAME
from tasks.models import catalog
from tasks.records import rehearsal
from tasks.records.rehearsal import Failure, Record, StepResult, StepStatus
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.stages import check_result, host_checks
from tests.support import offline_bundles
from tests.support.hosts import CPU
from tests.support.rehearsal_cases import plan, step

H100 = Hardware((Gpu("NVIDIA H100 80GB HBM3", 81559, "580.1", "GPU-1"),), 16)


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_the_record_is_written_after_each_step(tmp_path: Path) -> None:
    """So that a rehearsal that is killed leaves what it had."""
    here = plan(tmp_path / "out")
    seen: list[list[str]] = []

    def look(*_: object) -> dict[str, Any]:
        names = [one.name for one in rehearsal.read(here.record_path).steps]
        seen.append(names)
        return {}

    wanted = [step("doctor", lambda *_: {}), step("demo", look), step("tdt", look)]
    record = runner.rehearse(here, runner.begin(here), wanted)
    assert seen == [["doctor"], ["doctor", "demo"]]
    assert rehearsal.read(here.record_path) == record
    assert record in rehearsal.readable_records()


def test_the_record_names_the_bundle_that_was_rehearsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id alone; a damaged record fails the step doctor, not the rehearsal."""
    assert runner.BUNDLE not in runner.begin(plan(tmp_path / "out")).versions
    about = offline_bundles.about(BundleLayout.WHOLE, "3.11")
    installed = InstalledBundle(tmp_path, "0123456789abcdef", about, "", {}, (1,), 1, (), ())
    installed_bundle.write_record(installed)
    monkeypatch.setattr(runner, "find_bundle_root", lambda: tmp_path)
    assert runner.begin(plan(tmp_path / "out")).versions[runner.BUNDLE] == "0123456789ab"
    (tmp_path / RECORD_NAME).write_text("{}")
    assert runner.begin(plan(tmp_path / "out")).versions[runner.BUNDLE] == "unreadable"


def test_a_resumed_rehearsal_runs_what_has_not_passed(tmp_path: Path) -> None:
    """Failed, skipped and missing steps; their new results take the old ones' places."""
    here = plan(tmp_path / "out")
    earlier = replace(
        runner.begin(here),
        seconds=100.0,
        steps=(
            StepResult("doctor", StepStatus.PASSED, 3.0),
            StepResult("demo", StepStatus.FAILED, 4.0, failure=Failure("OSError", 1, "disk-full")),
            StepResult("tdt", StepStatus.SKIPPED, 0.0, "no GPU"),
        ),
    )
    wanted = runner.choose(here, [], earlier)
    assert [one.name for one in wanted] == ["demo", "large", "tdt", "rnnt", "resume"]
    assert [one.name for one in runner.choose(here, ["demo"], earlier)] == ["demo"]
    assert runner.choose(here, ["doctor"], earlier) == []
    record = runner.rehearse(here, earlier, [step("demo", lambda *_: {"figure": 1})])
    assert [(one.name, one.state) for one in record.steps] == [
        ("doctor", StepStatus.PASSED),
        ("demo", StepStatus.PASSED),
        ("tdt", StepStatus.SKIPPED),
    ]
    assert record.seconds >= 100


def test_an_unknown_step_is_refused(tmp_path: Path) -> None:
    """With the names that there are."""
    with pytest.raises(InputError, match="one of doctor, demo, large, tdt, rnnt, resume"):
        runner.choose(plan(tmp_path), ["train"], None)
    with pytest.raises(InputError, match="one of doctor, cycle, resume"):
        runner.choose(plan(tmp_path, base=tmp_path / "m.nemo"), ["demo"], None)


def test_steps_beside_each_other_are_all_recorded(tmp_path: Path) -> None:
    """Those that want to be alone run first; the others' results lose nothing."""
    here = plan(tmp_path / "out", jobs=3)
    alone: list[int] = []

    def first(*_: object) -> dict[str, Any]:
        alone.append(len(list(here.out.glob("*.mark"))))
        return {}

    def mark(_: RehearsalPlan, commands: Commands) -> dict[str, Any]:
        (here.out / f"{commands.step}.mark").touch()
        return {}

    wanted = [step("demo", first, alone=True)] + [
        step(name, mark) for name in ("tdt", "rnnt", "resume", "large")
    ]
    record = runner.rehearse(here, runner.begin(here), wanted)
    assert alone == [0]
    assert [one.name for one in record.steps] == ["demo", "large", "tdt", "rnnt", "resume"]


@pytest.mark.parametrize(
    ("log", "code", "found"),
    [
        ("failed: gpu-memory: out of GPU memory.\n", 1, Failure("FlywheelError", 1, "gpu-memory")),
        ("failed: no-such: thing\n", 1, Failure("FlywheelError", 1)),
        ("error: x.nemo: no such file.\n", 2, Failure("InputError", 2)),
        (
            (
                "failed: transcription ended with exit code 1. The end of its log:\n"
                "  _pickle.UnpicklingError: could not find MARK\n"
            ),
            1,
            Failure("UnpicklingError", 1),
        ),
        ("RuntimeError: a\nfailed: nan-loss: b\n", 1, Failure("RuntimeError", 1, "nan-loss")),
        ("", -15, Failure("SIGTERM", -15)),
        ("nothing\n", 3, Failure("", 3)),
    ],
)
def test_a_failure_is_told_by_names(log: str, code: int, found: Failure) -> None:
    """Class of the error, exit code and our fault; none of the message."""
    assert rehearsal.failure(log, code) == found


def test_a_record_names_no_private_image(tmp_path: Path) -> None:
    """A registry of the user's own may tell who it is."""
    assert rehearsal.public_image("nvcr.io/nvidia/nemo:25.11.01") == "nvcr.io/nvidia/nemo:25.11.01"
    here = plan(tmp_path / "out", image="registry.clinic.example/asr:1", base=tmp_path / "b.nemo")
    record = runner.begin(here)
    assert (record.image, record.base, record.runtime) == ("own", "own", "container")
    assert not re.search("registry|b.nemo", json.dumps(record.as_dict()))


def test_figures_hold_no_text_and_no_path() -> None:
    """Of decision, run and training record the numbers alone are taken."""
    info = {
        "base": {"name": "/data/clinic.nemo", "path": "/data/clinic.nemo", "parameters": 5},
        "runtime": {
            "precision": "32-true",
            "cuda_graphs": True,
            "nemo": "3.0.0",
            "torch": "2.11",
            "compiled_layers": {
                "compiled": False,
                "because": "OSError: /data/clinic/gcc",
                "seconds": 3.5,
                "frames": [],
                "joint_rows": None,
                "rows": 0,
            },
        },
        "epochs": [{"val_wer": 0.5, "train_loss": 3.0}],
        "ladder": [{"fault": "gpu-memory", "batch_size": 4}],
        "starts": [{"epoch": 0, "step": 0}],
        **dict.fromkeys(("best_epoch", "steps", "wall_seconds", "median_batch_seconds"), 1),
        "peak_gpu_memory_mib": 900,
        "gpu_utilisation": 10.0,
        "shipping": {
            "mixed": True,
            "value": 0.5,
            "chosen": True,
            "held": True,
            "reason": "dr smith said so",
            "seconds": 9.5,
            "candidates": [{"value": 0.4}, {"value": 0.5}],
        },
    }
    decision = {
        "decision": "keep",
        "reasons": ["dr smith said metformin"],
        "by": {"drug": {"n": 20, "ker_a": 0.85, "ker_b": 0.3}},
        "guardrail": {"status": "held", "pooled_wer_a": 0.03, "pooled_wer_b": 0.04},
    }
    spoken = {"model": "/data/clinic.nemo", "rtfx": 9.0, "rows_decoded": 200}
    run = {
        "transcription": [
            {**spoken, "how": "transducer in float32 on cuda, its loop in one CUDA graph"},
            {**spoken, "how": "transducer in float32 on cuda, its loop in partial CUDA graphs, …"},
            {**spoken, "how": "transducer in float32 on cuda, its loop in one CUDA graph"},
        ]
    }
    figures = rehearsal.cycle_figures(decision, run, info)
    assert figures["cuda_graphs"] == {"base": "full", "tuned": "partial", "unmixed": "full"}
    assert figures["shipping"] == {
        "mixed": True,
        "value": 0.5,
        "chosen": True,
        "held": True,
        "seconds": 9.5,
        "candidates": 2,
    }
    assert figures["compiled_layers"] == {
        "compiled": False,
        "seconds": 3.5,
        "frames": [],
        "joint_rows": None,
    }
    two_models = {"transcription": run["transcription"][:2]}
    figures = rehearsal.cycle_figures(decision, two_models, {**info, "shipping": None})
    assert (list(figures["decode_rows"]), figures["shipping"]) == (["base", "tuned"], {})
    assert (figures["verdict"], figures["drug_ker_tuned"], figures["rungs"]) == (
        "keep",
        0.3,
        [{"fault": "gpu-memory"}],
    )
    assert not re.search("clinic|smith|metformin|/data", json.dumps(figures))


@pytest.mark.parametrize(
    ("described", "kind"),
    [
        ("transducer in bfloat16 on cuda, its loop in one CUDA graph", "full"),
        ("…, its loop in partial CUDA graphs, which is slower", "partial"),
        ("…, without CUDA graphs, which this decoder does not allow", "none"),
        ("CTC in float32 on cuda", ""),
    ],
)
def test_the_use_of_cuda_graphs_is_read_from_the_decoder(described: str, kind: str) -> None:
    """As entrypoints/greedy_decoder.py says it."""
    assert rehearsal.graphs(described) == kind


def test_a_tdt_base_is_skipped_on_a_cpu_and_so_is_the_large_graph(tmp_path: Path) -> None:
    """With the reason; a base that is not there is skipped too."""
    here = plan(tmp_path / "out")
    by_name = {one.name: one for one in steps.BUNDLED}
    with pytest.raises(SkippedError, match="no GPU"):
        by_name["large"].run(here, Commands(here, "large"))
    with pytest.raises(SkippedError, match="no such base"):
        steps._make_cycle_step("tdt", tmp_path / "absent.nemo")(here, Commands(here, "tdt"))
    small = replace(H100, gpus=(Gpu("small", 16_000, "580.1", "GPU-1"),))
    with pytest.raises(SkippedError, match="MiB"):
        by_name["large"].run(plan(tmp_path / "gpu", small), Commands(here, "large"))


def test_doctor_names_the_newest_record_of_a_machine_like_this_one() -> None:
    """The GPU's name, the runtime and NeMo's minor version must agree."""

    def record(day: int, host: Hardware, nemo: str, **more: Any) -> Record:
        return Record(
            f"2026-11-{day:02}T00:00:00Z",
            "bundled",
            "local",
            "",
            rehearsal.machine(host),
            {"nemo_toolkit": nemo},
            **more,
        )

    failed = (StepResult("tdt", StepStatus.FAILED), StepResult("demo", StepStatus.PASSED))
    passed = (StepResult("demo", StepStatus.PASSED),)
    old = record(1, CPU, "3.0.0", steps=failed)
    new = record(2, CPU, "3.0.1", steps=passed)
    others = [record(3, H100, "3.0.0"), record(4, CPU, "2.6.2")]
    run_context = check_result.CheckContext("local", "embedded", "image", None, Path(), CPU)
    none = host_checks.rehearsed(run_context, others)
    assert (none.state, none.fix) == (check_result.CheckStatus.NOTE, "asr-flywheel rehearse")
    assert "no record" in none.says
    found = host_checks.rehearsed(run_context, [*reversed(others), new, old])
    assert (found.state, found.says[:10]) == (check_result.CheckStatus.OK, "2026-11-02")
    found = host_checks.rehearsed(run_context, [old])
    assert found.state is check_result.CheckStatus.NOTE
    assert "tdt failed" in found.says


def test_a_damaged_record_is_refused_and_passed_over(tmp_path: Path) -> None:
    """--resume says what to do; doctor looks at the others."""
    path = tmp_path / "rehearsal.json"
    path.write_text('{"schema": "asr-flywheel-rehearsal/1"}')
    with pytest.raises(InputError, match="not a rehearsal's record"):
        rehearsal.read(path)
    assert rehearsal.readable_records([tmp_path]) == []


def test_shipped_records_can_be_read_and_are_those_of_the_results() -> None:
    """The package's copies are what benchmarks/results holds, and every one is whole."""
    results = Path(__file__).parents[3] / "benchmarks" / "results"
    copies = {path.name: path.read_bytes() for path in rehearsal.shipped().glob("*.json")}
    assert copies == {path.name: path.read_bytes() for path in results.glob("*rehearsal*.json")}
    for path in rehearsal.shipped().glob("*.json"):
        assert rehearsal.read(path).finished


def test_the_command_ends_with_1_if_a_step_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And tells each step's end."""

    def fails(*_: object) -> dict[str, Any]:
        raise FailedError(Failure("OSError", 1, "disk-full"))

    monkeypatch.setattr(steps, "BUNDLED", (step("doctor", fails), step("demo", lambda *_: {})))
    monkeypatch.setattr("sys.argv", ["asr-flywheel", "rehearse", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "failed after 0 s: disk-full, OSError, exit code 1" in printed
    assert "demo  passed" in printed


def test_each_command_gets_the_runtime_and_the_trust(tmp_path: Path) -> None:
    """Decoding the baseline, too: a host's own environment may have no NeMo."""
    own = plan(tmp_path, image="nvcr.io/nvidia/nemo:25.11.01", trust=True)
    asked = ["--runtime", "container", "--image", "nvcr.io/nvidia/nemo:25.11.01", "--trust"]
    assert own.options == asked
    lines: list[list[str]] = []

    class Recorded(Commands):
        def flywheel(self, *arguments: str | Path) -> str:
            lines.append([str(argument) for argument in arguments])
            if arguments[0] == "run":
                raise FailedError(Failure("enough"))
            return ""

    (own.speech / "general").mkdir(parents=True)
    (own.speech / "general" / "manifest.jsonl").touch()
    (own.speech / "cycle1" / "audio").mkdir(parents=True)
    (own.speech / "cycle1" / "manifest.jsonl").touch()
    with pytest.raises(FailedError) as ended:
        steps._run_whole_cycle(own, Recorded(own, "own"), catalog.embedded_path(), "own")
    assert ended.value.failure == Failure("enough")
    assert [line[0] for line in lines] == ["transcribe", "run"]
    assert "--interpolate" not in lines[1]
    assert all([word for word in line if word in asked] == asked for line in lines)
