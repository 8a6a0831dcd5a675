"""What training minimises.

Two listwise terms, each once for the final log-odds and once for attention alone, which keeps the token vectors
learning where dense and lexical scores already rank well:

    sentences   -log p(gold sentence) over all sentences of the batch, where a wrong sentence counts by the root of
                its length: what it costs is tokens, and taking a long wrong one costs more of them
    chunks      -log p(gold chunk) over all chunks of the batch (InfoNCE, van den Oord et al. 2018, with in-batch
                and mined negatives)

and one that holds the encoder's sentence vectors in place, so that dense retrieval stays what it was.
"""

from __future__ import annotations

import torch

from attention_core.examples import Batch
from attention_core.network import Scores

_HOLD = 20.0  # a drift of .005 costs as much as .1 nats of evidence
_CHUNK, _ATTENDED = 0.5, 0.5
_LENGTH_POWER = 0.5
_MEAN_TOKENS = 20.0
_NEVER = -1e4


def objective(scores: Scores, batch: Batch) -> torch.Tensor:
    """The loss () of a batch."""
    judged = batch.allowed & batch.listed
    loss = sentence_loss(scores.sentences, batch, judged)
    loss = loss + _ATTENDED * sentence_loss(scores.attended_sentences, batch, batch.allowed)
    if any(example.ranked for example in batch.examples):
        loss = loss + _CHUNK * chunk_loss(scores.chunks, batch, judged)
        loss = loss + _CHUNK * chunk_loss(scores.attended_chunks, batch, batch.allowed)
    return loss + _HOLD * scores.drift


def sentence_loss(logits: torch.Tensor, batch: Batch, among: torch.Tensor) -> torch.Tensor:
    """Mean over questions and their gold sentences of -log(g / (g + wrong ones)); `logits` (B, S).

    `among` (B, C): the chunks whose sentences are compared. Several gold sentences do not compete with each other.
    """
    tokens = torch.cat([torch.from_numpy(batch.source.chunks[row].sentence_tokens) for row in batch.rows])
    sizes = torch.tensor([len(batch.source.chunks[row].sentence_tokens) for row in batch.rows])
    counted = among.repeat_interleave(sizes, dim=1) & ~batch.gold
    cost = _LENGTH_POWER * torch.log(tokens / _MEAN_TOKENS)
    wrong = torch.logsumexp((logits + cost).masked_fill(~counted, _NEVER), dim=1, keepdim=True)
    gold = batch.gold & among.repeat_interleave(sizes, dim=1)
    lost = (torch.logaddexp(logits, wrong) - logits) * gold
    return (lost.sum(1) / gold.sum(1).clamp_min(1)).mean()


def chunk_loss(logits: torch.Tensor, batch: Batch, among: torch.Tensor) -> torch.Tensor:
    """Mean over questions of -log p(any gold chunk) among the chunks `among` (B, C); `logits` (B, C)."""
    allowed = logits.masked_fill(~among, _NEVER)
    right = torch.logsumexp(logits.masked_fill(~(batch.chunk_gold & among), _NEVER), dim=1)
    return (torch.logsumexp(allowed, dim=1) - right).mean()
