"""The names of the row sets that a figure may rest on."""

from __future__ import annotations

EVERY_ROW = "all"
"""The basis where it is not known which rows were trained on."""


HELD_OUT = "held-out"
CHOSE = "selection"
TRAINED = "trained on"
ALL = "all, trained on included"
CROSS_FITTED = "cross-fitted"
UNTUNED = EVERY_ROW
