"""Write the documents of the demo, and the questions with their answers."""

from __future__ import annotations

import json
from pathlib import Path

from starter.demo import lease, manual, papers, scan
from starter.demo.questions import QUESTIONS

FOLDER = Path(__file__).parents[2] / "src" / "hausgeist" / "demo"


def main() -> None:
    made = {
        "Mietvertrag Kornspeicher.pdf": lease.lease(),
        "Vesta R15 manual.pdf": manual.manual(),
        "Preisliste 2026.xlsx": papers.price_list(),
        "export prices 2026.csv": papers.prices_csv(),
        "Protokoll 2026-02-12.docx": papers.minutes_german(),
        "minutes 2026-03-05.md": papers.minutes_english(),
        "mails/order for May.eml": papers.complaint(),
        "mails/Wasserschaden.eml": papers.water_damage(),
        "scans/delivery note 2026-04-17.pdf": scan.scan(),
    }
    for name, content in made.items():
        path = FOLDER / "papers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"wrote {path.relative_to(FOLDER)}: {len(content):,} bytes")
    told = [{"question": question, "answer": answer, "file": file, "language": language} for question, answer, file, language in QUESTIONS]
    (FOLDER / "questions.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
