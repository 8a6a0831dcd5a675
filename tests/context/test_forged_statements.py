"""What skilled forgers tried, one rule each: the forged answer is doubted, the honest one beside it stays verified."""

from __future__ import annotations

import pytest

from context.citations import resolve_citations
from context.support import Claim, Source, supports
from tests.context.context_examples import evidence


def verdict(answer: str, source: str, title: str = "Lease") -> bool:
    """Whether each sentence of the answer that has a mark is supported."""
    marked = answer if "[1]" in answer else f"{answer} [1]"
    sentences = resolve_citations(marked, [evidence(source, title=title)]).sentences
    return all(sentence.supported for sentence in sentences if sentence.marks)


def doubted(cases: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [case for case in cases if not verdict(*case)]


TENANT = "The tenant pays 900 euros."
RENTER = "租客每月支付900元。"


@pytest.mark.parametrize(
    "claim",
    [
        *(
            f"{word} tenant pays 900 euros"
            for word in "Then the,Now the,Once the,Again the,The same,The other".split(",")
        ),
        *(
            f"{word} tenant pays 900 euros"
            for word in "Such a,Here the,Because of this the,For now the,Why the".split(",")
        ),
        *(f"The tenant pays 900 euros {word}" for word in "once,again,then,too,so,there,for us,to himself".split(",")),
        "The tenant pays 900 euros [1] to us",
        "The tenant pays 900 euros [1] each",
        "The tenant pays 900 euros [1] for now",
        "He says the tenant pays √900 euros",
        "❌ The tenant pays 900 euros",
    ],
)
def test_no_small_word_is_added(claim: str) -> None:
    assert not verdict(claim, TENANT)
    assert verdict("The tenant pays 900 euros", TENANT)


@pytest.mark.parametrize(
    "frame", "小说中，,理论上，,据批评者称，,1823年以前，,然后,原本,再次,將,小說中，,紙面上，,據批評者稱，".split(",")
)
def test_no_chinese_frame_is_added(frame: str) -> None:
    assert not verdict(f"{frame}租客每月支付900元", RENTER)


@pytest.mark.parametrize(
    ("claim", "title", "verified"),
    [
        ("Under the Annex, the tenant pays 900 euros", "Annex", True),
        ("Against the Annex, the tenant pays 900 euros", "Annex", False),
        ("In theory, the tenant pays 900 euros", "The theory of complex leases", False),
        ("According to the handbook, the tenant pays 900 euros", "Tenant's handbook", True),
        ("The tenant pays 900 euros, according to the document", "Annex", True),
        ("In the novel, the tenant pays 900 euros", "Annex", False),
    ],
)
def test_only_a_title_that_is_named_frames_a_claim(claim: str, title: str, verified: bool) -> None:
    assert verdict(claim, TENANT, title) is verified


FRAMES = [
    ("Leave the building", "When the alarm rings, leave the building."),
    ("The alarm rings", "When the alarm rings, leave the building."),
    ("The alarm rings, leave the building", "When the alarm rings, leave the building."),
    ("When the alarm rings, leave the building", "When the alarm rings in the hall, leave the building."),
    ("The guard locks the door", "Once the last guest has left, the guard locks the door."),
    ("The landlord may enter", "Where the tenant agrees, the landlord may enter."),
    ("The bank pays interest", "Given a balance of 500 euros, the bank pays interest."),
    ("The fee is waived", "Subject to approval, the fee is waived."),
    ("Rents fell in the whole town", "According to critics, rents fell in the whole town."),
    ("Rents fell in the whole town", "In the novel, rents fell in the whole town."),
    ("Rents fell in the whole town", "Ben: rents fell in the whole town."),
    ("Rents fell in the whole town", "Ben told Anna that rents fell in the whole town."),
    ("Rents fell", "Ben says rents fell."),
    ("离开大楼", "警报响起时，离开大楼。"),
    ("警报响起", "当警报响起时，请离开大楼。"),
    ("员工可以休假", "经主管批准，员工可以休假。"),
    ("员工可以休假", "入职满一年后，员工可以休假。"),
    ("房东可以进入", "租客同意的话，房东可以进入。"),
    ("房租下降", "李明表示，房租下降。"),
    ("房租下降", "有人说房租下降。"),
    ("離開大樓", "警報響起時，離開大樓。"),
    ("員工可以休假", "在主管批准的情況下，員工可以休假。"),
    ("房租下降", "理論上，房租下降。"),
]
LIMITS = [
    ("The valve opens", "The valve opens when the pressure falls."),
    ("The pressure falls", "The valve opens when the pressure falls."),
    ("The pool is open", "The pool is open until 5 May."),
    ("The fee is waived", "The fee is waived as soon as the deposit is paid."),
    ("The drug is safe", "The drug is safe for adults."),
    ("Berlin is larger", "Berlin is larger than Munich."),
    ("Milk is free", "Milk is free of fat."),
    ("No effects were seen", "No effects were seen in adults."),
    ("The fee is 5 euros", "The fee is 5 euros per person."),
    ("Rents fell in the town", "Rents fell in the town, critics say."),
    ("Rents fell in the town", "Rents fell in the town, according to Ben."),
    ("Rents fell", "“Rents fell,” said Ben."),
    ("The tenant pays the landlord", "The tenant pays the landlord's agent."),
    ("Anna is head of sales", "Anna is head of sales training."),
    ("房租下降", "房租下降，李明说。"),
    ("王芳是经理", "王芳是经理的妻子。"),
    ("王芳是经理", "王芳是经理助理。"),
    ("北京是最大的城市", "北京是最大的城市之一。"),
]


@pytest.mark.parametrize(("claim", "source"), FRAMES + LIMITS)
def test_what_a_sentence_is_said_under_is_not_left_out(claim: str, source: str) -> None:
    assert not verdict(claim, source)
    assert verdict(source[:-1], source)


def test_what_only_dates_or_joins_a_sentence_may_be_left_out() -> None:
    honest = [
        ("Heating costs rose by 12%", "In 2021, heating costs rose by 12%."),
        ("The office is closed on Sundays", "In addition, the office is closed on Sundays."),
        ("The office is closed on Sundays", "Note: the office is closed on Sundays."),
        ("The museum has 20 rooms", "Founded in 1902, the museum has 20 rooms."),
        ("Ben paid the rent", "Anna signed the lease, and Ben paid the rent."),
        ("Napoleon was defeated at Waterloo", "Napoleon was defeated at Waterloo in 1815."),
        ("Part-time employees get ten days of leave", "Part-time employees get ten days of leave each year."),
        ("The trial was conducted by the state", "The trial was conducted in May by the state."),
        ("王芳签署了合同", "此外，王芳签署了合同。"),
        ("王芳签署了合同", "2020年3月5日，王芳签署了合同。"),
        ("成立于1902年", "该银行成立于1902年。"),
        ("银行位于红军街50号", "该银行位于红军街50号。"),
    ]
    assert doubted(honest) == []


TENSES = [
    ("The museum will be closed", "The museum was closed."),
    ("The museum is closed", "The museum was closed."),
    ("The museum was closed", "The museum will be closed."),
    ("The museum is being built", "The museum was built."),
    ("The museum has been built", "The museum will be built."),
    ("The museum had been built", "The museum has been built."),
    ("Anna is director", "Anna was director."),
    ("Anna signed the lease", "Anna will sign the lease."),
    ("The tenant paid 900 euros", "The tenant pays 900 euros."),
    ("The tenant paid 900 euros", "The tenant was paid 900 euros."),
    ("The tenant was paid", "The tenant paid."),
    ("The dog has bitten", "The dog was bitten."),
    ("Ben is killing", "Ben is killed."),
    ("The firm bought Acme", "The firm considered buying Acme."),
    ("It was to be signed", "It was signed."),
    ("The treaty will be signed by six states", "The treaty, signed by six states, is old."),
    ("Fergus Maclean signed for the Trust", "Fergus Maclean signs for the Trust."),
]


@pytest.mark.parametrize(("claim", "source"), TENSES)
def test_a_verb_keeps_its_time_and_its_voice(claim: str, source: str) -> None:
    assert not verdict(claim, source)
    assert verdict(source[:-1], source)


def test_a_passive_or_a_perfect_of_the_same_time_stays_verified() -> None:
    honest = [
        ("The lease was signed by Anna Schmidt", "Anna Schmidt signed the lease on March 5, 2020."),
        ("Nordbank AG keeps the deposit", "The deposit is kept by Nordbank AG."),
        ("Anna has signed the lease", "Anna signed the lease."),
        ("The museum is located in Bonn", "The museum, located in Bonn, has 20 rooms."),
        ("The rent is 1,250 euros", "Rent: 1,250 euros."),
        ("Rent: 1,250 euros", "The rent is 1,250 euros."),
    ]
    assert doubted(honest) == []


NARROWED = [
    ("They get leave", "Only full-time employees get leave."),
    ("Employees get leave", "Employees in Berlin get leave."),
    ("Employees get leave", "Employees of the bank get leave."),
    ("Employees get leave", "Employees working nights get leave."),
    ("The firm made a profit", "The firm made a small profit."),
    ("Berlin is the largest city in the country", "Berlin is the second largest city in the country."),
    ("Berlin is the largest city in the country", "Berlin is one of the largest cities in the country."),
    ("He only paid the fee", "Only he paid the fee."),
    ("The tenants pay 900 euros", "The tenants pay 900 euros each."),
    ("A few tenants pay", "Few tenants pay."),
    ("员工享有年假", "兼职员工享有年假。"),
    ("员工享有年假", "工作满一年的员工享有年假。"),
    ("狗必须拴绳", "大型狗必须拴绳。"),
    ("经理签署了合同", "前经理签署了合同。"),
    ("员工享有年假", "部分员工享有年假。"),
    ("王芳是医生", "王芳和李明分别是护士和医生。"),
    ("員工享有年假", "兼職員工享有年假。"),
    ("學生免費", "十二歲以下學生免費。"),
]


@pytest.mark.parametrize(("claim", "source"), NARROWED)
def test_a_part_of_a_phrase_is_not_left_out(claim: str, source: str) -> None:
    assert not verdict(claim, source)
    assert verdict(source[:-1], source)


PERSONS = [
    ("He pays him", "He pays her."),
    ("He pays himself", "He pays her."),
    ("He pays us", "He pays them."),
    ("Anna loves him", "Anna loves herself."),
    ("The tenant pays its rent", "The tenant pays rent."),
    ("Bonn is bigger than it", "Bonn is bigger than Ulm."),
    ("他们支付900元", "他支付900元。"),
    ("妳支付900元", "我支付900元。"),
]


@pytest.mark.parametrize(("claim", "source"), PERSONS)
def test_a_pronoun_is_not_added_nor_exchanged(claim: str, source: str) -> None:
    assert not verdict(claim, source)
    assert verdict(source[:-1], source)


SOLD = "The firm was sold.\nThe rent rose by 5%."
HOUSE = "Anna Schmidt owns the house.\nBen Jones rents the flat.\nHe pays 900 euros."


@pytest.mark.parametrize(
    ("answer", "source", "verified"),
    [
        ("The firm was sold. It rose by 5% [1].", SOLD, False),
        ("The firm was sold [1]. It rose by 5% [1].", SOLD, False),
        ("The rent is new. It rose by 5% [1].", SOLD, True),
        ("It rose by 5% [1].", SOLD, True),
        ("In short:\nIt rose by 5% [1].", SOLD, True),
        ("Anna Schmidt owns the house [1]. He pays 900 euros [1].", HOUSE, False),
        ("Ben Jones rents the flat [1]. He pays 900 euros [1].", HOUSE, True),
        ("1. Ben Jones rents the flat [1]\n2. He pays 900 euros [1]", HOUSE, True),
        ("王芳有房子。他支付900元 [1]。", "李明租下公寓。\n他支付900元。", False),
        ("李明租下公寓。他支付900元 [1]。", "李明租下公寓。\n他支付900元。", True),
    ],
)
def test_a_pronoun_speaks_of_what_the_answer_has_just_named(answer: str, source: str, verified: bool) -> None:
    assert verdict(answer, source) is verified


STEPS = "1. Leave the house.\n2. Call the guard.\n3. Lock the door."


@pytest.mark.parametrize(
    ("answer", "verified"),
    [
        ("2. Lock the door [1]", False),
        ("3. Lock the door [1]", True),
        ("1. Leave the house [1]\n2. Lock the door [1]\n3. Call the guard [1]", False),
        ("1. Leave the house [1]\n2. Call the guard [1]\n3. Lock the door [1]", True),
        ("1. Call the guard [1]\n2. Lock the door [1]", True),
        ("1. Lock the door [1]\n2. Call the guard [1]", False),
        ("- Lock the door [1]\n- Call the guard [1]", True),
    ],
)
def test_an_answer_numbers_steps_as_the_evidence_or_in_its_order(answer: str, verified: bool) -> None:
    assert verdict(answer, STEPS) is verified
    chinese = {"Leave the house": "离开房屋", "Call the guard": "呼叫保安", "Lock the door": "锁好大门"}
    translated = [answer, STEPS]
    for word, han in chinese.items():
        translated = [text.replace(word, han).replace(".\n", "。\n") for text in translated]
    assert verdict(*translated) is verified


def test_one_statement_is_not_made_of_two_that_a_semicolon_parts() -> None:
    source = "First, call the guard; second, lock the door."
    assert not verdict("First, lock the door", source)
    assert verdict("First, call the guard; second, lock the door", source)


TABLE = "Revenue | 2018 | 2019\nServices | 5 | 7\nGoods | 3 | 4"


@pytest.mark.parametrize(
    ("answer", "verified"),
    [
        ("| Revenue | 2018 | 2019 |\n|---|---|---|\n| Services | 5 | 7 | [1]", True),
        ("| Revenue | 2019 | 2018 |\n|---|---|---|\n| Services | 5 | 7 | [1]", False),
        ("| Revenue | 2019 | 2018 |\n| Services [1] | 5 | 7 |", False),
        ("| Costs | 2018 | 2019 |\n|---|---|---|\n| Services | 5 | 7 | [1]", False),
        ("| Revenue | 2018 |\n|---|---|\n| Services | 5 | 7 | [1]", False),
    ],
)
def test_a_row_of_an_answer_stands_under_the_header_of_its_quote(answer: str, verified: bool) -> None:
    assert verdict(answer, TABLE) is verified


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("> ~Dogs are kept on a lead~ [1]", "Dogs are kept on a lead."),
        ("# Lies\nDogs are kept on a lead [1].", "Dogs are kept on a lead."),
        ("Forbidden:\n- Dogs are kept on a lead [1]", "Dogs are kept on a lead."),
        ("It is not the case that\n- dogs are kept on a lead [1]", "Dogs are kept on a lead."),
    ],
)
def test_what_an_answer_strikes_or_forbids_above_is_not_verified(answer: str, source: str) -> None:
    assert not verdict(answer, source)
    assert verdict(f"# Dogs\nOf note:\n- {source}", source)
    assert verdict("Dogs (~5 to ~7 of them) stay [1].", "Dogs (~5 to ~7 of them) stay.")


