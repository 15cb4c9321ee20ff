"""Serving parity over real gRPC: a clean server is exact, each planted fault gets its name."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import soundfile

import flows.validate_serving
from asr_flywheel import cli
from tasks.data.cycle_folder import open_cycle
from tasks.evaluation.result_reading import read_hypotheses
from tasks.models.catalog import embedded_path
from tasks.serving import endpoint_transcription, validation
from tasks.serving.parity import MismatchKind
from tasks.serving.riva_client import Client, Endpoint, Retry, ServingError
from tests.support import factories, riva_server
from tests.support.planted_faults import PLANTED, QUICK, check_named, validate
from tests.support.riva_server import Faults

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.serving.causes import CauseName
    from tasks.serving.validation import ValidationPlan


def test_a_clean_server_writes_exactly_what_was_measured(demo: Path, tmp_path: Path) -> None:
    """To the letter; nothing is attributed, and no probe is sent."""
    whole = validation.plan(open_cycle(demo), model=embedded_path())
    report = validate(whole, Faults(), tmp_path)
    assert report.verdict == "exact"
    assert report.comparison.counts[MismatchKind.EXACT] == len(whole.rows) == 48
    assert (report.causes, report.probes) == ((), ())
    told = {line["evaluation"]: line for line in report.figures}
    assert told["offline"]["ker"] == told["served"]["ker"]


KEPT_AS = (("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAV", "PCM_24"), ("FLAC", "PCM_24"))


def test_recordings_of_any_kind_of_samples_are_served_as_measured(
    sixteen_rows: Path, tmp_path: Path
) -> None:
    """Floating point and 24 bits leave at their level; answers are known by the same hashes."""
    other = shutil.copytree(sixteen_rows, tmp_path / "cycle1")
    for place, path in enumerate(sorted((other / "audio").iterdir())):
        wave, rate = soundfile.read(path)
        kind, subtype = KEPT_AS[place % len(KEPT_AS)]
        soundfile.write(path, wave, rate, format=kind, subtype=subtype)
    plan = validation.plan(open_cycle(other), model=embedded_path())
    before = validation.plan(open_cycle(sixteen_rows), model=embedded_path())
    assert [row.audio_sha256 for row in plan.rows] == [row.audio_sha256 for row in before.rows]
    report = validate(plan, Faults(), tmp_path)
    assert report.verdict == "exact"
    assert all(row.converted for row in report.comparison.rows)


@pytest.mark.parametrize(("faults", "wanted"), PLANTED.values(), ids=list(PLANTED))
def test_a_planted_fault_is_named(
    serving_plan: ValidationPlan, tmp_path: Path, faults: Faults, wanted: CauseName
) -> None:
    """Alone, with evidence and a remedy; words that did not change count alike."""
    check_named(serving_plan, faults, wanted, tmp_path)


def test_rows_that_were_not_compared_are_no_parity(
    sixteen_rows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A reference that was corrected after the evaluation: the row is named, and the exit is 3."""
    other = shutil.copytree(sixteen_rows, tmp_path / "cycle1")
    rows = [json.loads(line) for line in (other / "manifest.jsonl").read_text().splitlines()]
    rows[3]["text"] += " today"
    factories.write_rows(other / "manifest.jsonl", rows)
    plan = validation.plan(open_cycle(other), model=embedded_path())
    report = validate(plan, Faults(), tmp_path)
    assert (report.verdict, report.comparison.counts[MismatchKind.EXACT]) == ("incomplete", 15)
    monkeypatch.setattr(flows.validate_serving, "validate_serving", lambda _: report)
    line = ["validate-serving", str(other), "--endpoint", "localhost:1", "--json"]
    monkeypatch.setattr(sys, "argv", ["asr-flywheel", *line])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "incomplete"
    assert told["only_offline"] == told["only_served"] == [rows[3]["audio_filepath"]]


def test_rate_limits_lose_no_row(serving_plan: ValidationPlan, tmp_path: Path) -> None:
    """Two of three calls are refused as too many; every row is answered in the end."""
    report = validate(serving_plan, Faults(busy=3), tmp_path)
    assert report.verdict == "exact"
    assert report.attempts >= len(serving_plan.rows)


def test_a_cut_connection_loses_no_row(serving_plan: ValidationPlan, tmp_path: Path) -> None:
    """The server goes away in mid-cycle, with calls under way, and comes back."""
    report = validate(serving_plan, Faults(drops=7), tmp_path)
    assert report.verdict == "exact"
    assert len(read_hypotheses(serving_plan.folder / endpoint_transcription.SERVED_NAME)) == len(
        serving_plan.rows
    )


def test_what_was_answered_is_not_asked_for_again(
    serving_plan: ValidationPlan, tmp_path: Path
) -> None:
    """A server that stays away ends the run; the next start goes on where it ended."""
    target = serving_plan.folder / endpoint_transcription.SERVED_NAME
    with riva_server.running(tmp_path, Faults(gone_after=9)) as server:
        client = Client(Endpoint(server.address), Retry(attempts=2, first_s=0.01, longest_s=0.01))
        with pytest.raises(ServingError, match=r"UNAVAILABLE .*tried 2 times.*goes on there"):
            endpoint_transcription.transcribe(serving_plan.rows, client, target, 1)
        assert not target.exists()
        (part,) = serving_plan.folder.glob(".served*.part")
        part.write_text(part.read_text() + '{"audio_sha256": "cut by a kill')
        server.servicer.faults.gone_after = 0
        served = endpoint_transcription.transcribe(serving_plan.rows, client, target, 4)
        client.close()
    assert served.asked == len(serving_plan.rows) - 9
    assert server.servicer.answered == len(serving_plan.rows)
    assert not part.exists()
    assert [row.hyp for row in read_hypotheses(target)] == [
        row.hyp for row in read_hypotheses(serving_plan.offline)
    ]


