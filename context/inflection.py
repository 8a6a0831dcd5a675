"""Words that count as one when a claim is held against its source: irregular forms and a few plain synonyms.

The list is short on purpose. A synonym that is nearly right ("big" for "tall") would let a false claim pass, so only
pairs stand here that can take each other's place in any sentence of fact.
"""

from __future__ import annotations

from context.language import stem

_IRREGULAR = """keep kept;pay paid;rise rose risen;fall fell fallen;grow grew grown;sell sold;buy bought;send sent
lend lent;spend spent;build built;hold held;leave left;lose lost;make made;meet met;say said;tell told;give gave given
take took taken;write wrote written;speak spoke spoken;choose chose chosen;break broke broken;begin began begun
become became;know knew known;show shown;see saw seen;go went gone;come came;find found;get got gotten
win won;lead led;bring brought;teach taught;think thought;run ran;draw drew drawn;drive drove driven
stand stood;understand understood;bear bore born borne;die died dying;sign signed signs"""
_PLURALS = """man men;woman women;child children;foot feet;mouse mice;person people;life lives;wife wives;half halves
datum data;criterion criteria;analysis analyses"""
_SYNONYMS = """begin start commence;buy purchase;need require;allow permit permitted permitting
forbid prohibit;help assist aid;build construct;large big;largest biggest;larger bigger;choose select;keep retain
receive obtain get;film movie
car automobile;company firm;locate situate;per cent percent;everyone everybody"""


def _forms() -> dict[str, str]:
    """Each form's stem with the stem that it counts as."""
    found: dict[str, str] = {}
    for group in f"{_IRREGULAR};{_PLURALS};{_SYNONYMS}".replace("\n", ";").split(";"):
        first, *others = (stem(word) for word in group.split())
        head = found.get(first, first)
        for form in others:
            found[form] = head
            found.update({other: head for other, own in found.items() if own == form})
    return found


_FORMS = _forms()


_PASTS = frozenset(
    form
    for group in _IRREGULAR.replace("\n", ";").split(";")
    for form in group.split()[1:]
    if not form.endswith(("s", "ing"))
)


def base_form(word: str) -> str:
    """The form under which a word is compared; `word` is in lower case.

    >>> base_form("bought") == base_form("purchases"), base_form("policies")
    (True, 'polici')
    """
    root = stem(word)
    return _FORMS.get(root, root)


def is_past(word: str) -> bool:
    """True for a past tense or participle, as far as its ending tells; `word` is in lower case.

    >>> is_past("paid"), is_past("signed"), is_past("pays"), is_past("needs")
    (True, True, False, False)
    """
    return word in _PASTS or (len(word) > 4 and word.endswith("ed") and not word.endswith("eed"))
