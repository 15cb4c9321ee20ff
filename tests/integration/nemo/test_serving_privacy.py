"""What leaves the machine for a server: audio after consent, and the key to the endpoint alone."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import flows.validate_serving
from asr_flywheel import cli
from tasks.common.errors import InputError
from tasks.models.catalog import embedded_path
from tasks.serving import endpoint_transcription
from tasks.serving.riva_client import Client, Endpoint, EndpointSettings, ServingError
from tests.support import riva_server, secret_search
from tests.support.planted_faults import QUICK
from tests.support.riva_server import Faults

if TYPE_CHECKING:
    from pathlib import Path

    from flows.serving_config import ServingConfig
    from tasks.serving.parity_report import ParityReport
    from tasks.serving.validation import ValidationPlan

KEY = "nvapi-planted-KEY-0123456789"


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
    serving_plan: ValidationPlan, address: str, *, local: bool
) -> None:
    """Rows, minutes and host are said first."""
    found = endpoint_transcription.outgoing_audio(serving_plan.rows, Endpoint(address))
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
    serving_plan: ValidationPlan,
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
    line = ["validate-serving", str(serving_plan.cycle.path), "--endpoint", "192.0.2.1:50051"]
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
    serving_plan: ValidationPlan, sixteen_rows: Path, tmp_path: Path
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
            f"report = validate_serving(ServingConfig(cycle={str(sixteen_rows)!r},"
            f" endpoint=settings, phrases={str(tmp_path / 'phrases.txt')!r},"
            " boost_scores=(30.0,)))\n"
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
    assert secret_search.files_with(KEY, home, sixteen_rows.parent, tmp_path / "output") == []
    assert not any(KEY in line for line in lines)


def test_a_refused_key_is_not_in_the_error(serving_plan: ValidationPlan, tmp_path: Path) -> None:
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
                serving_plan.rows,
                client,
                serving_plan.folder / endpoint_transcription.SERVED_NAME,
                2,
            )
        client.close()
    assert "Bearer (key)" in str(failed.value)
    assert KEY not in str(failed.value)
