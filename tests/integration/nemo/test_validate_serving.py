"""Serving parity over real gRPC: a clean server is exact, each planted fault gets its name."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
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
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import flows.validate_serving
from asr_flywheel import cli
from asr_flywheel.demo.terms import TERMS
from tasks.common.errors import InputError
from tasks.data.cycle_folder import open_cycle
from tasks.evaluation.result_reading import read_hypotheses
from tasks.models.catalog import embedded_path
from tasks.serving import boost_sweep, endpoint_transcription, validation, word_boosting
from tasks.serving.parity import MismatchKind
from tasks.serving.riva_client import Client, Endpoint, EndpointSettings, Retry, ServingError
from tests.support import evaluated_cycles, factories, riva_server, secret_search
from tests.support.planted_faults import PLANTED, QUICK, check_named, validate
from tests.support.riva_server import Faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flows.serving_config import ServingConfig
    from tasks.serving.boost_sweep import BoostSweep
    from tasks.serving.causes import CauseName
    from tasks.serving.parity_report import ParityReport
    from tasks.serving.validation import ValidationPlan

KEY = "nvapi-planted-KEY-0123456789"


@pytest.fixture(scope="module")
def cycle(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen rows of it."""
    return evaluated_cycles.copy_rows(demo, tmp_path_factory.mktemp("serving") / "cycle1", 3)


@pytest.fixture
def plan(cycle: Path) -> Iterator[ValidationPlan]:
    """What to compare; what a test wrote beside the offline evaluation goes."""
    yield validation.plan(open_cycle(cycle), model=embedded_path())
    for path in (*cycle.glob("serv*"), *cycle.glob(".serv*")):
        path.unlink()


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
    cycle: Path, tmp_path: Path
) -> None:
    """Floating point and 24 bits leave at their level; answers are known by the same hashes."""
    other = shutil.copytree(cycle, tmp_path / "cycle1")
    for place, path in enumerate(sorted((other / "audio").iterdir())):
        wave, rate = soundfile.read(path)
        kind, subtype = KEPT_AS[place % len(KEPT_AS)]
        soundfile.write(path, wave, rate, format=kind, subtype=subtype)
    plan = validation.plan(open_cycle(other), model=embedded_path())
    before = validation.plan(open_cycle(cycle), model=embedded_path())
    assert [row.audio_sha256 for row in plan.rows] == [row.audio_sha256 for row in before.rows]
    report = validate(plan, Faults(), tmp_path)
    assert report.verdict == "exact"
    assert all(row.converted for row in report.comparison.rows)


@pytest.mark.parametrize(("faults", "wanted"), PLANTED.values(), ids=list(PLANTED))
def test_a_planted_fault_is_named(
    plan: ValidationPlan, tmp_path: Path, faults: Faults, wanted: CauseName
) -> None:
    """Alone, with evidence and a remedy; words that did not change count alike."""
    check_named(plan, faults, wanted, tmp_path)


