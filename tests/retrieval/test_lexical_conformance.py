"""Both lexical indexes keep the promises of the protocol."""

from fovea.testing import LexicalIndexSuite
from retrieval.lexical.memory import MemoryLexicalIndex
from retrieval.lexical.tantivy_index import TantivyLexicalIndex


class TestMemoryLexicalIndex(LexicalIndexSuite):
    def make_index(self):
        return MemoryLexicalIndex()


class TestTantivyLexicalIndex(LexicalIndexSuite):
    def setup_method(self):
        self.made = []

    def make_index(self):
        self.made.append(TantivyLexicalIndex())
        return self.made[-1]

    def teardown_method(self):
        for index in self.made:
            index.close()
