"""E-mail: the headers a reader sees, the body, and the names of the attachments."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage

from domain.documents import BlockKind, LoadedDocument
from domain.errors import LoadError
from ingestion.encoding import decode
from ingestion.loaders.assembly import TextAssembler, title_from_name
from ingestion.loaders.html import add_body, visible_tree
from ingestion.loaders.plain import paragraph_spans
from ingestion.text_gate import clean

MEDIA_TYPE = "message/rfc822"
_SHOWN = ("From", "To", "Cc", "Date")
_LONGEST_HEADER = 20_000  # characters; the standard library needs seconds for a longer list of addresses
_MIME_HEADER = re.compile(rb"^(?:content-[a-z-]{1,40}|mime-version):[^\n]*+(?:\n[ \t][^\n]*+)*+", re.I | re.M)


class MailLoader:
    """EML files. The plain body is read where there is one, else the HTML body; attachments are listed, not opened."""

    extensions: tuple[str, ...] = (".eml",)
    media_types: tuple[str, ...] = (MEDIA_TYPE,)

    def load(self, data: bytes, name: str) -> LoadedDocument:
        _check_headers(data)
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)  # which the default policy makes
        headers = {key: _header(message, key) for key in _SHOWN}
        subject = _header(message, "Subject")
        assembler = TextAssembler()
        assembler.add(BlockKind.HEADING, subject, level=1)
        assembler.add(BlockKind.PARAGRAPH, "\n".join(f"{key}: {value}" for key, value in headers.items() if value))
        _add_body(assembler, message)
        attachments = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
        for attachment in attachments:
            assembler.add(BlockKind.LIST_ITEM, f"- Attachment: {' '.join(attachment.split())}")
        metadata = {key.lower(): value for key, value in headers.items()}
        return assembler.document(
            subject or title_from_name(name),
            MEDIA_TYPE,
            {**metadata, "attachments": [clean(a).text for a in attachments]},
        )


def _check_headers(data: bytes) -> None:
    """Refuse headers that would be parsed on the way to the body and are far too long to be honest."""
    if any(len(match.group()) > _LONGEST_HEADER for match in _MIME_HEADER.finditer(data)):
        raise LoadError(
            f"A Content header of the message is longer than {_LONGEST_HEADER:,} characters, so the file is damaged; "
            "save the message again."
        )


def _header(message: EmailMessage, key: str) -> str:
    """A header as a reader sees it. One that is too long to be parsed is shown as it was sent, up to that length."""
    raw = next((str(value) for name, value in message.raw_items() if name.lower() == key.lower()), "")
    try:
        value = raw[:_LONGEST_HEADER] if len(raw) > _LONGEST_HEADER else str(message.get(key) or "")
    except (ValueError, IndexError, AttributeError, RecursionError):
        return ""  # the standard library trips over some malformed addresses, and over comments in comments
    return " ".join(value.split())


def _add_body(assembler: TextAssembler, message: EmailMessage) -> None:
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return
    payload = body.get_payload(decode=True)
    text = decode(payload if isinstance(payload, bytes) else b"", hint=body.get_content_charset()).text
    if body.get_content_subtype() == "html":
        tree, _ = visible_tree(text)
        if tree.body is not None:
            add_body(assembler, tree.body)
        return
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for span in paragraph_spans(text):
        assembler.add(BlockKind.PARAGRAPH, span.of(text))