def test_rows_that_were_not_compared_are_no_parity(
    cycle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reference that was corrected after the evaluation: the row is named, and the exit is 3."""
    other = shutil.copytree(cycle, tmp_path / "cycle1")
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


def test_rate_limits_lose_no_row(plan: ValidationPlan, tmp_path: Path) -> None:
    """Two of three calls are refused as too many; every row is answered in the end."""
    report = validate(plan, Faults(busy=3), tmp_path)
    assert report.verdict == "exact"
    assert report.attempts >= len(plan.rows)


def test_a_cut_connection_loses_no_row(plan: ValidationPlan, tmp_path: Path) -> None:
    """The server goes away in mid-cycle, with calls under way, and comes back."""
    report = validate(plan, Faults(drops=7), tmp_path)
    assert report.verdict == "exact"
    assert len(read_hypotheses(plan.folder / endpoint_transcription.SERVED_NAME)) == len(plan.rows)


def test_what_was_answered_is_not_asked_for_again(plan: ValidationPlan, tmp_path: Path) -> None:
    """A server that stays away ends the run; the next start goes on where it ended."""
    target = plan.folder / endpoint_transcription.SERVED_NAME
    with riva_server.running(tmp_path, Faults(gone_after=9)) as server:
        client = Client(Endpoint(server.address), Retry(attempts=2, first_s=0.01, longest_s=0.01))
        with pytest.raises(ServingError, match=r"UNAVAILABLE .*tried 2 times.*goes on there"):
            endpoint_transcription.transcribe(plan.rows, client, target, 1)
        assert not target.exists()
        (part,) = plan.folder.glob(".served*.part")
        part.write_text(part.read_text() + '{"audio_sha256": "cut by a kill')
        server.servicer.faults.gone_after = 0
        served = endpoint_transcription.transcribe(plan.rows, client, target, 4)
        client.close()
    assert served.asked == len(plan.rows) - 9
    assert server.servicer.answered == len(plan.rows)
    assert not part.exists()
    assert [row.hyp for row in read_hypotheses(target)] == [
        row.hyp for row in read_hypotheses(plan.offline)
    ]


def test_answers_of_another_model_are_not_mixed_in(plan: ValidationPlan, tmp_path: Path) -> None:
    """What the endpoint says that it serves tells two deployments at one address apart."""
    target = plan.folder / endpoint_transcription.SERVED_NAME
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
    plan: ValidationPlan, tmp_path: Path, code: grpc.StatusCode, told: str
) -> None:
    """Waiting does not mend these."""
    with riva_server.running(tmp_path, Faults(refuses=code)) as server:
        client = Client(Endpoint(server.address), QUICK)
        target = plan.folder / endpoint_transcription.SERVED_NAME
        with pytest.raises(ServingError, match=told) as failed:
            endpoint_transcription.transcribe(plan.rows[:1], client, target, 1)
        client.close()
    assert server.servicer.calls == 1
    assert plan.rows[0].utterance.audio_filepath in str(failed.value)


def test_the_request_is_the_contracts(plan: ValidationPlan, tmp_path: Path) -> None:
    """16-bit mono PCM at the file's rate, one offline call a row; no key on a plain connection."""
    with riva_server.running(tmp_path) as server:
        client = Client(Endpoint(server.address), QUICK)
        endpoint_transcription.transcribe(
            plan.rows, client, plan.folder / endpoint_transcription.SERVED_NAME, 4
        )
        client.close()
    assert server.servicer.calls == len(plan.rows)
    for one in server.servicer.configs:
        assert (one.sample_rate_hertz, one.audio_channel_count, one.encoding) == (16000, 1, 1)
        assert (one.language_code, one.max_alternatives) == ("en-US", 1)
        assert not one.enable_automatic_punctuation
    assert not any("authorization" in one for one in server.servicer.metadata)


def swept(plan: ValidationPlan, faults: Faults, folder: Path) -> tuple[BoostSweep, list[Any]]:
    """The terms of the demo sent at three scores; and what the server was sent."""
    with riva_server.running(folder, faults) as server:
        client = Client(Endpoint(server.address), QUICK)
        target = plan.folder / endpoint_transcription.SERVED_NAME
        endpoint_transcription.transcribe(plan.rows, client, target, 4)
        found = boost_sweep.sweep(
            plan.rows,
            plan.offline,
            client,
            [term.text for term in TERMS],
            word_boosting.scores_for(plan.flag),
            flag=plan.flag,
            concurrency=4,
        )
        client.close()
    return found, server.servicer.configs


def test_three_scores_are_measured_on_a_server_that_heeds_phrases(
    plan: ValidationPlan, tmp_path: Path
) -> None:
    """By real boosted decoding: fewer terms missed, what it costs, and no known strength."""
    found, configs = swept(plan, Faults(strength_of=lambda score: score / 50), tmp_path)
    assert [line.score for line in found.lines] == [0, 20, 60, 100]
    assert (found.basis, found.n, found.phrases) == ("all", 16, 60)
    assert found.heeded
    plain, *boosted = found.lines
    assert min(line.keyword.hits for line in boosted) < plain.keyword.hits
    sent = {tuple(one.boost for one in config.speech_contexts) for config in configs}
    assert sent == {(), (20.0,), (60.0,), (100.0,)}
    assert all(len(c.phrases) == 60 for config in configs for c in config.speech_contexts)
    hyps = read_hypotheses(plan.folder / "served_boosted_60_hyps.jsonl")
    served = read_hypotheses(plan.folder / endpoint_transcription.SERVED_NAME)
    changed = sum(one.hyp != two.hyp for one, two in zip(hyps, served, strict=True))
    assert found.lines[2].changed == changed
    assert found.as_dict()["decoder"] == "decoder=greedy_ctc"


def test_a_server_that_does_not_heed_phrases_is_told(plan: ValidationPlan, tmp_path: Path) -> None:
    """No text changes at any score."""
    found, _ = swept(plan, Faults(), tmp_path)
    assert not found.heeded
    assert "No row changed at score 20, 60, 100" in found.findings()[1]
    assert "not heeded" in found.findings()[0]


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("localhost:50051", True),
        ("127.0.0.1:50051", True),
        ("[::1]:50051", True),
        ("10.0.0.5:50051", False),
        ("localhost.evil.example:50051", False),
        ("grpc.nvcf.nvidia.com:443", False),
    ],
)
def test_audio_leaves_the_machine_only_with_consent(
    plan: ValidationPlan, address: str, *, local: bool
) -> None:
    """Rows, minutes and host are said first."""
    found = endpoint_transcription.outgoing_audio(plan.rows, Endpoint(address))
    assert found.local is local
    endpoint_transcription.require_consent(found, consent=True)
    if local:
        endpoint_transcription.require_consent(found, consent=False)
        return
    with pytest.raises(InputError, match=r"16 recordings \([0-9.]+ minutes") as told:
        endpoint_transcription.require_consent(found, consent=False)
    assert Endpoint(address).host in str(told.value)


