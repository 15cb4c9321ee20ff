"""A broken source of any format is refused with its file, its place and a fix; nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.common.errors import InputError
from tasks.data.importers.source_rows import ReadOptions
from tests.support import corpora
from tests.support.corpora import run, speech, write

if TYPE_CHECKING:
    from pathlib import Path

LABELS = """\
        intervals [1]:
            xmin = 0
            xmax = 2
            text = "take aspirin"
        intervals [2]:
            xmin = 2
            xmax = 5
            text = "and come back"
"""
GRID = f"""\
File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 5
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "Doctor"
        xmin = 0
        xmax = 5
        intervals: size = 2
{LABELS}"""
SHORT_GRID = """\
File type = "ooTextFile"
Object class = "TextGrid"

0
5
<exists>
1
"IntervalTier"
"Doctor"
0
5
2
0
2
"take aspirin"
2
5
"and come back"
"""
EAF = """\
<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-11-29T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/>{slot}</TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="doctor"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>take aspirin</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt"
 TIME_ALIGNABLE="true"/></ANNOTATION_DOCUMENT>"""
FIRST = "00:00:00.000 --> 00:00:02.000\ntake aspirin\n"
CV = "client_id\tpath\tsentence\n"
BROKEN = {
    "textgrid times": (
        "v.TextGrid",
        GRID.replace("xmax = 2", "xmax = soon"),
        "v.TextGrid: praatio",
    ),
    "textgrid between labels": (
        "v.TextGrid",
        GRID[: GRID.index("        intervals [2]")],
        "v.TextGrid: ends early: it says that it has 2 labels, and 1 are there",
    ),
    "short textgrid": (
        "v.TextGrid",
        SHORT_GRID[: SHORT_GRID.index('2\n5\n"and')],
        "v.TextGrid: ends early: it says that it has 2 labels, and 1 are there",
    ),
    "a lost tier": (
        "v.TextGrid",
        GRID.replace("\nsize = 1", "\nsize = 2"),
        "v.TextGrid: ends early: it says that it has 2 tiers, and 1 are there",
    ),
    "a lost tier of a short one": (
        "v.TextGrid",
        SHORT_GRID.replace("<exists>\n1", "<exists>\n3"),
        "v.TextGrid: ends early: it says that it has 3 tiers, and 1 are there",
    ),
    "eaf cut off": ("v.eaf", EAF[:600], "v.eaf: pympi cannot read it"),
    "eaf without a slot": (
        "v.eaf",
        EAF.format(slot=""),
        "v.eaf: tier doctor, annotation a1: 'take aspirin' has no time",
    ),
    "eaf not aligned": (
        "v.eaf",
        EAF.format(slot='<TIME_SLOT TIME_SLOT_ID="ts2"/>'),
        "v.eaf: tier doctor, annotation a1: 'take aspirin' has no time",
    ),
    "stm columns": ("v.stm", "v A doctor\n", "v.stm:1: needs recording, channel, speaker"),
    "stm times": ("v.stm", "v A doctor 3 2 hello\n", "v.stm:1: the part from 3 s to 2 s"),
    "ctm times": ("v.ctm", "v A soon 1 hello\n", "v.ctm:1: 'soon' is no number of seconds"),
    "vtt header": ("v.vtt", FIRST, "v.vtt: webvtt-py cannot read it"),
    "vtt times": (
        "v.vtt",
        f"WEBVTT\n\n{FIRST}\n00:00:02.000 --> 00:00:soon\nnow\n",
        "v.vtt:6: '00:00:02.000 --> 00:00:soon' is no time of a caption",
    ),
    "vtt without fractions": (
        "v.vtt",
        f"WEBVTT\n\n{FIRST}\n2\n00:00:02 --> 00:00:03\nnow\n",
        "v.vtt:7: '00:00:02 --> 00:00:03' is no time of a caption",
    ),
    "srt without a number": (
        "v.srt",
        f"1\n{FIRST}\n00:00:02,000 --> 00:00:03,000\nnow\n".replace(".", ","),
        "v.srt:5: the caption has no number",
    ),
    "srt not utf-8": ("v.srt", "1\n00:00:00,000 --> 00:00:02,000\ncaf\udce9\n", "v.srt: webvtt-py"),
    "common voice url": ("validated.tsv", f"{CV}a\thttps://x/y.mp3\thello\n", "validated.tsv:2: "),
    "common voice cells": ("validated.tsv", f"{CV}a\tv.wav\n", "validated.tsv:2: has 2 cells"),
    "text not utf-8": ("v.txt", "caf\udce9", "v.txt:1: byte 0xe9 is not UTF-8"),
    "nemo line": (
        "m.jsonl",
        '{"audio_filepath": "v.wav", "text": "a"}\n{"audio_fi\n',
        "m.jsonl:2: not JSON",
    ),
    "nemo first line": ("m.jsonl", '{"audio_fi\n', "m.jsonl:1: is not JSON"),
    "label studio": ("tasks.json", '[\n{"data": ', "tasks.json:2: is not JSON"),
    "xlsx": ("t.xlsx", "no table", "t.xlsx: is not readable as XLSX"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_it_is_refused_by_file_and_place(tmp_path: Path, kind: str) -> None:
    """With a fix, no cycle, and no row that a library passed over in silence."""
    name, content, message = BROKEN[kind]
    source = tmp_path / "source"
    write(source / "v.wav", speech(5))
    (source / name).write_bytes(content.encode("utf-8", errors="surrogateescape"))
    target = source / name if name.endswith((".jsonl", ".json", ".xlsx")) else source
    before = corpora.tree(source)
    with pytest.raises(InputError) as refused:
        run(target, tmp_path / "cycle1", check=False)
    assert message in str(refused.value)
    assert "Fix: " in str(refused.value)
    assert not (tmp_path / "cycle1").exists()
    assert corpora.tree(source) == before


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("v.TextGrid", GRID, ["take aspirin", "and come back"]),
        ("v.TextGrid", SHORT_GRID, ["take aspirin", "and come back"]),
        ("v.TextGrid", GRID.encode("utf-16"), ["take aspirin", "and come back"]),
        (
            "v.eaf",
            EAF.format(slot='<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/>'),
            ["take aspirin"],
        ),
        ("v.vtt", f"WEBVTT\n\nNOTE from a --> b\n\n{FIRST}", ["take aspirin"]),
        ("v.vtt", f"WEBVTT\n\n{FIRST.replace('2.000', '2.000 align:start')}", ["take aspirin"]),
        ("v.srt", f"\ufeff1\n{FIRST}".replace(".", ",").replace("\n", "\r\n"), ["take aspirin"]),
        ("v.srt", f"1\n{FIRST}2\n00:00:02.5 --> 00:00:03.0\nnow\n", ["take aspirin", "now"]),
    ],
)
def test_what_is_odd_and_whole_is_read(
    tmp_path: Path, name: str, content: str | bytes, texts: list[str]
) -> None:
    """Forms that tools write: UTF-16, comments with an arrow, settings, a byte order mark."""
    source = tmp_path / "source"
    write(source / "v.wav", speech(5))
    raw = content if isinstance(content, bytes) else content.encode()
    (source / name).write_bytes(raw)
    run(source, tmp_path / "cycle1", check=False)
    assert [row["text"] for row in corpora.rows(tmp_path / "cycle1")] == texts


@pytest.mark.parametrize("name", ["v.txt", "v.vtt", "v.stm", "text"])
def test_recordings_without_a_transcript_are_told(tmp_path: Path, name: str) -> None:
    """With their number and one of them; nothing is told where every recording is in a row."""
    contents = {
        "v.txt": "take aspirin",
        "v.vtt": f"WEBVTT\n\n{FIRST}",
        "v.stm": "v A doctor 0 2 take aspirin\n",
        "text": "v take aspirin\n",
    }
    source = tmp_path / "source"
    write(source / "v.wav", speech(3))
    (source / name).write_text(contents[name])
    scp = source / "wav.scp"
    if name == "text":
        scp.write_text(f"v {source / 'v.wav'}\n")

    def import_into(cycle: str) -> list[str]:
        notes: list[str] = []
        options = ReadOptions(note=notes.append)
        assert run(source, tmp_path / cycle, reading=options, check=False).rows == 1
        return notes

    assert import_into("cycle1") == []
    for other in "wx":
        write(source / f"{other}.wav", speech(1, seed=ord(other)))
        if name == "text":
            with scp.open("a") as stream:
                stream.write(f"{other} {source / f'{other}.wav'}\n")
    told = set(import_into("cycle2"))
    (note,) = told
    assert note.startswith("2 recordings have no transcript, such as w")
    assert "asr-flywheel sheet" in note
