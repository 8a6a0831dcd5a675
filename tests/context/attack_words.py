"""The words that attacks put in or exchange."""

MONTHS = "January February March April June July August September October November December".split()
CHINESE_DIGITS = "二三四五六七八九"
FOREIGN_NAMES = "Bernadotte Kowalski Tanaka Lisbon Nairobi Oxfordshire Brazil Microsoft Volkov Andromeda".split()
HOMOGLYPHS = dict(zip("aeopcxyAEOPCTHK", "аеорсхуАЕОРСТНК", strict=True))  # Latin for Cyrillic
QUANTIFIERS = "only all never half almost hardly twice no some".split()
SMALL_WORDS = (
    "a an the in on at of for from by to when while as if this these it he she they both and but according other "
    "although though however since because until dr among daily weekly monthly yearly annual"
).split()

# (pattern in the sentence, what takes its place)
UNITS = (
    (r"\bpounds\b", "euros"),
    (r"\ba month\b", "a year"),
    (r"\bdays\b", "weeks"),
    (r"\bhours\b", "days"),
    (r"\bminutes\b", "seconds"),
    (r"\byears\b", "months"),
    (r"\bmonths\b", "years"),
    (r"\bcenturies\b", "decades"),
    (r"\bcentury\b", "decade"),
    (r"\bmiles\b", "kilometres"),
    (r"\bkm\b", "miles"),
    (r"\bkilometers\b", "meters"),
    (r"\bnights\b", "weeks"),
    (r"\bEUR\b", "USD"),
    (r"\$(?=\d)", "€"),
    (r"£(?=\d)", "$"),
    (r"(?<=\d)%", "°C"),
    (r" per cent\b", " pounds"),
    (r"小时", "分钟"),
    (r"分钟", "秒"),
    (r"(?<=[\d两三四五])年", "个月"),
    (r"(?<=七)天", "周"),
    (r"厘米", "米"),
    (r"平方米", "平方公里"),
    (r"立方米", "升"),
    (r"公里", "米"),
    (r"千米", "英里"),
    (r"公斤", "吨"),
    (r"(?<=\d)米", "公里"),
    (r"美元", "日元"),
    (r"分贝", "厘米"),
    (r" V、", " A、"),
    (r"%", " 克"),
    (r"两周", "两天"),
)

TURNED = (
    (r"\bmore than\b", "less than"),
    (r"\bless than\b", "more than"),
    (r"\bat most\b", "at least"),
    (r"\bat least\b", "at most"),
    (r"\bbefore\b", "after"),
    (r"\bafter\b", "before"),
    (r"\bnever\b", "always"),
    (r"\blargest\b", "smallest"),
    (r"\bfirst\b", "last"),
    (r"\bhigher\b", "lower"),
    (r"\bmost\b", "all"),
    (r"\bsome\b", "all"),
    (r"\bmany\b", "few"),
    (r"\ball\b", "some"),
    (r"\beither\b", "neither"),
    (r"\bonly\b", "not only"),
    (r"\bincreas(?=e|ing)", "decreas"),
    (r"\bmay\b", "must"),
    (r"\bmust\b", "may"),
    (r"\bnorth(?=\b|ern)", "south"),
    (r"\bsouth(?=\b|ern)", "north"),
    (r"\beast(?=\b|ern)", "west"),
    (r"\bearly\b", "late"),
    (r"\bwith\b", "without"),
    (r"\bended\b", "began"),
    (r"\bbegan\b", "ended"),
    (r"\bwon\b", "lost"),
    (r"\bdefeated\b", "lost to"),
    (r"\bover\b(?= \d)", "under"),
    (r"\bunder\b(?= \d)", "over"),
    (r"超过", "不足"),
    (r"不超过", "超过"),
    (r"不高于", "不低于"),
    (r"至少", "至多"),
    (r"之前", "之后"),
    (r"之后", "之前"),
    (r"最大", "最小"),
    (r"最高", "最低"),
    (r"第一", "最后"),
    (r"必须", "可以"),
    (r"可以", "必须"),
    (r"所有", "部分"),
    (r"全部", "部分"),
    (r"部分", "全部"),
    (r"主要", "完全"),
    (r"开始", "结束"),
    (r"增加", "减少"),
    (r"上升", "下降"),
    (r"北部", "南部"),
    (r"南部", "北部"),
    (r"东部", "西部"),
    (r"以上", "以下"),
    (r"以下", "以上"),
    (r"只", "也"),
    (r"曾", "从未"),
)

BAD_CLAUSES = {
    "en": (
        "the roof leaks badly",
        "nobody was surprised",
        "this pleased the emperor",
        "critics praised it",
        "taxes doubled soon",
        "Paris objected",
        "it cost 77 pounds",
        "the owner was arrested",
        "readers should call the hotline",
        "dogs are welcome",
    ),
    "zh": (
        "屋顶漏水严重",
        "王小明因此辞职",
        "费用为七百元",
        "读者应立即拨打热线",
        "皇帝对此十分满意",
        "狗可以入内",
        "这引起了巴黎的抗议",
    ),
}

FALSE_FRAMES = {
    "en": (
        "It is false that {}",
        "Nobody believes that {}",
        "It is a myth that {}",
        "Critics deny that {}",
        "If rumours are right, {}",
        "It is not true that {}",
        "Supposedly, {}",
        "{}, which is wrong",
        "{}, but only on Mars",
        "Unless corrected, {}",
    ),
    "zh": (
        "有人否认{}",
        "据说{}",
        "如果传言属实，{}",
        "{}的说法是错误的",
        "{}并不属实",
        "除非更正，{}",
        "没有人相信{}",
    ),
}

