"""The benchmark's sixty clinical terms, with a pronunciation where the synthesiser's own is wrong.

Each pronunciation was judged by reading what the synthesiser's grapheme-to-phoneme step made of
the word. Where that was a plausible clinical pronunciation it is used as it stands; where it was
mangled (``metformin`` as "MET-form-in", ``cholangitis`` with the *ch* of "church") the lexicon
overrides it. The alphabet is the synthesiser's: IPA, with A, I, O, W for the diphthongs of
"day", "my", "go", "now" and T for the flapped t of "city".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Category = Literal["drug", "procedure", "anatomy", "condition", "lab", "role"]


@dataclass(frozen=True)
class Term:
    """One clinical term with the facts needed to say it in a sentence.

    Attributes:
        text: The term as it is written in a transcript: lower case, words only.
        category: Its entity category, from the fixed vocabulary of clinical manifests.
        ipa: A pronunciation that replaces the synthesiser's own, or None where that is right.
        dose: For drugs, an ordinary dose and frequency, in words.
    """

    text: str
    category: Category
    ipa: str | None = None
    dose: str | None = None


TERMS: tuple[Term, ...] = (
    Term("metoprolol", "drug", "mətˈOpɹəlˌɔl", "twenty five milligrams twice daily"),
    Term("lisinopril", "drug", "lIsˈɪnəpɹˌɪl", "ten milligrams daily"),
    Term("atorvastatin", "drug", "ətˌɔɹvəstˈætᵊn", "forty milligrams at bedtime"),
    Term("warfarin", "drug", None, "five milligrams every evening"),
    Term("apixaban", "drug", "əpˈɪksəbˌæn", "five milligrams twice daily"),
    Term("clopidogrel", "drug", "klOpˈɪdəɡɹˌɛl", "seventy five milligrams daily"),
    Term("furosemide", "drug", None, "forty milligrams every morning"),
    Term("spironolactone", "drug", None, "twenty five milligrams daily"),
    Term("amlodipine", "drug", "æmlˈOdəpˌin", "five milligrams daily"),
    Term("metformin", "drug", "mɛtfˈɔɹmɪn", "five hundred milligrams twice daily"),
    Term("empagliflozin", "drug", "ˌɛmpəɡlɪflˈOzɪn", "ten milligrams every morning"),
    Term("levothyroxine", "drug", "lˌivOθIɹˈɑksin", "fifty micrograms before breakfast"),
    Term("prednisone", "drug", None, "forty milligrams daily"),
    Term("albuterol", "drug", None, "two puffs every six hours"),
    Term("tiotropium", "drug", "tˌIətɹˈOpiəm", "two inhalations daily"),
    Term("vancomycin", "drug", None, "one gram every twelve hours"),
    Term("piperacillin", "drug", None, "four grams every six hours"),
    Term("ceftriaxone", "drug", "sˌɛftɹIˈæksOn", "two grams daily"),
    Term("azithromycin", "drug", "əzˌɪθɹəmˈIsɪn", "five hundred milligrams daily"),
    Term("gabapentin", "drug", "ɡˌæbəpˈɛntɪn", "three hundred milligrams three times daily"),
    Term("sertraline", "drug", "sˈɜɹtɹəlˌin", "fifty milligrams daily"),
    Term("escitalopram", "drug", None, "ten milligrams daily"),
    Term("quetiapine", "drug", "kwətˈIəpˌin", "twenty five milligrams at bedtime"),
    Term("pantoprazole", "drug", "pæntˈOpɹəzˌOl", "forty milligrams before breakfast"),
    Term("enoxaparin", "drug", "ɪnˌɑksəpˈɛɹɪn", "forty milligrams daily"),
    Term("cholecystectomy", "procedure"),
    Term("colonoscopy", "procedure"),
    Term("thoracentesis", "procedure"),
    Term("paracentesis", "procedure"),
    Term("bronchoscopy", "procedure"),
    Term("laparoscopy", "procedure"),
    Term("lumbar puncture", "procedure"),
    Term("duodenum", "anatomy"),
    Term("mitral valve", "anatomy"),
    Term("popliteal artery", "anatomy"),
    Term("brachial plexus", "anatomy"),
    Term("acetabulum", "anatomy"),
    Term("pancreas", "anatomy"),
    Term("olecranon", "anatomy"),
    Term("atrial fibrillation", "condition"),
    Term("cholangitis", "condition", "kˌOlænʤˈITəs"),
    Term("pyelonephritis", "condition"),
    Term("sarcoidosis", "condition"),
    Term("diverticulitis", "condition"),
    Term("pneumothorax", "condition"),
    Term("cellulitis", "condition"),
    Term("troponin", "lab", "tɹˈOpənɪn"),
    Term("serum creatinine", "lab"),
    Term("hemoglobin", "lab"),
    Term("procalcitonin", "lab", "pɹˌOkælsətˈOnɪn"),
    Term("bilirubin", "lab", "bˌɪləɹˈubən"),
    Term("ferritin", "lab"),
    Term("lipase", "lab"),
    Term("phlebotomist", "role"),
    Term("anesthesiologist", "role"),
    Term("hospitalist", "role"),
    Term("intensivist", "role"),
    Term("nephrologist", "role"),
    Term("perfusionist", "role"),
    Term("respiratory therapist", "role"),
)

#: Words of two-word terms that any speaker of English uses. A recogniser that knows them does not
#: thereby know the term; every other word of a term is kept from the base model's training text.
ORDINARY_WORDS: frozenset[str] = frozenset({"puncture", "valve", "artery", "serum", "therapist"})


def unfamiliar_words() -> frozenset[str]:
    """Return the words of the terms that are not ordinary English."""
    return frozenset(word for term in TERMS for word in term.text.split()) - ORDINARY_WORDS
