"""A cross-encoder of the default encoder's own backbone, the baseline of docs/attention.md that costs the most.

    [begin] question [end] title, text [end] ── all layers ─┬─ first token ── linear ── score of the chunk
                                                            └─ tokens of a sentence ── mean, linear ── of the sentence

Every layer sees both texts, so nothing can be computed before the question is asked: 50 chunks cost 50 passes. It
learns from the questions, candidates, gold sentences and split that the reranker learns from, and is run in int8.

    pairs.py       what it reads
    network.py     layers and heads, in torch
    training.py    from labelled questions to weights
    graph.py       from weights to OpenVINO, in floating point and in int8
    reranker.py    candidates in, scored chunks and sentences out
"""
