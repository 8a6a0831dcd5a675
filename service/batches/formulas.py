"""Cells that a spreadsheet would run as formulas, made plain text.

A cell that begins with one of these is a formula to Excel, LibreOffice or Google Sheets, or becomes one once a leading
blank is trimmed (OWASP, CSV injection; ASVS 1.2.10). An apostrophe in front makes it text. A plain number stays one.
"""

from __future__ import annotations

import re
from typing import Any

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d[\d.,]*(?:[eE][+-]?\d+)?%?")


def disarmed(value: Any) -> Any:
    """The value of a cell as it may stand in a spreadsheet.

    >>> disarmed("=HYPERLINK(1)"), disarmed("-12.5"), disarmed(3)
    ("'=HYPERLINK(1)", '-12.5', 3)
    """
    if not isinstance(value, str) or not value.lstrip(" \u00a0\u3000").startswith(_STARTS):
        return value
    return value if _NUMBER.fullmatch(value) else "'" + value
