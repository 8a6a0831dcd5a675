"""Other libraries beside the product: LangChain, LlamaIndex, Haystack and txtai on the same documents and questions.

    python -m benchmarks.peers --data FOLDER --sets xquad-en,nq [--questions 200]

Each library is one file with one class behind `protocol.Peer`, and is asked in three ways (`arms.py`):

    defaults     its own splitter, chunk size, number of chunks and prompt template
    its parts    the same with what it offers for shrinking or reordering the context
    at its best  the setting out of a grid (chunk size, number of chunks, keyword search beside vectors) that sends the
                 fewest tokens while it answers as well as the product, chosen on other documents (`tuning.py`)

The encoder is the same everywhere, the product's own; so are the documents, the questions, the token counter and the
measures. The peers are an extra (`pip install 'fovea-rag[peers]'`), and nothing here needs a network.
"""
