"""Programs that run where NeMo is: here in a process of their own, elsewhere in a container.

Each is one file that needs nothing of this project, so that it can be mounted read-only anywhere.
"""
