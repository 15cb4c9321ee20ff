"""No secret in any log, database, file, record or process list: planted ones are sought."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support import factories, secret_search
from tests.support.cli_cases import evaluated_cycle

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED",
    "AWS_SECRET_ACCESS_KEY": "planted/aws/secret+0123456789",
    "NVIDIA_API_KEY": "nvapi-planted-0123456789",
    "NGC_API_KEY": "ngc-planted-0123456789",
    "PREFECT_API_AUTH_STRING": "planted-user:planted-password",
}
IN_BLOCK = "planted-in-a-block-0123456789"

# Blocks with secrets are saved; a run that passes its gate then meets a store out of reach, by the
# block and by AWS's own variables; the doctor looks at that store.
PROGRAM = """
import os, sys
from contextlib import suppress
from pathlib import Path
from prefect.blocks.system import Secret
from prefect_aws import AwsCredentials
from asr_flywheel import cli
from blocks.riva_endpoint import RivaEndpoint
from blocks.stores import S3ArtifactStore
from flows.config import CycleConfig
from flows.finetune_cycle import finetune_cycle
from flows.serving_config import ServingConfig
from flows.validate_serving import find_endpoint, validate_serving
from tasks.common.errors import FlywheelError
from tasks.serving.riva_client import EndpointSettings

folder, secret = Path(sys.argv[1]), sys.stdin.read()
Secret(value=secret).save("riva-key")
where = EndpointSettings(address="127.0.0.1:9", tls=True, function_id="f-1")
RivaEndpoint(settings=where, api_key_secret="riva-key").save("hosted")
credentials = AwsCredentials(
    aws_access_key_id="AKIAINBLOCK",
    aws_secret_access_key=secret,
    region_name="us-east-1",
    aws_client_parameters={"endpoint_url": "http://127.0.0.1:9"},
)
S3ArtifactStore(bucket="kept", credentials=credentials).save("kept")
os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
for store in ("s3-artifact-store/kept", "s3://kept/asr"):
    try:
        finetune_cycle(CycleConfig(
                cycle=folder / "cycle1", base="embedded", store=store, general=Path("none")
            ))
        raise SystemExit("the store cannot have been reached")
    except FlywheelError as told:
        print("as expected:", told)
config = ServingConfig(cycle=folder / "cycle1", endpoint_block="hosted")
assert find_endpoint(config).api_key == secret
try:
    validate_serving(config)
    raise SystemExit("there is no audio to send")
except FlywheelError as told:
    print("as expected:", told, flush=True)
sys.argv = "asr-flywheel doctor --base embedded --json --store s3-artifact-store/kept".split()
cli.main()
"""


def test_planted_secrets_are_nowhere(tmp_path: Path) -> None:
    """A run that fails at its store, blocks that hold keys, and the doctor, with secrets around."""
    cycle = evaluated_cycle(tmp_path / "clinic" / "cycle1")
    assert (cycle / "manifest.jsonl").is_file()
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"},
        **PLANTED,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG",
        "HOME": str(tmp_path),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    output = tmp_path / "output"
    with secret_search.watched_processes() as lines, output.open("wb") as out:
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(cycle.parent)],
            env={**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            input=IN_BLOCK.encode(),
            stdout=out,
            stderr=out,
            check=False,
        )
    told = output.read_text()
    assert told.count("as expected:") == 3, told
    found, _ = json.JSONDecoder().raw_decode(told, told.index('{\n  "ok"'))
    findings = found["findings"]
    assert {one["check"]: one["state"] for one in findings}["store"] == "missing"
    assert any("uvicorn" in line for line in lines), "the process list was not watched"
    assert list((tmp_path / "prefect").rglob("*.db")), "there is no database to look into"
    for secret in (*PLANTED.values(), IN_BLOCK):
        assert secret_search.files_with(secret, tmp_path) == []
        assert not any(secret in line for line in lines)


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """In text, in a binary file, in UTF-16, and in a command line."""
    (tmp_path / "log.txt").write_text(f"key={IN_BLOCK}")
    (tmp_path / "blob").write_bytes(b"\0\xff" + IN_BLOCK.encode("utf-16-le"))
    factories.write_rows(tmp_path / "clean.jsonl", [{"key": "another"}])
    found = secret_search.files_with(IN_BLOCK, tmp_path)
    assert [path.name for path in found] == ["blob", "log.txt"]
    with secret_search.watched_processes() as lines:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", IN_BLOCK], check=True)
    assert any(IN_BLOCK in line for line in lines)
