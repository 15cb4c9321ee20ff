"""The Slurm runtime: a run's stages are programs of one job on a cluster's node."""
