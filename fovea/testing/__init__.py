"""For authors of parts: suites that a part inherits to prove that it fits, and doubles to test against.

A suite is a class with one method to override. Your test file holds

    from fovea.testing import VectorIndexSuite

    class TestMyIndex(VectorIndexSuite):
        def make_index(self, dim):
            return MyIndex(dim)

and pytest runs every promise of the protocol against your part. Nothing here imports pytest, torch or a model.
"""

from fovea.testing.doubles import FunctionGenerator, PassThroughReranker
from fovea.testing.lexical import LexicalIndexSuite
from fovea.testing.samples import make_candidate, make_chunk, make_context, make_document, make_query
from fovea.testing.stages import ChunkerSuite, EmbedderSuite, GeneratorSuite, LoaderSuite, RerankerSuite
from fovea.testing.store import InMemoryStore
from fovea.testing.vector import VectorIndexSuite

__all__ = [
    "ChunkerSuite",
    "EmbedderSuite",
    "FunctionGenerator",
    "GeneratorSuite",
    "InMemoryStore",
    "LexicalIndexSuite",
    "LoaderSuite",
    "PassThroughReranker",
    "RerankerSuite",
    "VectorIndexSuite",
    "make_candidate",
    "make_chunk",
    "make_context",
    "make_document",
    "make_query",
]
