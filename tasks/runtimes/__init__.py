"""Where NeMo runs: a local process or a container; hardware and failures."""
