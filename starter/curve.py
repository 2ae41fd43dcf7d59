"""Draws how the training went: `python -m starter.curve FOLDER docs/guide-loss.svg`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

__all__ = ["draw", "main"]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 320, 48, 48, 24, 40
_STYLE = "text{font:13px sans-serif;fill:#444}path{fill:none;stroke-width:2}.axis{stroke:#bbb;stroke-width:1}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    options.file.write_text(draw(json.loads((options.folder / "curve.json").read_text())), encoding="utf-8")


def draw(curve: Sequence[dict[str, float]]) -> str:
    """The loss of what is said (left scale), and the share of intents named rightly (right scale), over minutes."""
    minutes = curve[-1]["seconds"] / 60
    most = max(point["loss"] for point in curve if "loss" in point)

    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT

    def line(key: str, largest: float, colour: str, dashes: str = "") -> str:
        points = [
            f"{LEFT + (right - LEFT) * point['seconds'] / 60 / minutes:.1f} {floor - (floor - TOP) * point[key] / largest:.1f}"
            for point in curve
            if key in point
        ]
        return f'<path d="M{" L".join(points)}" stroke="{colour}"{dashes}/>'

    dashed = ' stroke-dasharray="5 4"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loss of the guide over its training">',
            f'<style>{_STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            f'<path class="axis" d="M{LEFT} {TOP} V{floor} H{right} V{TOP}"/>',
            *(f'<text x="{LEFT - 8}" y="{floor - (floor - TOP) * at / 4 + 4:.0f}" text-anchor="end">{most * at / 4:.1f}</text>' for at in range(5)),
            *(f'<text x="{right + 6}" y="{floor - (floor - TOP) * at / 4 + 4:.0f}">{25 * at} %</text>' for at in range(5)),
            *(
                f'<text x="{LEFT + (right - LEFT) * at / 4:.0f}" y="{floor + 18}" text-anchor="middle">{minutes * at / 4:.0f} min</text>'
                for at in range(5)
            ),
            line("loss", most, "#b3541e"),
            line("kept_back", most, "#b3541e", dashed),
            line("named", 1, "#2b6ca3"),
            line("kept_back_named", 1, "#2b6ca3", dashed),
            f'<text x="{LEFT + 12}" y="{TOP - 6}">orange: loss of answers; blue: intents named rightly; dashed: questions kept back</text>',
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    main()
