"""Clinical sentences for the training text, with a slot that never holds a benchmark term.

They teach how clinicians talk (patients, doses, dates, rooms, roles), so that on the benchmark
the ordinary words are heard and only the terms are missed. None of them is a benchmark sentence.
"""

# ruff: noqa: SIM905 - a line of words reads better than a column of quoted ones

from __future__ import annotations

import random
from collections.abc import Callable

Carrier = Callable[[random.Random, str], str]

#: Ordinary words that a slot may hold.
SLOT_WORDS: tuple[str, ...] = tuple(
    """aspirin insulin penicillin saline oxygen morphine ibuprofen caffeine glucose sodium potassium
    calcium magnesium iron vitamin iodine heparin kidney liver lung heart stomach bowel bladder knee
    shoulder hip ankle wrist elbow spine skull throat thyroid tonsil eardrum asthma bronchitis
    pneumonia diabetes anemia migraine arthritis appendicitis gout measles shingles influenza sepsis
    fracture sprain hernia ulcer stroke seizure surgery biopsy dialysis ultrasound transfusion
    amputation radiation vaccination intubation catheter splint stent nurse surgeon pharmacist
    radiologist cardiologist pediatrician dentist midwife paramedic resident intern dietitian
    cholesterol platelets lactate albumin cortisol sputum urine plasma""".split()
)

NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "twenty_five thirty_five seventy_five one_hundred two_hundred three_hundred five_hundred"
).split()
# Milligrams are by far the commonest.
UNITS = (
    "milligrams milligrams milligrams micrograms grams units puffs tablets drops inhalations"
).split()
FREQUENCIES = (
    "daily,twice daily,three times daily,every morning,every evening,at bedtime,before meals,"
    "every eight hours,every six hours,every four hours,every twelve hours,with breakfast,"
    "before lunch,once a week,as needed,at night"
).split(",")
DAYS = "monday tuesday wednesday thursday friday saturday sunday today tomorrow yesterday".split()
MONTHS = (
    "january february march april may june july august september october november december"
).split()
PEOPLE = (
    "he,she,the patient,this patient,the mother,the father,her husband,his wife,the son,"
    "the daughter,his sister,her brother,the family,the caregiver,the visitor"
).split(",")
STAFF = (
    "the nurse,the charge nurse,the resident,the surgeon,the night team,the day team,the clinic,"
    "the pharmacy,the front desk,the lab,the ward clerk,the consultant,radiology,transport"
).split(",")
PLACES = (
    "the clinic,the emergency room,the recovery room,the ward,the intensive care unit,the suite,"
    "the waiting room,home,the nursing home,another hospital,bed {n},room {n},the second floor"
).split(",")
PERIODS = "days weeks months years hours".split()


def _template(pattern: str) -> Carrier:
    """Return a carrier from a pattern with braces filled at random; ``{x}`` is the slot."""

    def fill(rng: random.Random, slot: str) -> str:
        def number() -> str:
            return rng.choice(NUMBERS).replace("_", " ")

        return pattern.format(
            x=slot,
            n=number(),
            m=number(),
            dose=f"{number()} {rng.choice(UNITS)} {rng.choice(FREQUENCIES)}",
            day=rng.choice(DAYS),
            month=rng.choice(MONTHS),
            who=rng.choice(PEOPLE),
            staff=rng.choice(STAFF),
            place=rng.choice(PLACES).format(n=number()),
            period=rng.choice(PERIODS),
        )

    return fill


PATTERNS = """
{who} takes {x} {dose}
start {x} {dose} on {day}
please continue {x} {dose} until {month}
hold the {x} and call {staff} in {n} hours
we will increase {x} to {n} milligrams {day}
{who} was given {x} {dose} in {place}
add {x} {dose} to the home medicines
{who} stopped {x} because of side effects
refill {x} for {n} days
{x} was refilled and reviewed with {who}
{who} has been on {x} for {n} {period}
no trouble with {x} since last {month}
the next {x} dose is due at {n} on {day}
plan is {x} {dose} and recheck in {n} {period}
{who} reports taking {x} {dose}
medication list includes {x} {dose}
{who} could not afford the cost of {x}
{who} is scheduled for {x} on {day}
{x} was done in {place} without complications
consent for {x} was signed by {who}
we discussed the risks and benefits with {who} before {x}
keep {who} fasting for {x} on {day} morning
{who} went to {place} after the {x}
{x} under sedation was tolerated well
status is stable after {x} in {place}
the dressing over the {x} is clean and dry
{who} had {x} about {n} {period} ago
approval for {x} is pending with the insurance
the last {x} was in {month}
on inspection the {x} was normal in color and size
there is pain near the {x} since {day}
the scan of the {x} looks normal compared with {month}
imaging showed an injury to the {x}
repeat study of the {x} in {n} {period}
surgery on the {x} was done {n} {period} ago
no abnormality of the {x} on examination
the contour of the {x} is unchanged
{who} was admitted to {place} with {x}
{who} was diagnosed with {x} {n} {period} ago
impression {x} which is getting better with treatment
findings are consistent with {x}
assessment {x} with a good response
{who} has a family history of {x}
{x} on the maternal side and {x} on the paternal side
{who} came to {place} with {x} and no other complaints
treatment for {x} was started {day}
{x} is improving and {who} is stable
discharge to {place} when the {x} is better
the {x} came back high on {day}
repeat the {x} with the morning labs
{x} was within normal limits in {month}
{x} is pending please follow up on {day}
the {x} has been rising since {day}
trend {x} every {n} hours during this admission
{who} was told that the {x} was low
blood was drawn for {x} at {n} on {day}
lab called about a {x} of {n}
the {x} was lower than expected
page {staff} if the {x} changes overnight
{who} was seen by the {x} in {place}
the {x} examined {who} together with {staff}
the {x} will see {who} on {day}
{staff} spoke with the {x} after midnight
thank you for asking the {x} to see {who}
call the {x} when {who} is back in {place}
family meeting with the {x} is on {day}
the {x} was present on rounds
{who} met the {x} before the operation
the {x} reviewed the case with {staff}
{who} is in bed {n} and needs {x} {day}
bed {n} and bed {m} are both waiting for {x}
room {n} is doing well on {x}
{staff} already knows about room {n}
watch {who} closely {day} because of the {x}
overnight {who} was comfortable and {x} was given {n} times
nothing to do for {who} except {x} at {n}
{who} will be seen in clinic in {n} {period}
{who} is a {n} year old with {x}
this pleasant {n} year old was transferred from {place}
follow up with {staff} in {n} {period} for {x}
{who} has no new complaints at this visit
labs were reviewed with {who} and {staff}
chart reviewed and {x} is unchanged from the prior note
past history includes {x} in childhood and {x} as an adult
{who} remembers {x} from {n} {period} ago
{who} denies {x} and has no known allergies
{who} in the forties was first seen for {x}
seen and discussed with {staff} on rounds {day}
{who} was brought to {place} at {n} on {day}
{who} is going to {place} this afternoon for {x}
{who} is at the bedside and has questions about {x}
vital signs are stable and {who} is resting
the health fair in {month} found {x}
please recheck the {x} at the next visit
{x} and {x} were both ordered by {staff}
{x}
the {x}
""".strip().splitlines()

CARRIERS: tuple[Carrier, ...] = tuple(map(_template, PATTERNS))
