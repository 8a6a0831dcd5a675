import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.lexical.analyzer import Analyzer

ANALYZER = Analyzer()


def words(text):
    return [term for term, _ in ANALYZER.terms(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ?!… \n", []),
        ("Rivers flowing", ["river", "flow"]),
        ("CAFÉ naïve Straße", ["cafe", "naiv", "strass"]),
        ("Cafe\u0301", ["cafe"]),  # the accent as a character of its own
        ("ＦＹ２０１８ ﬁnance", ["fy2018", "fy", "2018", "financ"]),  # full width, a ligature
        ("Obama's don't we're", ["obama", "do", "we"]),
        ("Обама Ёлка", ["обама", "елка"]),
        ("विश्वविद्यालय", ["विश्वविद्यालय"]),
    ],
)
def test_words_are_folded_and_stemmed(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1,577", ["1577"]),
        ("1,577.50 and 12,34", ["1577.50", "and", "12,34"]),  # the second is a list, or a decimal comma
        ("3.14", ["3.14"]),
        ("1，577 １２３", ["1577", "123"]),
        ("192.168.0.1", ["192.168.0.1"]),
        ("12%", ["12"]),
        ("2018年", ["2018", "年"]),
    ],
)
def test_numbers_stay_whole(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B-52", ["b52", "b", "52"]),
        ("b52", ["b52", "52"]),
        ("state-of-the-art", ["stateoftheart", "state", "of", "the", "art"]),
        ("getUserName", ["getusernam", "get", "user", "name"]),
        ("get_user_name", ["getusernam", "get", "user", "name"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("__init__", ["init"]),
        ("SARS-CoV-2", ["sarscov2", "sar", "cov", "co", "2"]),
        ("FY2018", ["fy2018", "fy", "2018"]),
        ("3M", ["3m", "3"]),
        ("2018-12-31", ["20181231", "2018", "12", "31"]),
        ("example.com", ["example.com", "exampl", "com"]),
        ("U.S. or US, e.g. here", ["us", "or", "us", "eg", "here"]),
    ],
)
def test_compounds_are_found_whole_and_in_parts(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("中国最长", ["中国", "国最", "最长"]),
        ("我 和 他", ["我", "和", "他"]),
        ("河，江", ["河", "江"]),
        ("東京タワー", ["东京", "京タ", "タワ", "ワー"]),
        ("ガス ｶﾞｽ", ["ガス", "ガス"]),
        ("한국어", ["한국", "국어"]),
        ("iPhone价格", ["iphon", "phone", "价格"]),
        ("中\n国", ["中国"]),  # PDF lines break anywhere
        ("中\n\n国", ["中", "国"]),
        ("⼈民", ["人民"]),  # a Kangxi radical, as some PDFs have it
    ],
)
def test_scripts_without_spaces_give_pairs_of_characters(text, expected):
    assert words(text) == expected


def test_traditional_and_simplified_are_one():
    assert words("後漢書與電腦") == words("后汉书与电脑")


def test_a_document_also_gives_single_characters():
    assert ANALYZER.index_terms("国家 river") == ["国", "家", "国家", "river"]


def test_the_terms_of_words_are_those_of_the_question():
    text = "The B-52's getUserName(1,577) in FY2018, U.S."
    assert ANALYZER.index_terms(text) == words(text)


def test_stop_words_are_left_out_of_a_search_unless_nothing_else_is_there():
    assert ANALYZER.query_terms("Who is the king of Spain") == ["king", "spain"]
    assert ANALYZER.query_terms("to be or not") == ["not"]
    assert ANALYZER.query_terms("Who is it?") == ["who", "is", "it"]
    assert "the" in words("the king")  # what the question says stays known, with its small weight


def test_spans_point_at_what_the_term_came_from():
    text = "Über B-52: 中国 $1,577 Ｆ１ U.S. Obama's"
    assert [(term, span.of(text)) for term, span in ANALYZER.terms(text)] == [
        ("uber", "Über"),
        ("b52", "B-52"),
        ("b", "B"),
        ("52", "52"),
        ("中国", "中国"),
        ("1577", "1,577"),
        ("f1", "Ｆ１"),
        ("1", "１"),
        ("us", "U.S"),
        ("obama", "Obama"),
    ]


@given(st.text())
def test_any_text_gives_terms_without_blanks_that_lie_in_it(text):
    for term, span in ANALYZER.terms(text):
        assert term and not any(character.isspace() for character in term)
        assert len(term) <= 128
        assert span.of(text).strip()
        term.encode()  # no lone surrogate gets through


@given(st.text(alphabet="aB1.-_'，, 中国\nｶﾞ\u0301Ａ年"))
def test_every_term_of_a_question_is_a_term_of_the_same_text_as_a_document(text):
    assert {term for term, _ in ANALYZER.terms(text)} <= set(ANALYZER.index_terms(text))


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=1))
def test_every_letter_and_digit_gives_a_term(character):
    assert ANALYZER.index_terms(character)


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "-" * 200_000, "a-" * 100_000, "中 " * 100_000, "1," * 100_000, "A.b" * 60_000]
)
def test_no_text_takes_more_than_linear_time(text):
    ANALYZER.index_terms(text)  # a quadratic pattern would take minutes and meet the timeout


def test_long_terms_are_cut_alike_in_question_and_document():
    assert words("x" * 500) == ["x" * 64]


def test_threads_may_share_an_analyzer():
    shared, text = Analyzer(), " ".join(f"running{number} nations" for number in range(3000))
    expected, results = Analyzer().index_terms(text), []
    threads = [threading.Thread(target=lambda: results.append(shared.index_terms(text))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