SCALES = (
    (r"\bmillion\b", "billion"),
    (r"\bbillion\b", "million"),
    (r"\bthousand\b", "million"),
    (r"\bhundred\b", "thousand"),
    (r"(?<=[\d一二两三四五六七八九十百千])万", "亿"),
    (r"(?<=[\d一二两三四五六七八九十百千万])亿", "万"),
    (r"(?<=[\d一二两三四五六七八九])千(?!米|克|瓦)", "百"),
    (r"(?<=[\d一二两三四五六七八九])百(?!分)", "千"),
)
ORDINALS = (
    *(rf"\b{word}\b" for word in "first third fourth fifth sixth seventh eighth ninth tenth".split()),
    *(rf"\b{number}th\b" for number in range(11, 20)),
    *(f"第{numeral}" for numeral in "一二三四五六七八九"),
)
FRACTIONS = (
    (r"\bone third\b", "two thirds"),
    (r"\btwo thirds\b", "one third"),
    (r"\ba third\b", "a quarter"),
    (r"\ba quarter\b", "a third"),
    (r"\b[Hh]alf\b", "a third"),
    (r"(?<=分之)一", "二"),
    (r"(?<=分之)二", "一"),
    (r"一半", "三分之一"),
)
HALF_DAYS = (
    (r"\ba\.m\.", "p.m."),
    (r"\bp\.m\.", "a.m."),
    (r"(?<=\d) ?am\b", " pm"),
    (r"(?<=\d) ?pm\b", " am"),
    (r"(?<=\d) p\.?m\b\.?", ""),
    (r"\bnoon\b", "midnight"),
    (r"\bmorning", "evening"),
    (r"上午", "下午"),
    (r"下午", "上午"),
    (r"早上", "晚上"),
    (r"晚上", "早上"),
    (r"中午", "午夜"),
)
MODALS = (
    *((r"\bmay\b(?! \d)", new) for new in ("must", "will", "should", "cannot")),
    *((r"\bmust\b", new) for new in ("may", "should", "need not", "can")),
    *((r"\bshould\b", new) for new in ("must", "may", "will")),
    *((r"\bcan\b", new) for new in ("must", "should", "cannot")),
    *((r"\bwould\b", new) for new in ("will", "must", "did")),
    *((r"\bcould\b", new) for new in ("must", "will", "did")),
    *((r"\bwill\b", new) for new in ("may", "might", "would")),
    (r"应当|應當|应该|應該", "可以"),
    (r"必须|必須", "可以"),
    (r"可以", "必须"),
    (r"可能", "一定"),
    (r"不得", "可以"),
    (r"可(?![以能是])", "必须"),
    (r"需要?", "可以"),
)
HEDGES = (
    r"\b(?:about|around|over|under|nearly|almost|approximately|roughly) (?=\d)",
    r"\b(?:up to|more than|less than|at least|at most) (?=\d)",
    r"\b(?:usually|often|generally|typically|mostly|mainly|partly|sometimes|probably|possibly|perhaps|frequently) ",
    r"\b(?:allegedly|reportedly|supposedly|apparently|presumably|(?<!seems )likely|almost|nearly) ",
    r"\b(?:may|might|could|would|should) (?=[a-z]+\b)",
    r"(?<=[^\W\d])(?:大约|大約|约|約)(?=\d)|至少|最多(?=\d)|超过|超過|不足(?=[\d一二三四五六七八九十百])|左右|几乎|幾乎|接近",
    r"(?<![不无無有没沒])可能|通常|往往|大多|(?<![组組]成)部分(?=[^，。]{2})|有时|有時|也许|也許|多数|多數|经常|經常",
    r"(?<=[\d年月日岁歲元人个個])(?:以上|以下|以内|以內)",
)
CONDITIONS = (
    r",? (?:if|unless|except|provided that|as long as|only if|other than) [^,]*(?=[.!]$)",
    r"^(?:If|Unless|Provided that) [^,]+, ",
    r"^(?:如果|若|假如|除非|只要)[^，]+，",
    r"^除(?!此)[^，]+外，(?=[^也还還亦又]+$)(?=.*[都均皆])",
    r"，除非[^，]*(?=。$)",
)
MOVABLE = (
    r"\b(?:not|never|all|some|most|almost|nearly|half|twice) ",
    r"\b(?:at least|at most|more than|less than|up to|about) (?=\d)",
    r"不(?![同但断斷管论論])|没有|沒有|未(?!来|來)|至少|最多(?=\d)|超过|超過|所有|全部|部分|几乎|幾乎",
)
AFFIXES = tuple(
    pair
    for word, opposite in (
        pair.split()
        for pair in (
            "legal illegal,possible impossible,able unable,known unknown,equal unequal,direct indirect,formal informal,"
            "complete incomplete,regular irregular,paid unpaid,limited unlimited,common uncommon,usual unusual,"
            "active inactive,successful unsuccessful,important unimportant,necessary unnecessary,stable unstable,"
            "significant insignificant,dependent independent,connected disconnected,appeared disappeared,"
            "合法 非法,有效 无效,正式 非正式,完全 不完全,可能 不可能,成功 不成功,正常 不正常,独立 不独立,公开 未公开,"
            "著名 不著名,重要 不重要,主要 非主要"
        ).split(",")
    )
    for pair in (
        ((word, opposite), (opposite, word))
        if word > "\u2fff"
        else ((rf"\b{word}\b", opposite), (rf"\b{opposite}\b", word))
    )
)

FALSE_LEADS = {
    "en": ("The following is false:", "None of this is true:", "Rumours that were denied:", "What is not the case:"),
    "zh": ("以下说法是错误的：", "下列内容并不属实：", "没有根据的传言："),
}
