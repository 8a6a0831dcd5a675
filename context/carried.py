"""What the conversation in a prompt and its evidence both hold is sent once.

An answer quotes its evidence, the next prompt carries that answer, and the next question often finds the same
sentences again. What counts as carried is only what really stands in *this* prompt's conversation section, word for
word: not what an earlier prompt held, and not what was cut from the digest. The sentence stays in the evidence block,
where it has its mark, its document and its offsets, and the conversation points to it: "Assistant: [2]". The other way
round, leaving it out of the evidence, would leave the model with nothing to cite and the check of citations with
nothing to hold an answer against; and a client could put words into a document's mouth by sending them as history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from context.rendering import neutralise
from context.templates import WORDINGS, Wording, Wordings
from domain.asking import Message
from domain.context import Context
from domain.search import Evidence

_SHORTEST = 12  # characters: a shorter sentence costs hardly more than the mark that would stand for it
_FENCE = "\n\n<evidence "


def sent_once(context: Context, count: Callable[[str], int], wordings: Wordings = WORDINGS) -> Context:
    """The context with each evidence sentence that an assistant's turn repeats replaced there by its mark.

    The user's own words stay as they are. The bill follows: what is saved comes off `history`. `wordings` are those
    that the prompt was built with.
    """
    *before, last = context.messages or (Message("user", ""),)
    section = _section(last.content, wordings)
    if section is None or not context.evidence:
        return context
    start, end, wording = section
    shorter = _pointing(last.content[start:end], context.evidence, wording)
    content = last.content[:start] + shorter + last.content[end:]
    saved = min(count(last.content) - count(content), context.bill.history - 1)
    if saved <= 0:
        return context
    return replace(
        context,
        messages=(*before, replace(last, content=content)),
        bill=replace(context.bill, history=context.bill.history - saved),
        context_tokens=context.context_tokens - saved,
    )


def _section(content: str, wordings: Wordings) -> tuple[int, int, Wording] | None:
    """Where the conversation stands in the user message, and how it is worded; None where it has none."""
    for wording in wordings.values():
        title = f"{wording.history_title}\n"
        start = 0 if content.startswith(title) else content.find(f"\n\n{title}") + 2
        if start != 1 and (end := content.find(_FENCE, start)) >= 0:
            return start, end, wording
    return None


def _pointing(section: str, evidence: tuple[Evidence, ...], wording: Wording) -> str:
    """The section with marks for the sentences that the evidence holds, in the assistant's turns."""
    said = [
        (neutralise(item.part(sentence.span), wording).strip(), item.mark)
        for item in evidence
        for sentence in item.sentences
    ]
    said = sorted((pair for pair in said if len(pair[0]) >= _SHORTEST), key=lambda pair: -len(pair[0]))
    lines, by_assistant = [], False
    for line in section.split("\n"):
        speaker = _is_assistant(line, wording)
        by_assistant = by_assistant if speaker is None else speaker
        if by_assistant:
            for sentence, mark in said:
                line = line.replace(sentence, f"[{mark}]")
        lines.append(line)
    return "\n".join(lines)


def _is_assistant(line: str, wording: Wording) -> bool | None:
    """True where the assistant begins to speak, False for the user, None where a turn goes on."""
    line = line.removeprefix(wording.digest_label)
    if line.startswith(wording.assistant_label):
        return True
    return False if line.startswith(wording.user_label) else None
