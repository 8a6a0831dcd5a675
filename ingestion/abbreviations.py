"""The English words that decide whether a full stop ends a sentence.

Lower case, without the final stop. A word belongs to the group that says what may follow it inside one sentence.
"""

from __future__ import annotations

# A name follows: the stop never ends a sentence.
TITLES = frozenset(
    "dr mr mrs ms mx prof rev fr hon pres gen gov sen rep amb capt cpt cdr col lt maj sgt cmdr adm brig supt"
    " messrs mme mlle mt ft st msgr eng asst assoc dir viz cf vs v ca e.g i.e approx incl resp".split()
)

# A number, a roman numeral or a letter follows ("Fig. 3", "Vol. IV", "Ex. A"); before anything else the stop is a stop,
# because several are words of their own ("No. He did not.").
NUMBERED = frozenset(
    "no nos fig figs eq eqs eqn sec secs sect vol vols p pp pg para paras par art arts ch chap chaps tab ref refs"
    " ex exh app appx cl sched ver c nr op pt pts reg ss dist".split()
)

# A day or a year follows.
MONTHS = frozenset(
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun".split()
)

# The stop ends a sentence only when a word that often opens one follows ("Apple Inc. The firm", "Apple Inc. Chairman").
SUFFIXES = frozenset(
    "inc corp ltd co cos llc llp plc bros jr sr esq al etc dept div est govt univ intl natl assn ave blvd rd hwy"
    " ed eds trans repr rev tel ext max min avg misc orig am pm bc ad ph.d".split()
)

# Words that open sentences and seldom continue a name.
STARTERS = frozenset(
    "the a an it its he she they we you i this that these those there here in on at by for from to of with as if"
    " when while after before during since until because although though however but and or so yet thus therefore"
    " hence then now also moreover furthermore meanwhile instead both each all any some many most several few no"
    " not none our my your his her their such under over according based following total is are was were do does"
    " did has have had can could will would should may might must what who whom whose which why how where".split()
)

# Before a number at the start of a line these make a label, not a sentence: "Item 7. Management's Discussion".
LABELS = frozenset(
    "item note table figure fig section sec article art part chapter chap exhibit rule step schedule appendix"
    " annex question example case lemma theorem definition proposition corollary remark clause paragraph volume"
    " vol no".split()
)