AMOUNTS = [
    ("It takes 5 days", "It takes 5 working days."),
    ("The fee is 50 dollars", "The fee is 50 Hong Kong dollars."),
    ("The range is 5 to 10 metres", "The range is 5 and 10 metres."),
    ("Two tenants pay", "Tenants pay two."),
    ("It opened in 44", "It opened in 44 BC."),
    ("共二十三人", "共两三人。"),
    ("18岁可以参加", "满18岁可以参加。"),
    ("建于公元5年", "建于公元前5年。"),
    ("需要5日", "需要5个工作日。"),
    ("共102人", "共一百二十人。"),
    ("共三十人", "共三十餘人。"),
]


@pytest.mark.parametrize(("claim", "source"), AMOUNTS)
def test_an_amount_keeps_what_qualifies_it(claim: str, source: str) -> None:
    assert not verdict(claim, source)
    assert verdict(source[:-1], source)


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("He paid because he was ill", "He paid although he was ill."),
        ("He paid because he was ill", "He paid and he was ill."),
        ("He lives in Bonn in Germany", "He lives near Bonn in Germany."),
        ("Rooms on the first floor are more expensive", "Rooms are more expensive than rooms on the first floor."),
    ],
)
def test_a_cause_or_a_place_is_not_exchanged(claim: str, source: str) -> None:
    assert not verdict(claim, source)


def test_a_copy_says_what_it_says_whatever_it_opens_with() -> None:
    source = Source("It rose by 5%.", before="The rent is new.")
    assert supports(Claim("It rose by 5%"), source)
    assert not supports(Claim("It rose by 5%", named=frozenset(("firm",))), source)
    assert supports(Claim("It rose by 5%", named=frozenset(("rent",))), source)


@pytest.mark.parametrize(
    ("claim", "source", "holds"),
    [
        ("The rent is 840 pounds a month", "The rent of the cottage is 840 pounds a month.", True),
        ("Employees get ten days", "Employees of the bank get ten days.", False),
        ("The rent is 840 pounds a month", "The cheapest rent of the last decade is 840 pounds a month.", False),
    ],
)
def test_whose_it_is_may_be_left_to_the_question_where_it_is_one_thing(claim: str, source: str, holds: bool) -> None:
    assert bool(verdict(claim, source)) == holds
