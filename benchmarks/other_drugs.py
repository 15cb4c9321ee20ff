"""Twenty-five drugs that are not the demo's, for a cycle that the product was not developed on.

The names are in the word list of medwer 1.0.0 (PyPI, MIT); doses are ordinary ones, in words. They
are said as the synthesiser's own letters-to-sounds step reads them.
"""

from __future__ import annotations

from asr_flywheel.demo.terms import TERMS, Term

OTHER_DRUGS: tuple[Term, ...] = (
    Term("allopurinol", "drug", None, "three hundred milligrams daily"),
    Term("bisoprolol", "drug", None, "five milligrams every morning"),
    Term("budesonide", "drug", None, "two puffs twice daily"),
    Term("bumetanide", "drug", None, "one milligram twice daily"),
    Term("carvedilol", "drug", None, "twelve milligrams twice daily"),
    Term("cefepime", "drug", None, "two grams every eight hours"),
    Term("colchicine", "drug", None, "half a milligram twice daily"),
    Term("dexamethasone", "drug", None, "four milligrams every six hours"),
    Term("diltiazem", "drug", None, "sixty milligrams three times daily"),
    Term("doxycycline", "drug", None, "one hundred milligrams twice daily"),
    Term("duloxetine", "drug", None, "sixty milligrams daily"),
    Term("famotidine", "drug", None, "twenty milligrams at bedtime"),
    Term("fluticasone", "drug", None, "two sprays daily"),
    Term("hydralazine", "drug", None, "twenty five milligrams three times daily"),
    Term("lamotrigine", "drug", None, "one hundred milligrams twice daily"),
    Term("levetiracetam", "drug", None, "five hundred milligrams twice daily"),
    Term("linezolid", "drug", None, "six hundred milligrams every twelve hours"),
    Term("liraglutide", "drug", None, "one milligram daily"),
    Term("losartan", "drug", None, "fifty milligrams daily"),
    Term("meropenem", "drug", None, "one gram every eight hours"),
    Term("methimazole", "drug", None, "ten milligrams daily"),
    Term("montelukast", "drug", None, "ten milligrams every evening"),
    Term("olanzapine", "drug", None, "five milligrams at bedtime"),
    Term("ondansetron", "drug", None, "four milligrams every eight hours"),
    Term("pregabalin", "drug", None, "seventy five milligrams twice daily"),
)


def other_terms() -> tuple[Term, ...]:
    """Return the demo's terms with these drugs in the place of its own."""
    return (*OTHER_DRUGS, *(term for term in TERMS if term.category != "drug"))
