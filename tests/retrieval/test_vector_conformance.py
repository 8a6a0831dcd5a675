"""Both vector indexes keep the promises of the protocol, FAISS also where every test crosses segments."""

from fovea.testing import VectorIndexSuite
from retrieval.vector.exact import ExactVectorIndex
from retrieval.vector.faiss_index import FaissVectorIndex


class TestExactVectorIndex(VectorIndexSuite):
    def make_index(self, dim):
        return ExactVectorIndex(dim)


class TestFaissVectorIndex(VectorIndexSuite):
    def make_index(self, dim):
        return FaissVectorIndex(dim)


class TestFaissVectorIndexOfSmallSegments(VectorIndexSuite):
    def make_index(self, dim):
        return FaissVectorIndex(dim, segment_rows=8)


class TestFaissVectorIndexOnSeveralThreads(VectorIndexSuite):
    def make_index(self, dim):
        self.made = FaissVectorIndex(dim, threads=3, segment_rows=16)
        return self.made

    def teardown_method(self):
        self.made.close()
