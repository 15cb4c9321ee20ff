"""The commands, one module a group; each is listed in asr_flywheel/cli.py.

Imports that cost time stand inside the commands, so that --help answers at once.
"""
