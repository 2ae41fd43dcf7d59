"""Everything else: the price lists, minutes, mails."""

# ruff: noqa: E501

from __future__ import annotations

from base64 import b64encode

from starter.demo.office import docx, xlsx

__all__ = ["complaint", "minutes_english", "minutes_german", "price_list", "prices_csv", "water_damage"]


def price_list() -> bytes:
    coffee: list[list[str | float]] = [
        ["Artikel", "Sorte", "Herkunft", "Gebinde", "Preis je kg netto (EUR)", "Mindestmenge (kg)"],
        ["K-101", "Hafenmischung", "Brasilien, Indien", "1 kg", 16.8, 5],
        ["K-102", "Speicherespresso", "Brasilien, Uganda", "1 kg", 17.4, 5],
        ["K-110", "Huila gewaschen", "Kolumbien", "1 kg", 21.9, 3],
        ["K-115", "Sidamo natur", "Äthiopien", "1 kg", 23.5, 3],
        ["K-120", "Entkoffeiniert Bergland", "Mexiko", "500 g", 22.6, 2],
        ["K-131", "Jahrgangskaffee Lotse", "Costa Rica", "250 g", 34.0, 1],
    ]
    shipping: list[list[str | float]] = [
        ["Versandart", "Bis Gewicht (kg)", "Preis (EUR)", "Laufzeit"],
        ["Paket Inland", 10, 6.9, "2 Werktage"],
        ["Paket Inland", 31, 11.5, "2 Werktage"],
        ["Palette Inland", 400, 79.0, "3 bis 4 Werktage"],
        ["Paket EU", 20, 19.9, "4 bis 6 Werktage"],
        ["Frei Haus", "ab 60 kg", 0, "nach Absprache"],
    ]
    discounts: list[list[str | float]] = [
        ["Jahresmenge ab (kg)", "Rabatt", "Bemerkung"],
        [250, "3 %", "wird vierteljährlich gutgeschrieben"],
        [600, "6 %", "wird vierteljährlich gutgeschrieben"],
        [1500, "9 %", "nur mit Rahmenvertrag"],
    ]
    return xlsx({"Kaffee 2026": coffee, "Versand": shipping, "Rabatte": discounts})


def prices_csv() -> bytes:
    return (
        b"article,name,origin,price_gbp_per_kg,minimum_kg,available_until\n"
        b"K-101,Harbour Blend,Brazil and India,15.20,10,2026-12-31\n"
        b"K-102,Granary Espresso,Brazil and Uganda,15.90,10,2026-12-31\n"
        b"K-110,Huila washed,Colombia,19.80,6,2026-09-30\n"
        b"K-115,Sidamo natural,Ethiopia,21.40,6,2026-08-31\n"
        b"K-131,Pilot vintage,Costa Rica,30.50,2,2026-06-30\n"
    )


def minutes_german() -> bytes:
    return docx(
        [
            ("Title", "Protokoll der Teamrunde vom 12. Februar 2026"),
            (
                "",
                "Anwesend: Ida Quendt (Leitung), Tom Aschwin (Lager), Marisol Vega (Röstung), Bent Harksen (Vertrieb). Entschuldigt: Jule Petersen.",
            ),
            ("Heading1", "1. Röstplan"),
            (
                "",
                "Marisol Vega berichtet, dass die R15 im Januar 412 Chargen geröstet hat. Die Trommellager wurden am 5. Februar nachgeschmiert; der nächste "
                "Termin liegt bei 1.840 Betriebsstunden.",
            ),
            ("", "Beschluss: Ab März wird dienstags und donnerstags geröstet, freitags nur bei mehr als 900 kg Auftragsbestand."),
            ("Heading1", "2. Angebot der Bäckerei Tidewater"),
            (
                "",
                "Bent Harksen stellt den Rahmenvertrag mit der Tidewater Bakery in Bristol vor: 1.800 kg im Jahr, Laufzeit bis 31. Dezember 2027, Rabatt "
                "9 Prozent. Ida Quendt stimmt zu, sofern die Zahlungsfrist höchstens 30 Tage beträgt.",
            ),
            ("Heading1", "3. Wasserschaden in Halle 3"),
            (
                "",
                "Am 9. Februar ist über dem Grünkaffeelager Wasser eingedrungen. Betroffen sind elf Säcke Santos im Wert von 2.970 Euro. Tom Aschwin hat den "
                "Schaden am selben Tag der Hausverwaltung gemeldet, Schadennummer DP-2026-031.",
            ),
            ("Heading1", "4. Aufgaben"),
            [
                ["Aufgabe", "Wer", "Bis wann"],
                ["Wartung der Abluftanlage beauftragen", "Marisol Vega", "30. April 2026"],
                ["Angebot für zweite Verpackungsmaschine einholen", "Tom Aschwin", "15. März 2026"],
                ["Zertifikat des Bio-Verbands verlängern", "Jule Petersen", "1. Juni 2026"],
            ],
            ("", "Die nächste Teamrunde ist am 12. März 2026 um 9 Uhr im Büro 3.2."),
        ],
        title="Protokoll der Teamrunde vom 12. Februar 2026",
        author="Bent Harksen",
    )


