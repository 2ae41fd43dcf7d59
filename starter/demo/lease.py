"""The lease: a contract of several pages in German."""

# ruff: noqa: E501

from __future__ import annotations

from starter.demo.pdf import Pdf

__all__ = ["lease"]

_SECTIONS: list[tuple[str, list[str]]] = [
    ("§ 1 Mietsache", [
        "(1) Die Vermieterin vermietet der Mieterin im Kornspeicher, Hafenstraße 17, 24987 Halmberg, die Halle 3 im Erdgeschoss mit einer Fläche von "
        "412 m² sowie das Büro 3.2 im ersten Obergeschoss mit 38 m². Grundrisse sind als Anlage 1 beigefügt.",
        "(2) Zur Mietsache gehören vier Stellplätze im Hof (Nummern 21 bis 24) und die Mitbenutzung der Laderampe Nord. Die Rampe darf werktags von "
        "6 bis 20 Uhr benutzt werden; Fahrzeuge über 12 Tonnen sind bei der Haus\u00adverwaltung anzumelden.",
        "(3) Der Mieterin werden sechs Schlüssel und zwei Funksender für das Rolltor übergeben. Weitere Schlüssel darf sie nur mit Zustimmung der "
        "Vermieterin anfertigen lassen. Der Verlust eines Schlüssels ist innerhalb von 24 Stunden anzuzeigen.",
    ]),
    ("§ 2 Nutzung", [
        "(1) Die Mietsache wird als Kaffeerösterei mit Lager, Verpackung und einem Verkaufsraum von höchstens 60 m² genutzt. Eine andere Nutzung bedarf "
        "der vorherigen schriftlichen Zustimmung.",
        "(2) Zwischen 22 Uhr und 6 Uhr dürfen Röstmaschinen und die Nach\u00adver\u00adbrennung nicht betrieben werden. An Sonn- und Feiertagen ist das Rösten "
        "nur zwischen 10 und 16 Uhr gestattet, an höchstens zwölf Tagen im Jahr.",
        "(3) Die immissions\u00adschutz\u00adrechtliche Anzeige für die Röstanlage ist Sache der Mieterin. Wird sie versagt, ohne dass die Mieterin dies zu "
        "vertreten hat, kann die Mieterin den Vertrag mit einer Frist von acht Wochen kündigen.",
    ]),
    ("§ 3 Mietzeit", [
        "(1) Das Mietverhältnis beginnt am 1. März 2024 und endet am 28. Februar 2029, ohne dass es einer Kündigung bedarf.",
        "(2) Die Mieterin kann die Mietzeit zweimal um je drei Jahre verlängern (Option). Die Option ist spätestens neun Monate vor Ablauf der Mietzeit "
        "schriftlich auszuüben; für die erste Verlängerung also bis zum 31. Mai 2028.",
        "(3) Setzt die Mieterin den Gebrauch nach Ablauf fort, verlängert sich das Mietverhältnis nicht stillschweigend; § 545 BGB ist ausgeschlossen.",
    ]),
    ("§ 4 Miete und Nebenkosten", [
        "(1) Die monatliche Miete setzt sich wie folgt zusammen:",
        "TABLE",
        "(2) Die Miete ist im Voraus bis zum dritten Werktag eines Monats auf das Konto der Vermieterin zu zahlen. Bei Verzug von mehr als zwei "
        "Monatsmieten kann die Vermieterin fristlos kündigen.",
        "(3) Über die Nebenkosten wird jährlich bis zum 31. Oktober des Folgejahres abgerechnet. Maßstab ist die Fläche; Strom und Gas bezieht die "
        "Mieterin auf eigene Rechnung über die Zähler 40-117 und 40-118.",
        "(4) Steigt oder fällt der vom Statistischen Bundesamt ermittelte Verbraucher\u00adpreisindex seit Vertragsbeginn oder seit der letzten Anpassung "
        "um mehr als fünf Prozent, so ändert sich die Miete im gleichen Verhältnis ab dem übernächsten Monat nach der Mitteilung.",
    ]),
    ("§ 5 Kaution", [
        "Die Mieterin leistet eine Kaution von 11.880 Euro, entsprechend drei Netto\u00admonats\u00admieten, durch Bürgschaft der Förde-Bank Halmberg. Die Bürgschaft "
        "ist spätestens sechs Monate nach Rückgabe der Mietsache zurückzugeben.",
    ]),
    ("§ 6 Instandhaltung und Reparaturen", [
        "(1) Die Mieterin trägt die Kosten kleiner Reparaturen bis zu 250 Euro im Einzelfall, höchstens jedoch 1.500 Euro im Kalenderjahr.",
        "(2) Dach und Fach, die Heizungsanlage und das Rolltor hält die Vermieterin instand. Schäden am Dach sind ihr unverzüglich, Wasserschäden noch am "
        "selben Tag zu melden.",
        "(3) Die Abluftanlage der Röstmaschine wird auf Kosten der Mieterin einmal im Jahr von einem Fachbetrieb gewartet. Der Nachweis ist der "
        "Haus\u00adverwaltung bis zum 30. November vorzulegen.",
    ]),
    ("§ 7 Versicherung", [
        "Die Mieterin unterhält eine Betriebs\u00adhaftpflicht\u00adversicherung mit einer Deckung von mindestens 3 Millionen Euro und weist sie der Vermieterin "
        "jährlich im Januar nach. Die Gebäude\u00adversicherung trägt die Vermieterin.",
    ]),
    ("§ 8 Untervermietung", [
        "Eine Untervermietung ist nur mit schriftlicher Zustimmung zulässig. Für die Untervermietung eines Arbeitsplatzes im Büro 3.2 gilt die Zustimmung "
        "als erteilt, solange nicht mehr als zwei Arbeitsplätze vergeben sind.",
    ]),
    ("§ 9 Kündigung", [
        "(1) Eine ordentliche Kündigung ist während der festen Mietzeit ausgeschlossen. Das Recht zur außerordentlichen Kündigung bleibt unberührt.",
        "(2) Kündigungen bedürfen der Schriftform. Kündigungen der Mieterin sind an die Haus\u00adverwaltung Deichmann & Partner, Am Siel 4, 24987 Halmberg, "
        "zu richten.",
    ]),
    ("§ 10 Rückgabe", [
        "(1) Bei Ende der Mietzeit ist die Mietsache geräumt, besenrein und mit sämtlichen Schlüsseln zurückzugeben. Einbauten sind zu entfernen, soweit die "
        "Vermieterin sie nicht gegen Zahlung des Zeitwerts übernimmt.",
        "(2) Die Fundamente der Röstmaschine dürfen verbleiben. Das Abluftrohr ist zu entfernen und die Dachhaut fachgerecht zu schließen.",
    ]),
    ("§ 11 Schlussbestimmungen", [
        "Nebenabreden bestehen nicht. Änderungen bedürfen der Schriftform. Sollte eine Bestimmung unwirksam sein, bleiben die übrigen wirksam. "
        "Gerichtsstand ist Halmberg.",
        "Halmberg, den 12. Januar 2024",
        "Für die Vermieterin: Henrike Vosskamp · Für die Mieterin: Ida Quendt",
    ]),
]  # fmt: skip
_RENT = [
    ["Bestandteil", "Fläche", "Betrag im Monat"],
    ["Halle 3", "412 m²", "3.480,00 Euro"],
    ["Büro 3.2", "38 m²", "480,00 Euro"],
    ["Nettomiete", "450 m²", "3.960,00 Euro"],
    ["Vorauszahlung Nebenkosten", "", "640,00 Euro"],
    ["zuzüglich Umsatzsteuer (19 %)", "", "874,00 Euro"],
    ["Gesamt", "", "5.474,00 Euro"],
]


def lease() -> bytes:
    pdf = Pdf("Mietvertrag Kornspeicher · Halle 3", "Seite {page} von {pages}", title="Gewerbemietvertrag Kornspeicher, Halle 3")
    pdf.heading("Gewerbemietvertrag", 20)
    pdf.paragraph("zwischen der Kornspeicher Immobilien GbR, vertreten durch Henrike Vosskamp, Lotsenweg 2, 24987 Halmberg (Vermieterin),")
    pdf.paragraph("und der Rösterei Halmberg GmbH, vertreten durch die Geschäftsführerin Ida Quendt, Hafenstraße 17, 24987 Halmberg (Mieterin).")
    for heading, paragraphs in _SECTIONS:
        pdf.heading(heading)
        for text in paragraphs:
            if text == "TABLE":
                pdf.table(_RENT, [0.5, 0.2, 0.3])
            else:
                pdf.paragraph(text)
    return pdf.bytes()
