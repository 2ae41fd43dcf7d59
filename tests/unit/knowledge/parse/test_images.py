"""Pictures as documents, read by the Tesseract that is installed; and what is said where it, or a language, is not."""

import os
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from hausgeist.knowledge.parse import images, ocr
from hausgeist.knowledge.parse.base import Limits, Unreadable

tesseract = pytest.mark.skipif(not ocr.installed() and not os.environ.get("CI"), reason="Tesseract is not installed")


def picture(*lines: str, size: tuple[int, int] = (900, 300), ink: int = 0) -> Image.Image:
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).multiline_text((40, 40), "\n".join(lines), fill=ink, font=ImageFont.load_default(36), spacing=18)
    return image


@tesseract
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_read_with_places(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture"
    picture("The deposit is three rents.", "It bears interest.").save(path, kind)
    parsed = images.read(path, "whatever", Limits())
    assert " ".join(parsed.text.split()) == "The deposit is three rents. It bears interest."
    assert parsed.media_type == f"image/{kind.lower()}"
    assert parsed.pages[0].recognised
    box = parsed.lines[0].box
    assert abs(box.left - 40 * 0.75) < 3
    assert 20 < box.top < box.bottom < 70


@tesseract
def test_frames_of_a_tiff_are_pages(tmp_path: Path) -> None:
    path = tmp_path / "fax.tiff"
    first, second = picture("Sent on Monday morning."), picture("Answered on Friday.")
    first.save(path, save_all=True, append_images=[second], dpi=(200, 200))
    parsed = images.read(path, "fax.tiff", Limits())
    assert [parsed.text[page.start : page.end] for page in parsed.pages] == ["Sent on Monday morning.", "Answered on Friday."]
    assert parsed.pages[0].width == pytest.approx(900 * 72 / 200)
    assert len(images.read(path, "fax.tiff", Limits(pages=1)).pages) == 1


def test_without_tesseract_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "picture"
    picture("Nobody reads this.").save(path, "PNG")
    parsed = images.read(path, "picture.png", Limits())
    assert parsed.text == ""
    assert "install tesseract-ocr (Debian's name)" in parsed.warnings[0]
    assert ocr.languages() == []
    assert ocr.missing(["de", "fr"]) == {"de": "tesseract-ocr-deu", "fr": "tesseract-ocr-fra"}


@tesseract
def test_languages_are_those_installed_and_others_have_a_package() -> None:
    assert "eng" in ocr.languages()
    assert "osd" not in ocr.languages()
    assert ocr.missing(["en"]) == {}
    assert ocr.missing(["tlh"]) == {"tlh": "tesseract-ocr-tlh"}
    assert ocr.package("chi_sim") == "tesseract-ocr-chi-sim"


@tesseract
def test_a_language_of_the_settings_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    picture("The deposit is three rents.").save(path, "PNG")
    token = ocr.preferred.set(("en", "tlh"))
    try:
        parsed = images.read(path, "picture.png", Limits())
    finally:
        ocr.preferred.reset(token)
    assert parsed.text == "The deposit is three rents."
    assert "install tesseract-ocr-tlh" in parsed.warnings[0]


@tesseract
def test_a_page_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "_SECONDS", 0.0)
    with pytest.raises(TimeoutError):
        ocr.recognise((Path(_saved(tmp_path))).read_bytes(), seconds=0.001)


def _saved(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    picture("Slow.").save(path)
    return path


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + b"\0" * 100, b"\xff\xd8\xff\xe0" + b"x" * 50, b"II*\0\xff\xff\xff\xff"])
def test_damaged_pictures_say_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="damaged"):
        images.read(path, "picture.png", Limits())


def test_a_picture_of_endless_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    with pytest.raises(Unreadable, match="100000 x 100000 pixels, more than can be read"):
        images.read(path, "bomb.png", Limits())
