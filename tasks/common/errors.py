"""The two ways in which a stage can say no without a traceback.

A refusal of the gate is not an error: it is a verdict, and travels as a value.
"""

from __future__ import annotations


class FlywheelError(Exception):
    """Something the user can mend. The message names the thing, the value and the fix."""


class InputError(FlywheelError):
    """What the user handed in cannot be used. Raised before any GPU second is spent."""


class TrainingError(FlywheelError):
    """Training ended without a usable model."""


class TranscriptionError(FlywheelError):
    """Transcription ended without a hypothesis for every row."""
