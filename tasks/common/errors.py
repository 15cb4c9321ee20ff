"""Exceptions that the command line reports without a traceback.

A refusal of the gate is not an error: it is a verdict, and travels as a value.
"""

from __future__ import annotations


class FlywheelError(Exception):
    """An error that the user can mend; the message names the object, the value and the fix."""


class InputError(FlywheelError):
    """Unusable user input, raised before any GPU second is spent."""


class TrainingError(FlywheelError):
    """Training ended without a usable model."""


class TranscriptionError(FlywheelError):
    """Transcription ended without a hypothesis for every row."""
