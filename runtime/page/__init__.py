"""The page in the browser, without what enhances: `page.js` imports `enhance.js`, which whoever serves the page puts beside it.

`enhance.js` exports `about`, a sentence for the page's head; `networks()`, a promise of a list of `{name, title}`, the default
first; and `enhance(blob, {network, strength, gate, signal, progress})`, a promise of the enhanced picture as a Blob. What its
`note` says, where it has one, is shown; so is the message of the Error that it rejects with. `progress(done, total)` may be
called, and `signal` aborts.
"""

from __future__ import annotations

from pathlib import Path

#: Served as they are.
FILES = ("index.html", "page.css", "page.js", "slider.js")

_FOLDER = Path(__file__).parent


def read(name: str) -> str:
    """The text of one of the page's files."""
    return (_FOLDER / name).read_text(encoding="utf-8")
