"""Small words that turn a sentence round: negations, comparatives, quantifiers, conditions, hedges, opposites.

Lists only; how two texts are compared by them is context/turns.py.
"""

from __future__ import annotations

import re

_N = r"(?= ?[€£$¥]?\d| (?:one|two|three|four|five|six|seven|eight|nine|ten|twenty|fifty|half|a hundred|a thousand)\b)"
# Order matters: the first class that matches at a place takes the words, so "no more than" is no negation.
_CLASSES = {
    "ignored": r"\bno doubt\b|\b(?:after|above) all\b|\bat all(?!,? [a-z\d])"
    r"|不[但同断斷管论論]|[无無][论論线線]|非常|未[来來]|[没沒]收",
    "not_only": r"\bnot (?:only|just|merely)\b|不[仅僅]|不只",
    "at_least": r"[≥≧⩾]|\bat least\b|\b(?:no|not) (?:less|fewer|earlier|lower) than\b|\bminimum\b"
    r"|至少|最少|不[少低][于於]|以上",
    "grown": r"(?<![未不])[满滿](?=\d|[一二两三四五六七八九十])",
    "at_most": r"[≤≦⩽]|\bat most\b|\b(?:no|not) (?:more|greater|longer|later|higher) than\b|\bnot (?:to )?exceed\w*"
    rf"|\bmaximum\b|\bup to\b{_N}|至多|最多|不超[过過]|不[高多]于|以下|以[内內]",
    "more": rf">{_N}|\bmore\b|\b(?:greater|higher|longer) than\b|\b(?:over|above){_N}|\bexceed\w*|超[过過]|[高多大]于",
    "less": rf"<{_N}|\bless\b|\bfewer\b|\b(?:lower|shorter|smaller) than\b|\b(?:under|below){_N}|不足|[低少小]于",
    "about": rf"[~≈±∼]{_N}|\b(?:about|around|roughly|approximately|circa|ca\.){_N}|大[约約概]|左右|[约約](?=\d)",
    "nearly": r"\bnearly\b|\balmost\b|几乎|幾乎|接近",
    "bc": r"\bbce?\b|\bb\.c\.|公元前",
    "respectively": r"\brespectively\b|分[别別]",
    "one_of": r"\bone of\b|之一",
    "root": r"[√∛∜]",
    "half": r"\bhalf\b|\bhal(?:f|ve)\w*|一半|[减減]半",
    "multiple": r"\bdoubl\w+|\btwice\b|\btripl\w+|\bthrice\b|倍",
    "part": r"\b(?:third|quarter|fraction)s? of\b|分之",
    "usually": r"\b(?:usual|general|typical|normal|frequent)ly\b|\boften\b|通常|往往|[经經]常|一般",
    "before": r"\bbefore\b|\bprior to\b|之前|以前",
    "after": r"\bafter\b|之[后後]|以[后後]",
    "until": r"\buntil\b|\btill\b|为止",
    "if": r"\bif\b|\bprovid(?:ed|ing) that\b|(?:\A|(?<=[,;] ))provided\b|\b(?:as|so) long as\b"
    r"|\bin (?:the event|case)\b|\bon condition that\b|\bwhenever\b"
    r"|\A(?:should (?:the|an?|it|he|she|they|we|you|any)\b"
    r"|(?:had|were)\b(?=[^?,]{1,120},[^?]{1,80}?\b(?:would|could|might)\b))"
    r"|如果|假[如若]|假[设設]|倘[若使]|一旦|只要|(?<![\u3400-\u9fff])若(?!干)"
    r"|的(?=[，,][^。；]{0,12}(?:[应應][当當]|必[须須]|不得|可以|[将將会會处處]))",  # "房客迟交房租的，房东将……"
    "unless": r"\bunless\b|除非|未[经經]",
    "whether": r"\bwhether\b|是否",
    "except": r"\bexcept\w*|\bexclud\w*|\bexclusive of\b|\bother than\b|\bapart from\b"
    r"|\b(?:all|every\w*|any\w*|no ?one|nobody|nothing|none)(?: \w+)? but\b"
    r"|不包括|不[包]?含|除(?!此)了?(?=[^，。；]{1,20}[外，][^。；]{0,20}?(?:[都均皆没沒]|[无無]人|不[得能可会會]))",
    "include": r"\binclud\w*|\binclusive\b|包括|包含",
    "apiece": r"\beach(?=[.,;:!?)]|\Z)",
    "all": r"\b(?:all|every|each|everyone|everybody|everything|always|whole)\b|\bentire\w*"
    r"|全部|所有|全[体體]|一切|[总總]是",
    "some": r"\b(?:some|a few|certain|several|part(?:ly|ially)|sometimes|occasionally)\b|部分|有些|一些|有[时時]|某些",
    "most": r"\b(?:most|mostly|mainly|majority)\b|大多|多数|多數|主要",
    "many": r"\bmany\b|许多|許多|很多",
    "few": r"\bfew\b|(?<!\ba )\blittle\b|少数|少數",
    "or": r"\bor\b|(?<!间)或(?![许許])者?",
    "may": r"\bmay\b(?!,? \d)(?<!\bin may)(?<!\bof may)(?!(?<=\d may)(?:[,.;:)]|\Z| (?:and|to|until)\b))|\bcan\b"
    r"|可以|(?<![许許认认不])可(?![能靠见見爱愛怕口观觀惜])",
    "should": r"\bshould\b|[应應][该該]",
    "would": r"\bwould\b",
    "deputy": r"\b(?:deputy|vice|assistant|associate)\b|副",
    "acting": r"\b(?:acting|interim|honorary)\b|代理|名[誉譽]",
    "maybe": r"\b(?:might|could|possibly|perhaps|probably|likely|presumably|apparent(?:ly)?|seem\w*)\b"
    r"|\bappear(?:s|ed)? to\b|可能|也许|也許|或许|或許|似乎|疑似",
    "claimed": r"\b(?:claim(?:s|ed|ing)?|believ\w+|think|thinks|thought|argu(?:e|es|ed|ing)|suspect\w*|expect\w*"
    r"|intend\w*|plan(?:s|ned)? to|hop(?:e|es|ed) to|attempt\w* to|tr(?:y|ies|ied) to|propos\w+|predict\w*"
    r"|former(?:ly)?|wish(?:es|ed)?|dream(?:s|t|ed)?|imagin\w+|doubt(?:s|ed)?|pretend\w*|unclear)\b"
    r"|认为|認為|相信|声称|聲稱|怀疑|懷疑|预计|預計|计划|計劃|打算|希望|试图|試圖",
    "only_they": r"\bonly (?:i|we|you|he|she|it|they)\b",
    "only": r"\b(?:only|solely|exclusively|merely)\b|[只仅僅]|唯一",
    "advance": r"\bin advance\b|\bbeforehand\b|\bup-?front\b|[预預]付|提前|[预預]先",
    "arrears": r"\bin arrears?\b|\barrears\b|[后後]付|事[后後]",
    "false": r"[❌✗✘✖🚫⛔👎]|\bfalse\w*|\buntrue\b|\bincorrect\w*|\bwrong\w*|\bmyth\b|\blies?\b|\bhoax\b"
    r"|不[实實]|[虚虛]假|[错錯][误誤]|假的",
    "alleged": r"\balleg\w+|\bsuppos\w+|\brumou?r\w*|\b(?:reported|purported)ly\b"
    r"|[据網网][说称傳传稱說]|據[說稱傳]|[谣謠传傳]言|[误誤]以[为為]",
    "hardly": r"\b(?:hardly|scarcely|barely|rarely|seldom)\b|很少|[鲜鮮罕]有|[极極甚]少|[难難]以",
    "deny": r"\bden(?:y|ies|ied|ying|ial)\b|\bdisput\w*|否[认認]",
    "refuse": r"\brefus\w+|\breject\w*|\bdeclin\w+ to\b|拒[绝絕]",
    "fail": r"\bfail\w*|\bavoid\w*|\bceas\w+|\bstop(?:s|ped)?\b|\bforg[eo]t\w*|\black\w*|停止|[缺]乏",
    "not": r"≠|\banything but\b|n't\b"
    r"|\bno(?!\.? ?\d)\b|\b(?:not|never|nor|neither|none|nobody|nothing|cannot|without)\b"
    r"|[❌✗✘✖🚫⛔👎]"
    r"|[从從]不|[从從]未|[没沒]有|[并並][不未]|[不没沒未无無勿]|非(?!洲)",
}
# Each of these is a class of its own: "again" is not "once". What says when, where, why or which one is not added.
_OWN_CLASS = (
    r"\b(?:when(?:ever)?|where(?:ver)?|wh(?:y|at|ose)|how|then|now|once|again|here|further|same|other|another|such|both|too"
    r"|very|just|own|because|although|though|while|whereas|so|every other|next|finally|there"
    r"(?! (?:is|are|was|were|be|been|has|have|had|will|would|can|could|may|might|must|should|exists?|remains?)\b))\b"
)
OWN_CLASS = "word"
TURNING = re.compile(
    "|".join(f"(?P<{label}>{pattern})" for label, pattern in _CLASSES.items()) + f"|(?P<{OWN_CLASS}>{_OWN_CLASS})"
)
NEGATIONS = frozenset({"false", "alleged", "hardly", "deny", "refuse", "fail", "not"})
# A quote that says one of these says nothing without it.
NEVER_DROPPED = frozenset({"if", "unless", "except", "false", "alleged", "hardly", "deny", "refuse", "respectively"})
# These turn a sentence even where nothing follows them: "what it would be".
ALONE = frozenset({"not", "may", "should", "would", "maybe", "one_of", "apiece", "bc"})
# What holds of all, with or without the word, still holds.
DROPPABLE = frozenset({"all", "only", "include", "advance", "arrears"}) | frozenset(
    """when whenever where wherever why what whose how then now once again here further same such both too very just own
    because although though while whereas so next finally there""".split()
)
LENT = frozenset(_CLASSES) - NEGATIONS - {"if", "unless"}

