"""Take a recording out of pages, logs and other texts."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.privacy.traces import RecordingTraces

_BLOCKS = frozenset(("article", "li", "tr", "figure"))
"""The elements of a page that show one row; the outermost one goes."""
_LINES = frozenset(("p", "dd", "div", "q", "bdi", "span"))
"""What goes where no such element is around it."""
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source")
)
_LINK = re.compile(r'<a href="#(?P<id>[^"]+)"[^>]*>[^<]*</a>')
_BODY = re.compile(r"<body[^>]*>")
MARK_CLASS = "purged"


def scrub_lines(text: str, traces: RecordingTraces) -> str | None:
    """Return a text without the lines that tell a recording; None where nothing is changed."""
    lines = text.split("\n")
    kept = [
        traces.without_voices(traces_hashed(line, traces))
        for line in lines
        if not _is_about(line, traces)
    ]
    changed = "\n".join(kept)
    return None if changed == text else changed


def traces_hashed(line: str, traces: RecordingTraces) -> str:
    """Return a line that is a hash and nothing else as its keyed hash; any other as it is."""
    return traces.hashes.get(line.strip(), line)


def _is_about(line: str, traces: RecordingTraces) -> bool:
    return line.strip() not in traces.hashes and traces.tells(line)


class _Blocks(HTMLParser):
    """Finds the parts of a page that tell a recording, by their places in the text."""

    def __init__(self, page: str, traces: RecordingTraces) -> None:
        super().__init__(convert_charrefs=True)
        self._traces = traces
        self._starts = [0]
        for line in page.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._open: list[tuple[str, int, list[str], str]] = []
        self.texts: list[str] = []
        self.spans: list[tuple[int, int]] = []
        self.ids: list[str] = []
        self.feed(page)
        self.close()

    def _place(self) -> int:
        line, column = self.getpos()
        return self._starts[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element; what its attributes hold is text of it."""
        told = [value for name, value in attrs if value and name not in {"src", "class", "style"}]
        self.texts += told
        if tag in _VOID:
            for element in self._open:
                element[2].extend(told)
            return
        element_id = next((value or "" for name, value in attrs if name == "id"), "")
        self._open.append((tag, self._place(), told, element_id))

    def handle_data(self, data: str) -> None:
        """Add a text to the innermost element; an element hands it on as it ends."""
        if self._open and self._open[-1][0] not in {"script", "style"}:
            self.texts.append(data)
            self._open[-1][2].append(data)

    def handle_endtag(self, tag: str) -> None:
        """Close an element, and mark it if it tells the recording."""
        if not any(element[0] == tag for element in self._open):
            return
        while self._open:
            name, start, texts, element_id = self._open.pop()
            if name in {"script", "style"}:
                return
            if name in _BLOCKS or (name in _LINES and not self._in_block()):
                whole = any(self._tells(text) for text in texts) or self._tells(" ".join(texts))
                if whole:
                    end = self._place() + len(f"</{tag}>")
                    self.spans = [span for span in self.spans if span[0] < start]
                    self.spans.append((start, end))
                    self.ids.append(element_id)
                    texts = []
            elif name == "bdi" and self._in_span() and self._traces.phrases.is_part("".join(texts)):
                self.spans.append((start, self._place() + len(f"</{tag}>")))
                texts = []
            if self._open:
                self._open[-1][2].extend(texts)
            if name == tag:
                return

    def _in_block(self) -> bool:
        return any(element[0] in _BLOCKS for element in self._open)

    def tells(self) -> bool:
        """Return whether anything of the page tells the recording."""
        return self._tells(" ".join(self.texts)) or any(map(self._tells, self.texts))

    def _in_span(self) -> bool:
        return any(element[0] == "span" for element in self._open)

    def _tells(self, text: str) -> bool:
        return bool(text.strip()) and self._traces.tells(text)


def scrub_page(page: str, traces: RecordingTraces, mark: str) -> str | None:
    """Return an HTML page without the rows of a recording; None where nothing is changed.

    Args:
        page: its source.
        traces: of the recording.
        mark: a sentence that is put at the page's beginning.

    Raises:
        ValueError: the page still tells the recording; it has another form than this tool's.
    """
    blocks = _Blocks(page, traces)
    changed = page
    for start, end in sorted(blocks.spans, reverse=True):
        changed = changed[:start] + changed[end:]
    gone = {element_id for element_id in blocks.ids if element_id}
    changed = _LINK.sub(lambda link: "" if link["id"] in gone else link[0], changed)
    changed = traces.without_voices(changed)
    if _Blocks(changed, traces).tells():
        raise ValueError("the page tells the recording where no row of it can be cut out")
    return None if changed == page else mark_page(changed, mark)


def mark_page(page: str, mark: str) -> str:
    """Return a page with a sentence at its beginning, in the place of an earlier one."""
    note = f'<p class="{MARK_CLASS}">{html.escape(mark)}</p>'
    if f'<p class="{MARK_CLASS}">' in page:
        return re.sub(rf'<p class="{MARK_CLASS}">.*?</p>', lambda _: note, page, count=1)
    return _BODY.sub(lambda body: f"{body[0]}\n{note}", page, count=1)
