"""The scan: a delivery note as a picture, a little askew and with dust, as it comes out of a scanner."""

from __future__ import annotations

import random

from starter.demo.pdf import picture_pdf

__all__ = ["scan"]

_LINES = [
    (34, "TOLIMA GREEN COFFEE IMPORTERS"),
    (20, "Quay 9, Rotterdam"),
    (20, ""),
    (30, "Delivery note 2026-0417"),
    (20, ""),
    (22, "To: Roesterei Halmberg GmbH, Hafenstrasse 17, 24987 Halmberg"),
    (22, "Date of delivery: 17 April 2026"),
    (22, "Carrier: Nordfracht, truck HB-NF 204"),
    (20, ""),
    (22, "24 bags  Colombia Huila washed, 60 kg each, lot 8831"),
    (22, "10 bags  Ethiopia Sidamo natural, 60 kg each, lot 9017"),
    (22, " 6 bags  Brazil Cerrado pulped natural, 59 kg each, lot 7750"),
    (20, ""),
    (22, "Total 40 bags, net weight 2,394 kg"),
    (20, ""),
    (22, "Remark: two bags of lot 9017 arrived damp and were accepted"),
    (22, "under reserve. Moisture measured at the ramp: 13.4 percent."),
    (20, ""),
    (22, "Received by: Tom Aschwin"),
]
_SIZE = (1240, 1754)
"""A4 at 150 dots an inch."""


def scan() -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", _SIZE, 255)
    pen = ImageDraw.Draw(page)
    y = 170
    for size, text in _LINES:
        pen.text((130, y), text, fill=0, font=ImageFont.load_default(size * 1.25))
        y += int(size * 2.1)
    pen.line((130, 296, 1110, 296), fill=0, width=2)
    page = page.rotate(0.6, resample=Image.Resampling.BICUBIC, fillcolor=255)
    dust = random.Random(17)
    pixels = page.load()
    assert pixels is not None
    for _ in range(260):
        pixels[dust.randrange(_SIZE[0]), dust.randrange(_SIZE[1])] = 0
    bits = page.point(lambda value: 255 if value > 140 else 0).convert("1", dither=Image.Dither.NONE).tobytes()
    return picture_pdf([(bits, *_SIZE, (595, 842))], "Scan 2026-04-17")