def minutes_english() -> bytes:
    return b"""# Minutes: call with the Tidewater Bakery, 5 March 2026

Present: Bent Harksen (Roesterei Halmberg), Orla Finnegan and Piers Whitlock (Tidewater Bakery, Bristol).

## Frame contract

- Quantity: 1,800 kg a year, called off monthly, with a tolerance of ten percent either way.
- Term: 1 April 2026 until 31 December 2027; either side may give notice of three months to the end of a quarter.
- Payment: 30 days net; two percent discount within ten days.
- The price of the Harbour Blend is fixed until 30 September 2026 at 13.83 GBP per kilogram.

## Samples

Orla Finnegan asks for three roasts of the Huila, each 2 kg, by 20 March. The lightest one should be dropped before 212 degrees.

## Packaging

Piers Whitlock wants bags with a valve and without aluminium. Bent Harksen will ask the supplier Faltwerk for 5,000 printed bags; the last offer was 0.31 EUR
a bag.

## Open

- Who insures the goods between the ramp and the port? Bent Harksen asks Nordfracht.
- The next call is on 2 April 2026 at 10:00.
"""


def complaint() -> bytes:
    order = "article;name;kg\nK-101;Harbour Blend;120\nK-110;Huila washed;24\nK-115;Sidamo natural;18\n"
    return _mail(
        "Orla Finnegan <orla@tidewater.example>", "Bent Harksen <bent@roesterei-halmberg.example>", "Order for May, and two torn bags",
        "Tue, 21 Apr 2026 09:14:00 +0100", "<0421-orla@tidewater.example>",
        """Dear Bent,

attached is our order for May: 162 kg altogether, to be here by 8 May please. Our bakehouse in Clifton is closed from 11 to 15 May.

Of the last delivery (invoice RH-2026-208) two bags of the Harbour Blend were torn, together 10 kg. We have thrown the coffee away; a photo is with your
carrier. Could you credit the 138.30 GBP with the next invoice?

One more thing: the decaf was ground too fine for our filter machines. Please use setting 7 instead of 5 from now on.

Kind regards
Orla Finnegan
Tidewater Bakery, 3 Mill Lane, Bristol
""",
        ("order-may-2026.csv", order),
    )  # fmt: skip


def water_damage() -> bytes:
    return _mail(
        "Henrike Vosskamp <vosskamp@kornspeicher.example>", "Ida Quendt <ida@roesterei-halmberg.example>", "Wasserschaden Halle 3, DP-2026-031",
        "Mon, 23 Feb 2026 16:40:00 +0100", "<0223-hv@kornspeicher.example>",
        """Liebe Frau Quendt,

der Dachdecker war am Freitag da: Ursache ist eine gerissene Kehle über der Halle 3, die Reparatur ist für den 10. März angesetzt und kostet uns 6.420 Euro.
Bitte räumen Sie bis dahin die drei Regale unter der Schadstelle.

Den Schaden an Ihrer Ware melden wir unserer Gebäudeversicherung. Die Versicherung bittet um Fotos und um die Rechnung über die elf Säcke bis zum 6. März.

Wegen der eingeschränkten Nutzung mindern Sie die Miete für März bitte um 15 Prozent der Nettomiete, also um 594 Euro.

Mit freundlichen Grüßen
Henrike Vosskamp
Kornspeicher Immobilien GbR
""",
    )  # fmt: skip


def _mail(sender: str, to: str, subject: str, date: str, identifier: str, text: str, attached: tuple[str, str] | None = None) -> bytes:
    head = f"From: {sender}\nTo: {to}\nSubject: {_encoded(subject)}\nDate: {date}\nMessage-ID: {identifier}\nMIME-Version: 1.0\n"
    body = f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{_lines(text)}"
    if attached is None:
        return (head + body).replace("\n", "\r\n").encode()
    name, content = attached
    parts = (
        f'--next\n{body}\n--next\nContent-Type: text/csv; name="{name}"\nContent-Disposition: attachment; filename="{name}"\n'
        f"Content-Transfer-Encoding: base64\n\n{_lines(content)}\n--next--\n"
    )
    return (head + f'Content-Type: multipart/mixed; boundary="next"\n\n{parts}').replace("\n", "\r\n").encode()


def _encoded(text: str) -> str:
    return text if text.isascii() else f"=?utf-8?b?{b64encode(text.encode()).decode()}?="


def _lines(text: str) -> str:
    packed = b64encode(text.encode()).decode()
    return "\n".join(packed[start : start + 76] for start in range(0, len(packed), 76))
