"""The benchmark's sentences: how clinicians would say a term in four kinds of record.

``{term}`` is the term and ``{dose}`` a drug's dose and frequency in words. No word begins or ends
with a digit or a punctuation mark, because the transcripts have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from asr_flywheel.demo.terms import Category

ContextType = Literal["dictation", "handoff", "chart_note", "history"]

CONTEXTS: tuple[ContextType, ...] = ("dictation", "handoff", "chart_note", "history")

CARRIERS: dict[ContextType, dict[Category, tuple[str, ...]]] = {
    "dictation": {
        "drug": (
            "please start {term} {dose} and recheck labs in one week",
            "continue {term} {dose} for the rest of this admission",
            "the plan is to add {term} {dose} and see her in clinic",
        ),
        "procedure": (
            "the patient was brought to the suite for {term} under sedation",
            "we discussed the risks of {term} and consent was signed",
        ),
        "anatomy": (
            "the {term} appears normal in size and contour",
            "careful inspection of the {term} showed no injury",
        ),
        "condition": (
            "final impression is {term} which is improving with treatment",
            "findings are most consistent with {term} at this time",
        ),
        "lab": (
            "the {term} came back higher than expected this morning",
            "we will repeat the {term} with the next blood draw",
        ),
        "role": (
            "the case was reviewed with the {term} before transfer",
            "thank you to the {term} for seeing this pleasant patient",
        ),
    },
    "handoff": {
        "drug": (
            "bed four is on {term} {dose} and the next dose is due at nine",
            "overnight we gave {term} without any trouble",
            "watch her closely because the {term} was just increased today",
        ),
        "procedure": (
            "she is going for {term} in the morning so keep her fasting",
            "{term} was done this afternoon and the dressing is dry",
        ),
        "anatomy": (
            "the scan showed something near the {term} so surgery was called",
            "imaging of the {term} is still pending tonight",
        ),
        "condition": (
            "room twelve was admitted with {term} and is stable on the floor",
            "he came in with {term} and family is at the bedside",
        ),
        "lab": (
            "call me if the {term} keeps rising overnight",
            "the {term} is still not back from downstairs so please follow it",
        ),
        "role": (
            "page the {term} if anything changes after midnight",
            "the {term} already knows about bed seven",
        ),
    },
    "chart_note": {
        "drug": (
            "medication list reviewed and {term} remains unchanged at this visit",
            "patient reports no side effects from {term} since discharge",
            "{term} {dose} was refilled for ninety days",
        ),
        "procedure": (
            "status post {term} with no complications noted",
            "{term} scheduled for thursday pending insurance approval",
        ),
        "anatomy": (
            "known abnormality of the {term} unchanged from prior study",
            "repeat imaging of the {term} ordered in six weeks",
        ),
        "condition": (
            "assessment today is {term} with good response so far",
            "follow up visit for {term} with no new complaints",
        ),
        "lab": (
            "{term} within normal limits on admission",
            "trend the {term} daily until discharge",
        ),
        "role": (
            "seen and examined together with the {term} on rounds",
            "{term} present for the family meeting today",
        ),
    },
    "history": {
        "drug": (
            "she has taken {term} for almost ten years",
            "he stopped taking {term} last month because of the cost",
            "home medicines include {term} {dose} and a daily vitamin",
        ),
        "procedure": (
            "his last {term} was about three years ago",
            "she remembers having {term} as a young adult",
        ),
        "anatomy": (
            "he was told years ago that his {term} was damaged",
            "her mother also had surgery on the {term}",
        ),
        "condition": (
            "she was first diagnosed with {term} in her forties",
            "there is a family history of {term} on the maternal side",
        ),
        "lab": (
            "her {term} has been low since last winter",
            "he was told his {term} was abnormal at a health fair",
        ),
        "role": (
            "she met with the {term} twice before the operation",
            "he was last seen by the {term} in april",
        ),
    },
}
