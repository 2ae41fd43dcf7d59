"""Mails, mailboxes and Outlook's files: text, people, attachments, mails within mails."""

from __future__ import annotations

import struct
from email.message import EmailMessage

import pytest

from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.mail.outlook import _PREBUF, unpacked
from hausgeist.knowledge.parse.reading import read
from tests.unit.knowledge.parse.making import compound, docx, kinds, parsed, texts

ARTICLE = "<html><body><h1>Hi</h1><table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table></body></html>"


def mail(text: str = "Hello Bob,\n\nthe rent is paid.\n", subject: str = "Rent") -> EmailMessage:
    message = EmailMessage()
    message["From"] = '"Müller, Ann" <ann@example.org>'
    message["To"] = "Bob <bob@example.org>"
    message["Date"] = "Sun, 01 Mar 2026 14:30:00 +0100"
    message["Subject"] = subject
    message.set_content(text)
    return message


def test_a_mail_says_who_wrote_to_whom_and_when() -> None:
    one = parsed(mail(subject="Mietzahlung für März €").as_bytes(), "x.eml")
    assert kinds(one) == [
        ("title", "Mietzahlung für März €"),
        ("paragraph", "From: Müller, Ann <ann@example.org>\nTo: Bob <bob@example.org>\nDate: 2026-03-01 14:30 +0100"),
        ("paragraph", "Hello Bob,"),
        ("paragraph", "the rent is paid."),
    ]
    assert one.media_type == "message/rfc822"
    assert one.properties["from"] == "Müller, Ann <ann@example.org>"
    assert one.pages[0].label == "Mietzahlung für März €"


def test_the_content_says_that_it_is_a_mail() -> None:
    assert parsed(mail().as_bytes(), "no name at all").media_type == "message/rfc822"


def test_attachments_are_pages_with_their_names() -> None:
    message = mail()
    message.add_attachment(
        docx("<w:p><w:r><w:t>Lease of 2026</w:t></w:r></w:p>"), maintype="application", subtype="octet-stream", filename="Übergabe.docx"
    )
    message.add_attachment(b"a;b;c\n1;2;3\n4;5;6\n", maintype="text", subtype="csv", filename="sums.csv")
    one = parsed(message.as_bytes())
    assert [page.label for page in one.pages] == ["Rent", "Übergabe.docx", "sums.csv"]
    page = one.pages[1]
    assert one.text[page.start : page.end] == "Lease of 2026"
    assert "Attachments: Übergabe.docx, sums.csv" in texts(one, "paragraph")
    assert texts(one, "table") == ["a\tb\tc\n1\t2\t3\n4\t5\t6"]


def test_an_attachment_that_cannot_be_read_is_named_and_the_mail_is_read() -> None:
    message = mail()
    message.add_attachment(b"\x7fELF" + bytes(range(256)), maintype="application", subtype="octet-stream", filename="tool.bin")
    one = parsed(message.as_bytes())
    assert "the rent is paid." in one.text
    assert any("tool.bin" in sentence and "program" in sentence for sentence in one.warnings)


def test_a_mail_within_a_mail_and_no_deeper_than_allowed() -> None:
    message = mail("the innermost text", "level 9")
    for level in range(8, 0, -1):
        outer = mail(f"text {level}", f"level {level}")
        outer.add_attachment(message)
        message = outer
    one = parsed(message.as_bytes(), limits=Limits(depth=3))
    assert "text 4" in one.text
    assert "text 5" not in one.text
    assert any("file within a file" in sentence for sentence in one.warnings)


def test_of_two_forms_the_plain_one_unless_the_other_says_more() -> None:
    message = mail("the same text")
    message.add_alternative("<p>the same text</p>", subtype="html")
    assert parsed(message.as_bytes()).text.count("the same text") == 1
    message = mail("see the other form")
    message.add_alternative(ARTICLE, subtype="html")
    assert texts(parsed(message.as_bytes()), "table") == ["A\tB\n1\t2"]


def test_quoted_text_is_read_without_its_marks() -> None:
    assert "> " not in parsed(mail("I agree.\n\n> the old\n> > older words\n").as_bytes()).text


