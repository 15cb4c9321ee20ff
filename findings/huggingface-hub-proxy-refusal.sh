#!/usr/bin/env bash
# huggingface_hub 2.4.0: a proxy that refuses is reported by another exception than a host that is
# not reached.
#
# Expected: hf_hub_download raises one of the library's own errors, or an OSError, wherever a file is
# not in the cache and cannot be fetched: LocalEntryNotFoundError where nobody listens.
# Behaviour: a proxy that answers CONNECT with 502 (or 403, 407) lets httpx2.ProxyError through. It is
# neither an OSError nor an error of the library. Earlier major versions use httpx, or requests.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "huggingface_hub==2.4.0"

cd "$folder"
env -u NO_PROXY -u no_proxy -u HF_ENDPOINT HF_HOME="$folder/hf" "$folder/venv/bin/python" - <<'PYTHON'
import os
import platform
import socket
import threading

import huggingface_hub

print("huggingface_hub", huggingface_hub.__version__, "Python", platform.python_version())
listener = socket.create_server(("127.0.0.1", 0))


def refuse():
    while True:
        client, _ = listener.accept()
        print("the proxy was asked:", client.recv(4096).split(b"\r\n")[0].decode())
        client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        client.close()


threading.Thread(target=refuse, daemon=True).start()
unused = socket.create_server(("127.0.0.1", 0))
nobody = unused.getsockname()[1]
unused.close()


def attempt(what, port):
    os.environ["HTTPS_PROXY"] = f"http://127.0.0.1:{port}"
    huggingface_hub.close_session()
    try:
        huggingface_hub.hf_hub_download("gpt2", "config.json")
    except Exception as wrong:
        kind = type(wrong)
        known = isinstance(wrong, (OSError, huggingface_hub.errors.HfHubHTTPError))
        print(f"{what}: {kind.__module__}.{kind.__name__}, an OSError or of the library: {known}")
        return known
    return None


seen = [
    attempt("a proxy that refuses", listener.getsockname()[1]),
    attempt("a proxy that is not there", nobody),
]
assert seen == [False, True], seen
PYTHON
