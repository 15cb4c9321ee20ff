"""The fixed vocabularies of a manifest, and other people's words for them.

A wrong value is never corrected by letters alike: `medication` is nearer to `condition` than to
`drug`. What another tool calls a category stands in a table; any other value gets no guess.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CATEGORIES = ("drug", "procedure", "anatomy", "condition", "lab", "role")
IPA_SOURCES = ("override", "merriam-webster", "magpie_g2p")

# Labels of clinical NER models and annotation guides: i2b2, n2c2, BC5CDR, MIMIC, UMLS groups.
_CATEGORY_WORDS = {
    "drug": "medication medicine med medicament pharmaceutical pharmaceutic substance chemical "
    "chem rx drugname drug_name medication_name brand brandname generic vaccine antibiotic "
    "drug_brandname drug_ingredient clinical_drug",
    "procedure": "operation surgery treatment intervention therapy proc surgical_procedure "
    "therapeutic_procedure procedure_name imaging imaging_technique diagnostic_procedure",
    "anatomy": "anatomic anatomical body_part bodypart anatomical_site anatomical_structure "
    "body_site organ body_location anatomical_location site",
    "condition": "disease disorder diagnosis problem symptom finding illness dx cond "
    "medical_condition sign_symptom disease_disorder syndrome complaint clinical_finding injury",
    "lab": "test laboratory lab_test labtest laboratory_test lab_value test_name measurement assay "
    "lab_result analyte blood_test biomarker",
    "role": "profession occupation clinician provider staff job person_role specialty speciality "
    "medical_role practitioner clinical_role",
}
_IPA_SOURCE_WORDS = {
    "override": "manual custom lexicon user",
    "merriam-webster": "merriam_webster merriam webster mw m_w dictionary",
    "magpie_g2p": "magpie g2p magpieg2p",
}
_UNKNOWN_VALUE = frozenset(("nan", "none", "null", "na", "n/a", "<na>", "nat", "undefined", "-"))
PANDAS_ADVICE = (
    "(pandas writes NaN where there is no value: df.astype(object).where(df.notna(), None))"
)
_SEPARATORS = re.compile(r"[\s\-/_.]+")


def _table(
    vocabulary: tuple[str, ...], aliases: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the vocabulary's own words, and other people's, by their bare spelling."""
    own = {_bare(word): word for word in vocabulary}
    others = {_bare(alias): word for word, text in aliases.items() for alias in text.split()}
    return own, {**others, **own}


def _bare(value: str) -> str:
    return _SEPARATORS.sub("_", value.strip().lower()).strip("_")


_TABLES = {
    "entity_category": _table(CATEGORIES, _CATEGORY_WORDS),
    "ipa_source": _table(IPA_SOURCES, _IPA_SOURCE_WORDS),
}
VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "entity_category": CATEGORIES,
    "ipa_source": IPA_SOURCES,
}


def find_spelling(field: str, value: str) -> str | None:
    """Return the vocabulary's word that a value is in another case, or in the plural; else None."""
    own, _ = _TABLES[field]
    return next((own[form] for form in _singulars(_bare(value)) if form in own), None)


def find_meaning(field: str, value: str) -> str | None:
    """Return the vocabulary's word that a value means, by the table of aliases; else None."""
    _, every = _TABLES[field]
    return next((every[form] for form in _singulars(_bare(value)) if form in every), None)


def is_empty_value(value: str) -> bool:
    """Return whether a text is how some program writes that there is no value."""
    return value.strip().lower() in _UNKNOWN_VALUE


def _singulars(bare: str) -> list[str]:
    """List a word, and what it may be the plural of."""
    forms = [bare]
    if bare.endswith("ies"):
        forms.append(f"{bare[:-3]}y")
    if bare.endswith("es"):
        forms += [bare[:-2], f"{bare[:-2]}is"]
    if bare.endswith("s"):
        forms.append(bare[:-1])
    return forms


def advise(field: str, value: str) -> str:
    """Return the fix for a value that is not in a field's vocabulary: right when followed."""
    if is_empty_value(value):
        return f'write null, not "{value}" {PANDAS_ADVICE}'
    words = f"one of {', '.join(VOCABULARIES[field])}"
    meant = find_meaning(field, value)
    if meant is None:
        return f"use {words}; null where none of them fits"
    return f'write "{meant}" ({words})'
