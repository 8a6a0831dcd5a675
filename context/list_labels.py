"""Labels of the items of a list in running text, "(1) lock the door, (2) call the guard": each belongs to its item.

A claim may leave labels out. Where it keeps one, what stands behind it must be what stands behind it in the source:
"(2) lock the door" has every word of the source, and another meaning. Signs in brackets that do not follow each other,
such as the negative amounts of a table, make no list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from context.units import content_of, units_of

_COMPARED = 2  # words of an item; in Chinese as many characters
_HAN = "一 二 三 四 五 六 七 八 九 十 十一 十二 十三 十四 十五 十六 十七 十八 十九 二十".split()
_ROMAN = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split()
_CIRCLED = list("①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳")
_SEQUENCES = ([str(number) for number in range(1, 100)], list("abcdefghijklmnopqrstuvwxyz"), _ROMAN, _HAN, _CIRCLED)
_LABEL = re.compile(
    r"(?<![\w(（])[(（]?(?P<label>\d{1,2}|[a-z]|[ivx]{1,5})[)）]|[(（](?P<han>[一二三四五六七八九十]{1,3})[)）]"
    r"|(?:\A|(?<=[\n；;。]))\s*(?P<numeral>[一二三四五六七八九十]{1,3})、|(?P<circled>[①-⑳])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ListLabels:
    """The labels of a text, each with the keys of what stands behind it up to the next one, in order."""

    items: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> ListLabels:
        found = list(_LABEL.finditer(text))
        ends = [*(match.start() for match in found[1:]), len(text)]
        items: dict[str, tuple[str, ...]] = {}
        for match, end in zip(found, ends, strict=False):
            said = content_of(units_of(text[match.end() : end]))
            label = next(filter(None, match.groups())).casefold()
            items[label] = (*items.get(label, ()), *(unit.key for unit in said))
        return cls(items)

    @property
    def is_list(self) -> bool:
        """Two of the labels follow each other."""
        return any(
            one in self.items and next_ in self.items for sequence in _SEQUENCES for one, next_ in pairwise(sequence)
        )

    def exchanged_from(self, source: ListLabels) -> bool:
        """True when one of these labels stands before what it does not stand before in the source's list."""
        shared = [label for label, said in self.items.items() if said and label in source.items]
        return any(not set(self.items[label][:_COMPARED]) <= set(source.items[label]) for label in shared) and (
            source.is_list
        )
