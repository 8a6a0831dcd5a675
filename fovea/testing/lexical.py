"""The promises of LexicalIndex."""

from __future__ import annotations

import math
from pathlib import Path

from domain.errors import DomainError
from domain.protocols import LexicalIndex
from fovea.testing.checks import assert_raises, run_beside

_TEXTS = {
    1: "The Danube flows through Vienna and Budapest.",
    2: "Vienna is the capital of Austria.",
    3: "Quantum computers factor large numbers.",
    4: "长江是中国最长的河流。",
    5: "黃河是中國第二長的河流。",
}


class LexicalIndexSuite:
    """Inherit and override `make_index`; close what it gave in `teardown_method`, where it needs closing."""

    def make_index(self) -> LexicalIndex:
        """Give an empty index."""
        raise NotImplementedError

    def test_an_empty_index_finds_nothing(self) -> None:
        index = self.make_index()
        assert (len(index), index.search("Vienna", 3)) == (0, [])
        assert index.terms("Vienna")[0].idf == math.log(1 + 0.5 / 0.5)

    def test_documents_with_a_word_of_the_question_are_found_best_first(self) -> None:
        hits = self._filled().search("Danube in Vienna", 5)
        assert [hit.key for hit in hits] == [1, 2]
        assert hits[0].score > hits[1].score > 0

    def test_scores_are_those_of_bm25(self) -> None:
        """Three documents of one, two and three words; k1 = 1.2, b = .75, average length 2."""
        index = self.make_index()
        index.add([1, 2, 3], ["ruby", "ruby jade", "ruby ruby onyx"])
        idf = math.log(1 + (3 - 3 + 0.5) / (3 + 0.5))
        expected = {
            1: idf * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 1 / 2)),
            2: idf * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 2)),
            3: idf * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2)),
        }
        found = {hit.key: hit.score for hit in index.search("ruby", 3)}
        assert found.keys() == expected.keys()
        assert all(math.isclose(found[key], expected[key], rel_tol=1e-5) for key in expected)

    def test_a_word_that_the_question_repeats_counts_twice(self) -> None:
        index = self._filled()
        once, twice = (index.search(question, 1)[0].score for question in ("quantum", "quantum quantum"))
        assert math.isclose(twice, 2 * once, rel_tol=1e-5)

    def test_case_accents_and_word_forms_do_not_matter(self) -> None:
        index = self.make_index()
        index.add([1], ["The cafés of VIENNA were flowing with coffee"])
        assert all(index.search(question, 1) for question in ("cafe", "Café", "vienna", "flows"))

    def test_numbers_are_found_with_and_without_separators(self) -> None:
        index = self.make_index()
        index.add([1, 2], ["It spent $1,577 million.", "It spent $577 million."])
        assert [[hit.key for hit in index.search(number, 2)] for number in ("1577", "1,577", "577")] == [[1], [1], [2]]

    def test_chinese_is_found_by_words_and_by_a_single_character(self) -> None:
        index = self._filled()
        assert {hit.key for hit in index.search("河流", 5)} == {4, 5}
        assert [hit.key for hit in index.search("长江", 5)] == [4]
        assert {hit.key for hit in index.search("河", 5)} == {4, 5}

    def test_nothing_in_a_question_is_syntax(self) -> None:
        index = self._filled()
        for question in (
            "",
            "   ",
            "?!",
            '"',
            "AND OR NOT",
            "key:1",
            "(Vienna",
            "Vi*",
            "terms:[a TO z]",
            "\\",
            "a~9^9",
        ):
            index.search(question, 3)
        assert [hit.key for hit in index.search("+Vienna -Danube) OR capital^5", 3)][:1] == [2]
        assert index.search("key:1", 3) == []

    def test_at_most_k_hits(self) -> None:
        index = self._filled()
        assert [len(index.search("中国", k)) for k in (0, 1, 2, 9)] == [0, 1, 2, 2]

    def test_ties_are_ordered_by_key_also_when_there_are_many(self) -> None:
        index = self.make_index()
        keys = [(key * 7919) % 1009 for key in range(1, 400)]
        index.add(keys[:200], ["same words"] * 200)
        index.add(keys[200:], ["same words"] * 199)
        assert [hit.key for hit in index.search("words", 7)] == sorted(keys)[:7]

    def test_adding_a_known_key_replaces_its_text(self) -> None:
        index = self._filled()
        index.add([2], ["Nothing about Austria's neighbours"])
        assert len(index) == 5
        assert [hit.key for hit in index.search("Vienna", 5)] == [1]
        assert [hit.key for hit in index.search("neighbour", 5)] == [2]

    def test_of_equal_keys_in_one_call_the_last_counts(self) -> None:
        index = self.make_index()
        index.add([1, 1], ["first", "second"])
        assert (len(index), index.search("first", 1)) == (1, [])
        assert index.search("second", 1)[0].key == 1

    def test_removed_keys_are_not_found_and_unknown_ones_ignored(self) -> None:
        index = self._filled()
        index.remove([1, 99])
        index.remove([])
        assert len(index) == 4
        assert [hit.key for hit in index.search("Danube Vienna", 5)] == [2]

    def test_everything_can_be_removed_and_added_again(self) -> None:
        index = self._filled()
        index.remove(_TEXTS)
        assert (len(index), index.search("Vienna 河流", 5)) == (0, [])
        index.add([1], [_TEXTS[1]])
        assert [hit.key for hit in index.search("Vienna", 5)] == [1]

    def test_a_text_without_words_is_kept_but_never_found(self) -> None:
        index = self.make_index()
        index.add([1, 2], ["", "?! \n"])
        assert (len(index), index.search("?", 2)) == (2, [])

    def test_allowed_restricts_the_hits_and_leaves_the_scores(self) -> None:
        index = self._filled()
        everywhere = {hit.key: hit.score for hit in index.search("Vienna", 5)}
        for allowed in ([2], frozenset([2, 3, 99]), range(2, 6)):
            hits = index.search("Vienna", 5, allowed=allowed)
            assert [hit.key for hit in hits] == [2]
            assert math.isclose(hits[0].score, everywhere[2], rel_tol=1e-6)
        assert index.search("Vienna", 5, allowed=[]) == []

    def test_allowed_of_any_size_gives_the_best_of_the_allowed(self) -> None:
        index = self.make_index()
        index.add(range(600), [f"common {'rare ' * (key % 5)} filler{key}" for key in range(600)])
        ranking = [hit.key for hit in index.search("common rare", 600)]
        for share in (300, 7, 2, 1):
            allowed = frozenset(range(0, 600, share))
            expected = [key for key in ranking if key in allowed][:12]
            assert [hit.key for hit in index.search("common rare", 12, allowed)] == expected

    def test_terms_carry_their_place_and_their_idf(self) -> None:
        index, question = self._filled(), "Which rivers, 中国? Vienna!"
        terms = index.terms(question)
        spans = {term.span.of(question): term for term in terms}
        assert {"rivers", "中国", "Vienna"} <= spans.keys()
        assert math.isclose(spans["Vienna"].idf, math.log(1 + (5 - 2 + 0.5) / (2 + 0.5)))
        assert math.isclose(spans["rivers"].idf, math.log(1 + (5 - 0 + 0.5) / (0 + 0.5)))
        assert [term.span.start for term in terms] == sorted(term.span.start for term in terms)

    def test_idf_is_never_negative(self) -> None:
        index = self.make_index()
        index.add(range(50), ["everywhere"] * 50)
        index.remove(range(40))
        assert index.terms("everywhere")[0].idf >= 0

    def test_keys_and_texts_must_pair_up(self) -> None:
        assert_raises(DomainError, lambda: self.make_index().add([1, 2], ["one"]))

    def test_a_saved_index_loads_as_it_was(self, tmp_path: Path) -> None:
        index, loaded = self._filled(), self.make_index()
        index.remove([3])
        index.save(tmp_path / "index")
        loaded.add([9], ["gone after load"])
        loaded.load(tmp_path / "index")
        assert len(loaded) == 4
        for question in ("Vienna Danube", "中国", "gone", "quantum"):
            assert loaded.search(question, 5) == index.search(question, 5)
            assert loaded.terms(question) == index.terms(question)

    def test_a_loaded_index_can_be_written(self, tmp_path: Path) -> None:
        self._filled().save(tmp_path / "index")
        loaded = self.make_index()
        loaded.load(tmp_path / "index")
        loaded.remove([1])
        loaded.add([2, 10], ["moved to Graz", "Vienna again"])
        assert [hit.key for hit in loaded.search("Vienna", 5)] == [10]
        assert len(loaded) == 5

    def test_saving_is_one_file(self, tmp_path: Path) -> None:
        self._filled().save(tmp_path / "index")
        assert [path.name for path in tmp_path.iterdir()] == ["index"]
        assert (tmp_path / "index").is_file()

    def test_an_unreadable_file_raises_value_error_and_changes_nothing(self, tmp_path: Path) -> None:
        index, path = self._filled(), tmp_path / "index"
        index.save(path)
        whole = path.read_bytes()
        for content in (b"", b"nonsense", whole[: len(whole) // 2], whole[:-1]):
            path.write_bytes(content)
            assert_raises(ValueError, lambda: index.load(path))
        assert_raises(ValueError, lambda: index.load(tmp_path / "missing"))
        assert [hit.key for hit in index.search("Vienna Danube", 5)] == [1, 2]

    def test_searches_during_writes_never_see_half_a_write(self) -> None:
        index, keys = self.make_index(), list(range(20))
        index.add(keys, ["amber"] * 20)

        def write() -> None:
            for turn in range(1, 12):
                index.add(keys, [("amber", "coral")[turn % 2]] * 20)

        def read() -> None:
            assert [hit.key for hit in index.search("amber coral", 20)] == keys
            assert len(index.search("amber", 20)) in (0, 20)

        run_beside(write, read)

    def _filled(self) -> LexicalIndex:
        index = self.make_index()
        index.add(list(_TEXTS), list(_TEXTS.values()))
        return index