def test_answers_of_another_model_are_not_mixed_in(
    serving_plan: ValidationPlan, tmp_path: Path
) -> None:
    """What the endpoint says that it serves tells two deployments at one address apart."""
    target = serving_plan.folder / endpoint_transcription.SERVED_NAME
    with riva_server.running(tmp_path) as server:
        client = Client(Endpoint(server.address), QUICK)
        first = endpoint_transcription.partial_path(target, client, client.served())
        server.servicer.faults.parameters = {"version": "2"}
        assert endpoint_transcription.partial_path(target, client, client.served()) != first
        client.close()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "NVIDIA_API_KEY"),
        (grpc.StatusCode.NOT_FOUND, "ASR_NVCF_FUNCTION_ID"),
        (grpc.StatusCode.UNIMPLEMENTED, "streaming-only"),
        (grpc.StatusCode.INVALID_ARGUMENT, "language"),
        (grpc.StatusCode.INTERNAL, "log"),
    ],
)
def test_a_refused_row_is_named_and_not_tried_again(
    serving_plan: ValidationPlan, tmp_path: Path, code: grpc.StatusCode, told: str
) -> None:
    """Waiting does not mend these."""
    with riva_server.running(tmp_path, Faults(refuses=code)) as server:
        client = Client(Endpoint(server.address), QUICK)
        target = serving_plan.folder / endpoint_transcription.SERVED_NAME
        with pytest.raises(ServingError, match=told) as failed:
            endpoint_transcription.transcribe(serving_plan.rows[:1], client, target, 1)
        client.close()
    assert server.servicer.calls == 1
    assert serving_plan.rows[0].utterance.audio_filepath in str(failed.value)


def test_the_request_is_the_contracts(serving_plan: ValidationPlan, tmp_path: Path) -> None:
    """16-bit mono PCM at the file's rate, one offline call a row; no key on a plain connection."""
    with riva_server.running(tmp_path) as server:
        client = Client(Endpoint(server.address), QUICK)
        endpoint_transcription.transcribe(
            serving_plan.rows, client, serving_plan.folder / endpoint_transcription.SERVED_NAME, 4
        )
        client.close()
    assert server.servicer.calls == len(serving_plan.rows)
    for one in server.servicer.configs:
        assert (one.sample_rate_hertz, one.audio_channel_count, one.encoding) == (16000, 1, 1)
        assert (one.language_code, one.max_alternatives) == ("en-US", 1)
        assert not one.enable_automatic_punctuation
    assert not any("authorization" in one for one in server.servicer.metadata)


INTERRUPTIBLE = """
import signal, sys
from pathlib import Path
from tasks.data.cycle_folder import open_cycle
from tasks.models.catalog import embedded_path
from tasks.serving import endpoint_transcription, validation
from tasks.serving.riva_client import Client, Endpoint, Retry

# What a shell starts in the background ignores SIGINT; here it interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
plan = validation.plan(open_cycle(Path(sys.argv[1])), model=embedded_path())
# Full jitter may draw a pause of next to nothing: of this bound, one in a million is under 5 s.
client = Client(Endpoint(sys.argv[2]), Retry(attempts=99, first_s=5e6, longest_s=5e6))
out = plan.folder / endpoint_transcription.SERVED_NAME
endpoint_transcription.transcribe(plan.rows, client, out, 1)
"""


def test_a_cancelled_run_ends_at_once(
    serving_plan: ValidationPlan, sixteen_rows: Path, tmp_path: Path
) -> None:
    """A busy server is not waited for when the run is stopped, and not asked for another row."""
    assert len(serving_plan.rows) > 1
    called = threading.Event()
    with riva_server.running(tmp_path, Faults(busy=10_000, on_call=called.set)) as server:
        line = [sys.executable, "-c", INTERRUPTIBLE, str(sixteen_rows), server.address]
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert called.wait(120)
                time.sleep(0.5)  # until it waits for its second attempt
                process.send_signal(signal.SIGINT)
                told = process.communicate(timeout=60)[1]
            finally:
                process.kill()
        assert told.rstrip().endswith("KeyboardInterrupt"), told
        assert server.servicer.calls == 1


def test_a_run_cancelled_while_rows_are_handed_out_ends_at_once(
    serving_plan: ValidationPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row that is under way by then waits for nothing more either."""
    called = threading.Event()

    class Cancelled(ThreadPoolExecutor):
        def submit(self, *given: Any, **named: Any) -> Any:
            if self._threads:
                assert called.wait(60)
                raise KeyboardInterrupt
            return super().submit(*given, **named)

    monkeypatch.setattr(endpoint_transcription, "ThreadPoolExecutor", Cancelled)
    with riva_server.running(tmp_path, Faults(busy=10_000, on_call=called.set)) as server:
        client = Client(Endpoint(server.address), Retry(attempts=99, first_s=5e6, longest_s=5e6))
        with pytest.raises(KeyboardInterrupt):
            endpoint_transcription.transcribe(
                serving_plan.rows,
                client,
                serving_plan.folder / endpoint_transcription.SERVED_NAME,
                2,
            )
        client.close()
        assert server.servicer.calls == 1
