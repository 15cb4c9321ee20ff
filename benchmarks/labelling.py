"""Rows a second in which a formulary's terms are found: ``python -m benchmarks.labelling``.

Texts are random words with the numbers, units, hyphens and abbreviations of dictations. Most hold a
term, some in the plural or in another spelling.
"""

from __future__ import annotations

import argparse
import random
import resource
import time

from tasks.data.labelling.formulary import FormularyTerm
from tasks.data.labelling.term_matcher import TermMatcher

_LETTERS = ("bcdfglmnprstv", "aeiou")
_TAILS = (
    "takes 25 mg b.i.d. now",
    "for a follow-up in two weeks.",
    "over 120/80 today",
    "and rest",
)
_CATEGORIES = ("drug", "procedure", "anatomy", "condition", "lab", "role")


def _word(draw: random.Random) -> str:
    return "".join(draw.choice(_LETTERS[place % 2]) for place in range(draw.randint(4, 9)))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--terms", type=int, default=5_000)
    options = parser.parse_args()
    draw = random.Random(7)  # noqa: S311 - repeatable, not secret
    words = [_word(draw) for _ in range(20_000)]
    terms = [
        FormularyTerm(
            draw.choice((" ", " ", "-")).join(draw.sample(words, draw.choice((1, 1, 2, 3)))),
            draw.choice(_CATEGORIES),
            f"{number}",
        )
        for number in range(options.terms)
    ]
    texts = []
    for number in range(options.rows):
        before, behind = draw.sample(words, 7), draw.sample(words, 5)
        term = draw.choice(terms).term if number % 4 else ""
        spelling = draw.choice((term, term, f"{term}s", term.replace("-", " "), term.capitalize()))
        texts.append(" ".join([*before, spelling, *behind, draw.choice(_TAILS)]))
    start = time.process_time()
    matcher = TermMatcher(terms)
    built = time.process_time()
    found = sum(bool(matcher.find(text).matches) for text in texts)
    done = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{options.terms:,} terms in a table: {built - start:.2f} s; {options.rows:,} rows, "
        f"{found:,} with a term: {done - built:.1f} s, "
        f"{options.rows / (done - built):,.0f} rows a second of processor; peak {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
