"""E-mail: the headers a reader sees, the body, and the names of the attachments."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

from domain.documents import BlockKind, LoadedDocument
from ingestion.encoding import decode
from ingestion.loaders.assembly import TextAssembler, title_from_name
from ingestion.loaders.html import add_body, visible_tree
from ingestion.loaders.plain import paragraph_spans
from ingestion.text_gate import clean

MEDIA_TYPE = "message/rfc822"
_SHOWN = ("From", "To", "Cc", "Date")


class MailLoader:
    """EML files. The plain body is read where there is one, else the HTML body; attachments are listed, not opened."""

    extensions: tuple[str, ...] = (".eml",)
    media_types: tuple[str, ...] = (MEDIA_TYPE,)

    def load(self, data: bytes, name: str) -> LoadedDocument:
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


def _header(message: EmailMessage, key: str) -> str:
    try:
        return " ".join(str(message.get(key) or "").split())
    except (ValueError, IndexError, AttributeError):  # the standard library trips over some malformed addresses
        return ""


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
    text = clean(text).text
    for span in paragraph_spans(text):
        assembler.add(BlockKind.PARAGRAPH, span.of(text))