@pytest.mark.parametrize(("typed", "goes"), [("n\n", False), ("\x04", False), ("y\n", True)])
def test_a_person_is_asked_after_hearing_what_leaves(
    plan: ValidationPlan,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    typed: str,
    goes: bool,
) -> None:
    """At the terminal: rows and minutes, then the question; nothing goes before the answer."""
    started: list[ServingConfig] = []

    def flow(config: ServingConfig) -> ParityReport:
        started.append(config)
        raise InputError("not in this test")

    monkeypatch.setattr(flows.validate_serving, "validate_serving", flow)
    line = ["validate-serving", str(plan.cycle.path), "--endpoint", "192.0.2.1:50051"]
    monkeypatch.setattr(sys, "argv", ["asr-flywheel", *line, "--model", str(embedded_path())])
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        os.write(ours, typed.encode())
        with pytest.raises(SystemExit):
            cli.main()
    os.close(ours)
    told = capsys.readouterr().err
    assert told.index("16 recordings (") < told.index("leave this machine for 192.0.2.1")
    assert told.index("stop here") < told.index("Send them to 192.0.2.1?")
    assert [config.audio_may_leave for config in started] == [True] * goes


def test_where_the_endpoint_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of one's own goes before a hosted function, which needs a key and TLS."""
    for name in ("ASR_ENDPOINT", "ASR_NVCF_FUNCTION_ID", "ASR_MODEL_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="ASR_ENDPOINT"):
        EndpointSettings().endpoint(str)
    monkeypatch.setenv("ASR_NVCF_FUNCTION_ID", "f-1")
    monkeypatch.setenv("ASR_MODEL_NAME", "ours")
    with pytest.raises(InputError, match="NVIDIA_API_KEY"):
        EndpointSettings().endpoint(str)
    hosted = EndpointSettings().endpoint(lambda: KEY)
    assert (hosted.address, hosted.tls, hosted.name) == ("grpc.nvcf.nvidia.com:443", True, "ours")
    assert KEY not in repr(hosted) + json.dumps(hosted.as_dict())
    monkeypatch.setenv("ASR_ENDPOINT", "localhost:50051")
    own = EndpointSettings().endpoint(lambda: KEY)
    assert (own.address, own.tls, own.api_key) == ("localhost:50051", False, "")
    with pytest.raises(InputError, match="TLS only"):
        EndpointSettings(address="a:1", function_id="f").endpoint(lambda: KEY)
    with pytest.raises(InputError, match="host:port"):
        EndpointSettings(address="http://localhost:50051").endpoint(str)


def certificate() -> tuple[bytes, bytes]:
    """A key and a certificate for localhost, signed by itself, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, made.public_bytes(serialization.Encoding.PEM)


def test_the_key_goes_to_the_server_and_nowhere_else(
    plan: ValidationPlan, cycle: Path, tmp_path: Path
) -> None:
    """Over TLS, through the whole flow: in no log, artifact, database, file or process list."""
    private, public = certificate()
    (tmp_path / "root.pem").write_bytes(public)
    (tmp_path / "phrases.txt").write_text("Aspirin\nwarfarin\n")
    home = tmp_path / "prefect"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"},
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG",
        "ASR_NVCF_FUNCTION_ID": "function-1",
        "NVIDIA_API_KEY": KEY,
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    with riva_server.running(tmp_path, Faults(key=KEY), certificate=(private, public)) as server:
        address = server.address.replace("127.0.0.1", "localhost")
        code = (
            "from flows.validate_serving import validate_serving\n"
            "from flows.serving_config import ServingConfig\n"
            "from tasks.serving.riva_client import EndpointSettings\n"
            f"settings = EndpointSettings(address={address!r}, tls=True, function_id='function-1',"
            f" tls_root={str(tmp_path / 'root.pem')!r})\n"
            f"report = validate_serving(ServingConfig(cycle={str(cycle)!r}, endpoint=settings,"
            f" phrases={str(tmp_path / 'phrases.txt')!r}, boost_scores=(30.0,)))\n"
            "assert report.verdict == 'exact', report.verdict\n"
            "assert [line.score for line in report.boosting.lines] == [0.0, 30.0]\n"
            "assert '## Boosted phrases' in report.as_markdown()\n"
        )
        with secret_search.watched_processes() as lines, (tmp_path / "output").open("wb") as out:
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, stdout=out, stderr=out, check=False
            )
        first = server.servicer.metadata[0]
    assert done.returncode == 0, (tmp_path / "output").read_text()
    assert (first["authorization"], first["function-id"]) == (f"Bearer {KEY}", "function-1")
    assert list(home.rglob("*.db"))
    assert secret_search.files_with(KEY, home, cycle.parent, tmp_path / "output") == []
    assert not any(KEY in line for line in lines)


def test_a_refused_key_is_not_in_the_error(plan: ValidationPlan, tmp_path: Path) -> None:
    """Even where the server quotes it."""
    private, public = certificate()
    (tmp_path / "root.pem").write_bytes(public)
    with riva_server.running(
        tmp_path, Faults(key="another"), certificate=(private, public)
    ) as server:
        address = server.address.replace("127.0.0.1", "localhost")
        root = tmp_path / "root.pem"
        endpoint = Endpoint(address, True, "f-1", tls_root=root, api_key=KEY)
        client = Client(endpoint, QUICK)
        with pytest.raises(ServingError, match="UNAUTHENTICATED") as failed:
            endpoint_transcription.transcribe(
                plan.rows, client, plan.folder / endpoint_transcription.SERVED_NAME, 2
            )
        client.close()
    assert "Bearer (key)" in str(failed.value)
    assert KEY not in str(failed.value)


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


def test_a_cancelled_run_ends_at_once(plan: ValidationPlan, cycle: Path, tmp_path: Path) -> None:
    """A busy server is not waited for when the run is stopped, and not asked for another row."""
    assert len(plan.rows) > 1
    called = threading.Event()
    with riva_server.running(tmp_path, Faults(busy=10_000, on_call=called.set)) as server:
        line = [sys.executable, "-c", INTERRUPTIBLE, str(cycle), server.address]
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
    plan: ValidationPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
                plan.rows, client, plan.folder / endpoint_transcription.SERVED_NAME, 2
            )
        client.close()
        assert server.servicer.calls == 1
