"""Clinical ASR Flywheel, stage 4: the command line, the embedded demo and its base model."""
