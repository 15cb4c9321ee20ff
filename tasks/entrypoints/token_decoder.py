"""Greedy labels as text, as NeMo's decoding object spells them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from nemo.collections.asr.parts.utils.rnnt_utils import Hypothesis

if TYPE_CHECKING:
    from collections.abc import Sequence

# Texts that are spelt by both ways.
_SPELT_TWICE = 32


class TokenDecoder:
    """Turns greedy labels into text as NeMo's decoding object does, and faster where it may.

    NeMo looks up label after label. The tokenizer's own method does the same at once; it is used
    if both agree on the first texts.
    """

    def __init__(self, model: Any, decoding: Any, *, ctc: bool) -> None:  # noqa: ANN401
        self._decoding = decoding
        self._ctc = ctc
        self._quick: Any = None
        self._agreed = 0
        tokenizer: Any = getattr(model, "tokenizer", None)
        if hasattr(tokenizer, "ids_to_text") and hasattr(
            decoding, "decode_tokens_to_str_with_strip_punctuation"
        ):
            self._quick = copy.copy(decoding)
            self._quick.decode_ids_to_str = tokenizer.ids_to_text

    def __call__(self, rows: Sequence[list[int]]) -> list[str]:
        """Return the texts of rows of labels; a CTC model's still have repetitions and blanks."""
        if self._quick is None:
            return self._decode_exactly(rows)
        texts = [self._decode_quickly(row) for row in rows]
        if self._agreed < _SPELT_TWICE:
            if texts != (exact := self._decode_exactly(rows)):
                self._quick = None
                return exact
            self._agreed += len(rows)
        return texts

    def _decode_exactly(self, rows: Sequence[list[int]]) -> list[str]:
        hypotheses = [Hypothesis(score=0.0, y_sequence=row) for row in rows]
        if self._ctc:
            results = self._decoding.decode_hypothesis(hypotheses, fold_consecutive=True)
        else:
            results = self._decoding.decode_hypothesis(hypotheses)
        return [result.text for result in results]

    def _decode_quickly(self, row: list[int]) -> str:
        blank = self._decoding.blank_id
        if self._ctc:
            row = [
                label
                for label, previous in zip(row, [blank, *row], strict=False)
                if label not in {previous, blank}
            ]
        elif blank in row:
            row = [label for label in row if label != blank]
        return str(self._quick.decode_tokens_to_str_with_strip_punctuation(row))
