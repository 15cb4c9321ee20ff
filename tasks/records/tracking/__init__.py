"""Track runs in MLflow: buffered beside the cycle first, sent while a run goes on or later."""
