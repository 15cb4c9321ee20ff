"""The tables of the canonical view: spellings that are the same spoken words.

Each table maps a spelling to what is spoken. An entry belongs here only if a listener could not
tell its two sides apart: ``mg`` is spoken "milligram", but ``cc`` is not spoken "milliliter".
Words are as ``normalise`` leaves them: lower case, no apostrophe, no accent.
"""

from __future__ import annotations


def words(text: str) -> list[str]:
    """Return the words of a table's entry."""
    return text.split()


REFUSED_PREFIXES = ("a", "an", "non", "un", "in", "im", "anti", "hypo", "hyper")
"""Prefixes behind which no compound may be joined: "a febrile" is not "afebrile"."""

_COMPOUNDS = """
    x ray / x rays / follow up / follow ups / check up / check ups / work up / work ups
    hand off / hand offs / hand over / sign out / break through / set up / wash out / shut down
    health care / bed side / bed time / over night / week end / heart beat / heart burn / heart rate
    head ache / head aches / back ache / tooth ache / stomach ache / ear ache / light headed
    blood stream / blood work / air way / air ways / finger stick / finger sticks / needle stick
    life style / post operative / post operatively / post op / pre operative / pre operatively
    pre op / peri operative / intra operative / intra operatively / post partum / post natal
    pre natal / post menopausal / post traumatic / pre eclampsia / gastro esophageal
    gastro intestinal / cardio vascular / cerebro vascular / broncho spasm / electro cardiogram
    echo cardiogram / sub cutaneous / sub cutaneously / sub total / sub acute / intra venous
    intra muscular / intra articular / extra ocular / trans esophageal / trans thoracic / bi lateral
    bi laterally / multi vitamin / multi vitamins / mid line / mid shaft / co pay / co morbid
    co morbidity / co morbidities / co worker / re admission / re admitted / re check / re evaluate
    re evaluation / over weight / under weight / out patient / out patients / self care / web site
    web sites / e mail / e mails / on line / off line / well being / wheel chair
    care giver / care givers / step father / step mother / grand mother / grand father
    tachy cardia / brady cardia / micro albumin / thrombo embolism / pneumo thorax / hemo dialysis
    hemo thorax / osteo arthritis / osteo porosis / ultra sound / ultra sounds / radio therapy
    chemo therapy / physio therapy / beta blocker / beta blockers
    pre existing / co operate / co operates / co operative / co operation / re admit / multi focal
    hemi colectomy / hemi thorax / hemi paresis / hemi plegia
"""

# What is written with letters is spoken letter by letter: "MRI", "M.R.I.", "m r i".
_SPELT_OUT = """
    mri mris ct ecg ekg eeg emg cbc bmp cmp icu copd cpr uti dvt hiv hcv hbv gerd chf cad ckd esrd
    cabg tia cva bph adhd ptsd ptt inr tsh bun ldl hdl afp psa crp esr ngt npo prn bid tid qid qd
    qod qhs iv pm usa uk tv phd md rn lpn ivf iud hpv dna rna
"""

_EPONYMS = """
    addison alzheimer asperger bartter behcet bowen buerger burkitt chagas charcot chvostek
    conn creutzfeldt crohn cushing dressler dupuytren epstein ewing fabry fanconi
    gaucher gilbert goodpasture hashimoto heberden hirschsprung hodgkin horner huntington kaposi
    kartagener kawasaki kernig klinefelter lynch marfan mcburney meckel meniere menetrier
    osler paget parkinson prinzmetal raynaud reiter romberg rovsing schmorl sheehan sjogren
    takayasu tourette trousseau virchow wegener whipple zenker
"""

NAMES_THAT_ARE_WORDS = {f"{name}s": name for name in words("bell down murphy pott turner wilson")}
"""Names only before one of ``HEAD_NOUNS``: "bells palsy", but "church bells"."""

# British and other spellings, to the American one.
_SPELLINGS = """
    anaemia anemia / anaemic anemic / anaesthesia anesthesia / anaesthetic anesthetic
    anaesthetist anesthetist / caecum cecum / caesarean cesarean / caesarian cesarean
    cesarian cesarean / coeliac celiac / colour color / coloured colored / diarrhoea diarrhea
    dyspnoea dyspnea / apnoea apnea / faecal fecal / faeces feces / foetal fetal / foetus fetus
    goitre goiter / gynaecology gynecology / gynaecologist gynecologist / haematemesis hematemesis
    haematocrit hematocrit / haematology hematology / haematoma hematoma / haematuria hematuria
    haemodialysis hemo dialysis / haemodynamic hemodynamic / haemodynamically hemodynamically
    haemoglobin hemoglobin / haemolysis hemolysis / haemolytic hemolytic / haemophilia hemophilia
    haemoptysis hemoptysis / haemorrhage hemorrhage / haemorrhagic hemorrhagic
    haemorrhoid hemorrhoid / haemorrhoids hemorrhoids / hyperglycaemia hyperglycemia
    hypoglycaemia hypoglycemia / hyperkalaemia hyperkalemia / hypokalaemia hypokalemia
    hypernatraemia hypernatremia / hyponatraemia hyponatremia / ischaemia ischemia
    ischaemic ischemic / leukaemia leukemia / oedema edema / oesophageal esophageal
    oesophagus esophagus / oesophagitis esophagitis / oestrogen estrogen / orthopaedic orthopedic
    orthopaedics orthopedics / paediatric pediatric / paediatrician pediatrician
    septicaemia septicemia / sulphate sulfate / sulphur sulfur
    tumour tumor / tumours tumors / uraemia uremia / bacteraemia bacteremia / centre center
    fibre fiber / fibres fibers / grey gray / behaviour behavior / labour labor / favour favor
    favourite favorite / neighbour neighbor / honour honor / humour humor / theatre theater
    programme program / organise organize / organised organized / recognise recognize
    recognised recognized / realise realize / realised realized / hospitalised hospitalized
    stabilised stabilized / catheterisation catheterization / immunisation immunization
    travelled traveled / travelling traveling / cancelled canceled / labelled labeled / ageing aging
    okay ok / alright all right / dr doctor / drs doctors / mr mister / mrs missus / vs versus
    etc et cetera / etcetera et cetera / tshirt t shirt / bpm beats per minute
"""

