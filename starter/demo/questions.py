"""What may be asked of the documents of the demo: the question, words that the answer has to contain, the file that they stand in, the language."""

from __future__ import annotations

__all__ = ["QUESTIONS"]

_LEASE, _MANUAL, _PRICES = "Mietvertrag Kornspeicher.pdf", "Vesta R15 manual.pdf", "Preisliste 2026.xlsx"
_TEAM, _CALL, _ORDER = "Protokoll 2026-02-12.docx", "minutes 2026-03-05.md", "order for May.eml"
_WATER, _EXPORT, _SCAN = "Wasserschaden.eml", "export prices 2026.csv", "delivery note 2026-04-17.pdf"

QUESTIONS: list[tuple[str, str, str, str]] = [
    ("Wann endet das Mietverhältnis?", "28. Februar 2029", _LEASE, "de"),
    ("Bis wann muss die Option für die erste Verlängerung ausgeübt werden?", "31. Mai 2028", _LEASE, "de"),
    ("Wie hoch ist die Kaution?", "11.880 Euro", _LEASE, "de"),
    ("Wann dürfen die Röstmaschinen nachts nicht betrieben werden?", "22 Uhr und 6 Uhr", _LEASE, "de"),
    ("Bis zu welchem Betrag trägt die Mieterin kleine Reparaturen?", "250 Euro", _LEASE, "de"),
    ("Wie viele Schlüssel werden der Mieterin übergeben?", "sechs Schlüssel", _LEASE, "de"),
    ("An wen sind Kündigungen der Mieterin zu richten?", "Deichmann & Partner", _LEASE, "de"),
    ("Welche Deckung muss die Betriebshaftpflichtversicherung haben?", "3 Millionen Euro", _LEASE, "de"),
    ("Was darf bei der Rückgabe der Mietsache verbleiben?", "Fundamente der Röstmaschine", _LEASE, "de"),
    ("How often must the chaff collector be emptied?", "every eight batches", _MANUAL, "en"),
    ("Which grease is used for the drum bearings?", "Thermolub 300", _MANUAL, "en"),
    ("What does error code E07 mean?", "Drum motor overloaded", _MANUAL, "en"),
    ("At which temperature is the drum charged with a full batch?", "185 °C", _MANUAL, "en"),
    ("What should I do if there is a fire in the drum?", "emergency stop", _MANUAL, "en"),
    ("How long does the warranty last?", "36 months", _MANUAL, "en"),
    ("How long may the exhaust pipe be?", "9 metres", _MANUAL, "en"),
    ("What gas pressure is needed for propane?", "37 mbar", _MANUAL, "en"),
    ("Was kostet der Jahrgangskaffee Lotse?", "34", _PRICES, "de"),
    ("Ab welcher Jahresmenge gibt es 6 % Rabatt?", "600", _PRICES, "de"),
    ("Until when is the Sidamo natural available for export?", "2026-08-31", _EXPORT, "en"),
    ("An welchen Tagen wird ab März geröstet?", "dienstags und donnerstags", _TEAM, "de"),
    ("Wer soll das Zertifikat des Bio-Verbands verlängern?", "Jule Petersen", _TEAM, "de"),
    ("Welche Schadennummer hat der Wasserschaden?", "DP-2026-031", _TEAM, "de"),
    ("Until when is the price of the Harbour Blend fixed?", "30 September 2026", _CALL, "en"),
    ("What did the last offer for printed bags cost?", "0.31 EUR", _CALL, "en"),
    ("When is the bakehouse in Clifton closed?", "11 to 15 May", _ORDER, "en"),
    ("Which grinder setting should be used for the decaf?", "setting 7", _ORDER, "en"),
    ("Was kostet die Reparatur des Daches?", "6.420 Euro", _WATER, "de"),
    ("Um wie viel Prozent soll die Miete für März gemindert werden?", "15 Prozent", _WATER, "de"),
    ("Which lot arrived damp?", "9017", _SCAN, "en"),
    ("Which carrier delivered the bags in April?", "Nordfracht", _SCAN, "en"),
]
