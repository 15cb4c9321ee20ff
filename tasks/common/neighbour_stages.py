"""The names of the neighbouring stages, as every message must use them (contracts, Routing)."""

from __future__ import annotations

BUILD = "/digital-health-clinical-asr-build"
EVAL = "/digital-health-clinical-asr-eval"
FINETUNE = "/digital-health-clinical-asr-finetune"
GENERIC = "/finetune-asr"
SERVING = "/riva-asr-custom"