_UNITS = """
    milligram: mg mgs milligram milligrams milligramme milligrammes
    microgram: mcg mcgs ug ugs microgram micrograms microgramme microgrammes
    kilogram: kg kgs kilogram kilograms kilogramme kilogrammes
    milliliter: ml mls milliliter milliliters millilitre millilitres
    deciliter: dl deciliter deciliters decilitre decilitres
    millimole: mmol mmols millimole millimoles
    micromole: umol umols micromole micromoles
    milliequivalent: meq meqs milliequivalent milliequivalents
    millimeter: mm millimeter millimeters millimetre millimetres
    centimeter: cm cms centimeter centimeters centimetre centimetres
    kilometer: km kms kilometer kilometers kilometre kilometres
    millisecond: msec msecs millisecond milliseconds
    millivolt: mv millivolt millivolts
"""

# Only behind a number or "per": elsewhere these are other words.
_UNITS_BEHIND_NUMBERS = """
    nanogram: ng nanogram nanograms
    gram: g gm gms gram grams gramme grammes
    liter: l liter liters litre litres
    meter: meter meters metre metres
    unit: u unit units
    second: sec secs second seconds
    minute: min mins minute minutes
    hour: h hr hrs hour hours
    day: d day days
    week: wk wks week weeks
    month: mo mos month months
    year: y yr yrs year years
    tablet: tab tabs tablet tablets
    capsule: cap caps capsule capsules
    pound: lb lbs pound pounds
    ounce: oz ounce ounces
    foot: ft foot feet
    dollar: dollar dollars
    euro: euro euros
    degree: deg degs degree degrees
    inch: inch inches
    teaspoon: tsp tsps teaspoon teaspoons
    tablespoon: tbsp tbsps tablespoon tablespoons
"""


def _pairs(table: str) -> dict[str, tuple[str, ...]]:
    """Read "spelling words / spelling words", on any number of lines."""
    entries = [entry.split() for line in table.splitlines() for entry in line.split("/")]
    return {entry[0]: tuple(entry[1:]) for entry in entries if entry}


def joined_compounds(table: str = _COMPOUNDS) -> dict[str, tuple[str, ...]]:
    """Return each listed compound's joined form with its words.

    Raises:
        ValueError: a compound begins with a prefix behind which nothing may be joined.
    """
    compounds: dict[str, tuple[str, ...]] = {}
    for line in table.splitlines():
        for entry in line.split("/"):
            words = tuple(entry.split())
            if not words:
                continue
            if words[0] in REFUSED_PREFIXES:
                raise ValueError(f"{' '.join(words)!r} may not be joined behind {words[0]!r}")
            compounds["".join(words)] = words
    return compounds


def _spellings_of_units(table: str) -> dict[str, tuple[str, ...]]:
    spellings: dict[str, tuple[str, ...]] = {}
    for line in table.strip().splitlines():
        unit, _, written = line.partition(":")
        spellings |= dict.fromkeys(written.split(), (unit.strip(),))
    return spellings


UNITS_BEHIND_NUMBERS = {
    **_spellings_of_units(_UNITS_BEHIND_NUMBERS),
    "am": ("a", "m"),
    **dict.fromkeys(("iu", "ius"), ("international", "units")),
}
"""Spellings of units that count only behind a number or "per"."""

UNITS = _spellings_of_units(_UNITS)
"""Spellings of units, wherever they stand."""

WORDS: dict[str, tuple[str, ...]] = {
    **joined_compounds(),
    **{word: tuple(word) for word in _SPELT_OUT.split()},
    **{f"{name}s": (name,) for name in _EPONYMS.split()},
    **_pairs(_SPELLINGS),
    **UNITS,
}
"""What each spelling is spoken as, wherever it stands."""

HEAD_NOUNS = (
    "disease syndrome sign anomaly sarcoma lymphoma palsy membrane node test reflex maneuver"
    " phenomenon contracture fracture procedure law triad esophagus diverticulum chorea dementia"
)
"""Behind a name's "'s", these make it an eponym, which is written without it as well."""

HYPHENATED_WITH_IN = frozenset(
    words("stent patient patients house law laws hospital situ vitro vivo line depth person")
)
"""Words whose "in-" is the word "in". Every other "in-" may be a negation and stays as it is."""

DENOMINATORS = (
    "dl deciliter l liter ml milliliter kg kilogram m2 hr hour h min minute day d dose week wk"
)
"""Behind a slash, these are spoken with "per"."""

ORDINAL_TENS = words(
    "twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth"
)
ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8"}
"""Roman numerals, which count only behind one of ``NUMBERED``."""
NUMBERED = frozenset(["type", "grade", "stage", "class", "phase", "factor", "category", "nerve"])
