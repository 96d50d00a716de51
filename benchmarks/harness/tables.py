"""Tables: markdown for pages, aligned text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table whose first `left` columns stand to the left; every line ends with a newline."""
    lines = [head, ["---" if index < left else "---:" for index in range(len(head))], *rows]
    return "".join(f"|{'|'.join(cell.strip().replace('|', '/') for cell in line)}|\n" for line in lines)


def text(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns as wide as their widest cell, two spaces apart; the first `left` of them stand to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        placed = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"  {'  '.join(placed)}".rstrip()

    return "\n".join(line(cells) for cells in (head, *rows))


def or_dash(value: float | None, form: str) -> str:
    """A number in its format; a dash where there is none."""
    return "-" if value is None else format(value, form)