OPPOSITES = tuple(
    (re.compile(one), re.compile(other))
    for one, other in (
        (
            r"\b(?:r[io]se|rises|risen|rising|increas\w*|gr[eo]w\w*|climb\w*|rais\w+)\b|[增上][加长長升涨漲]|上[调調]",
            r"\b(?:f[ae]ll|falls|fallen|falling|drop\w*|declin\w*|decreas\w*|reduc\w+|shr[aiu]nk\w*)\b|[减減]少|下[降跌调調]",
        ),
        (
            r"\b(?:must|shall|require[ds]?|need(?:s|ed)?|obliged|mandatory)\b|必[须須]|[应應][当當]",
            r"\b(?:may|can|optional\w*)\b|可以",
        ),
        (r"\b(?:allow|permit)\w*|允[许許]", r"\b(?:forbid\w*|prohibit\w*|bann?\w*|forbade)\b|禁止|[严嚴]禁"),
        (r"\b(?:accept|approv|agree)\w*|接受|批准|同意", r"\b(?:reject|refus|veto)\w*|拒[绝絕]|[驳駁]回"),
        (
            r"\b(?:buy|buys|bought|purchas\w+|buyer)\b|[购購買买][买買入]?",
            r"\b(?:sell|sells|sold|selling|seller)\b|出售|[卖賣]",
        ),
        (r"\bw[io]ns?\b|\bwinning\b|[赢贏][得了]?", r"\blos(?:e|es|t|ing)\b|[输輸]"),
        (r"\b(?:lend|lends|lent|lender)\b", r"\bborrow\w*"),
        (r"\bopen\w*|[开開][启放門门]", r"\b(?:clos|shut)\w*|[关關][闭閉]"),
        (
            r"\b(?:start|begin|began|begun|commenc)\w*|[开開]始",
            r"\b(?:end|ends|ended|finish\w*|terminat\w*|expir\w*)\b|[结結]束",
        ),
        (r"\b(?:first|earliest)\b|最早|第一", r"\b(?:last|latest|final)\b|最[后後晚]"),
        (
            r"\b(?:highest|largest|biggest|best|greatest)\b|最[高大好]",
            r"\b(?:lowest|smallest|worst|least)\b|最[低小差]",
        ),
        (r"\b(?:high|large|big|long)\b", r"\b(?:low|small|short)\b"),
        (r"\bprofit\w*|[盈][利]", r"\bloss(?:es)?\b|[亏虧][损損]"),
        (r"\bimport(?:s|ed)?\b|[进進]口", r"\bexport\w*|出口"),
        (r"\bnorth\w*", r"\bsouth\w*"),
        (r"\beast\w*", r"\bwest\w*"),
        (r"\bleft\b", r"\bright\b"),
        (r"\binside\b|\bindoors?\b", r"\boutside\b|\boutdoors?\b"),
        (r"\bon\b", r"\boff\b"),
        (r"\blandlord\w*|\blessor\w*|出租[人方]|房[东東]", r"\btenant\w*|\blessees?\b|承租[人方]|[租房][客]"),
        (r"\bemployers?\b|雇主", r"\bemployees?\b|雇[员員]"),
    )
)
# The second side of the pair of "allow" and "forbid", as Turns.sides counts them.
FORBIDDING = next((pair, 1) for pair, (_, other) in enumerate(OPPOSITES) if other.search("forbidden"))