def test_encrypted_mails_say_so() -> None:
    raw = b"From: a@b.c\nTo: d@e.f\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/encrypted; boundary=x\n\n--x\n\nsecret\n--x--\n"
    assert any("encrypted" in sentence for sentence in parsed(raw, "x.eml").warnings)


def test_undeclared_and_wrong_encodings() -> None:
    raw = b"From: Bj\xf6rn <b@c.d>\nTo: d@e.f\nSubject: Gr\xfc\xdfe\nContent-Type: text/plain; charset=unknown\n\nF\xfcr Sie: sch\xf6ne Gr\xfc\xdfe\n"
    one = parsed(raw, "x.eml")
    assert one.title == "Grüße"
    assert "Für Sie: schöne Grüße" in one.text


def test_a_mailbox_has_a_page_for_each_mail() -> None:
    box = b"".join(
        b"From ann@example.org Sun Mar  1 14:30:00 2026\n" + mail(f"text {n}\n\nFrom here on it is text\n", f"S{n}").as_bytes() + b"\n"
        for n in (1, 2)
    )
    one = parsed(box.replace(b"\nFrom here", b"\n>From here"), "x.mbox")
    assert one.media_type == "application/mbox"
    assert [page.label for page in one.pages] == ["1 – S1", "2 – S2"]
    assert "From here on" in one.text
    assert one.properties["mails"] == "2"


def outlook(extra: dict[str, bytes] | None = None) -> bytes:
    def text(value: str) -> bytes:
        return value.encode("utf-16-le")

    sent = struct.pack("<HHIQ", 0x0040, 0x0039, 6, 134_168_490_000_000_000)
    to = struct.pack("<HHII4x", 0x0003, 0x0C15, 6, 1)
    return compound(
        {
            "__properties_version1.0": b"\0" * 32 + sent,
            "__substg1.0_0037001F": text("Rent"),
            "__substg1.0_0C1A001F": text("Ann"),
            "__substg1.0_0C1F001F": text("ann@example.org"),
            "__substg1.0_1000001F": text("Hello Bob,\r\n\r\nthe rent is paid."),
            "__recip_version1.0_#00000000/__properties_version1.0": b"\0" * 8 + to,
            "__recip_version1.0_#00000000/__substg1.0_3001001F": text("Bob"),
            "__attach_version1.0_#00000000/__substg1.0_3707001F": text("note.txt"),
            "__attach_version1.0_#00000000/__substg1.0_37010102": b"An attached note",
            **(extra or {}),
        }
    )


def test_mails_of_outlook() -> None:
    one = parsed(outlook(), "x.msg")
    assert one.media_type == "application/vnd.ms-outlook"
    assert one.text == (
        "Rent\n\nFrom: Ann <ann@example.org>\nTo: Bob\nDate: 2026-03-01 14:30\n\nHello Bob,\n\nthe rent "
        "is paid.\n\nAttachments: note.txt\n\nAn attached note"
    )
    assert [page.label for page in one.pages] == ["Rent", "note.txt"]


def test_a_mail_within_a_mail_of_outlook() -> None:
    inner = "__attach_version1.0_#00000001/__substg1.0_3701000D/"
    extra = {
        f"{inner}__properties_version1.0": b"\0" * 24,
        f"{inner}__substg1.0_0037001F": "Inner".encode("utf-16-le"),
        f"{inner}__substg1.0_1000001F": "Deep".encode("utf-16-le"),
    }
    one = parsed(outlook({**extra, "__attach_version1.0_#00000001/__substg1.0_3707001F": "fwd".encode("utf-16-le")}))
    assert [page.label for page in one.pages] == ["Rent", "note.txt", "fwd – Inner"]
    assert one.text.endswith("Inner\n\nDeep")


def test_packed_text_of_outlook() -> None:
    assert len(_PREBUF) == 207
    # The example of MS-OXRTFCP, section 4.1.
    packed = bytes.fromhex("2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0")
    assert unpacked(packed, Limits()) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    with pytest.raises(Unreadable):
        unpacked(b"\x00" * 16, Limits())


def test_a_mailbox_without_mails_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        read(b"From nobody\nnothing at all: really\n" + b"\x80" * 3, "x.mbox", Limits(entries=0))
