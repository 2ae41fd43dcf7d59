"""The manual of the roaster: two columns in English."""

# ruff: noqa: E501

from __future__ import annotations

from starter.demo.pdf import Pdf

__all__ = ["manual"]

_CHAPTERS: list[tuple[str, list[str]]] = [
    ("1 About this manual", [
        "This manual describes the drum roaster Vesta R15 of Brandt & Hollis Works. Keep it with the machine. It applies to serial numbers from R15-2200 "
        "on. The machine in your house is identified by the plate behind the left door.",
        "Only people who have read chapters 2 and 6 may operate the roaster. Work on gas lines and on the electrical cabinet is reserved for licensed "
        "technicians.",
    ]),
    ("2 Safety", [
        "The drum, the front plate and the exhaust pipe reach more than 200 °C. Wear heat-resistant gloves whenever you take a sample.",
        "Never leave the roaster unattended while the burner is on. Keep a carbon dioxide extinguisher of at least 5 kg within four metres of the machine. "
        "Never use water on a drum fire.",
        "The red emergency stop cuts gas and power to the burner; the drum and the exhaust fan go on turning, so that beans do not burn onto hot steel.",
    ]),
    ("3 Technical data", [
        "TABLE",
    ]),
    ("4 Installation", [
        "Place the roaster on a level floor that carries at least 900 kg per square metre. Leave 80 cm free on the operator's side and 60 cm on all others.",
        "The exhaust pipe has a diameter of 200 mm, must not be longer than 9 metres and may have no more than three bends. An after\u00adburner is needed where "
        "neighbours live within 50 metres.",
        "Have the gas pressure checked at the inlet: 20 mbar for natural gas, 37 mbar for propane. A pressure below 17 mbar makes the burner go out.",
    ]),
    ("5 Daily operation", [
        "Switch on the exhaust fan, then the drum, then the burner. Let the machine warm up for 35 minutes until the drum has been at 200 °C for ten "
        "minutes.",
        "Charge the drum at 185 °C with a full batch of 15 kg, or at 170 °C with half a batch. Never charge less than 4 kg: the sensor then measures air "
        "instead of beans.",
        "First crack is to be expected after eight to ten minutes at about 196 °C. Drop the beans at the latest at 228 °C.",
        "Cool every batch down to less than 40 °C. This takes four minutes with the stirrer running. Do not start the next batch before the cooling tray "
        "is empty.",
        "At the end of the day turn off the burner and let the drum turn until it is colder than 60 °C. Stopping a hot drum bends its shaft.",
    ]),
    ("6 Fire in the drum", [
        "If smoke turns yellow or the temperature rises faster than 25 °C in a minute, press the emergency stop and close the air damper.",
        "Do not open the front door, do not drop the beans. Let the drum turn, close the damper and wait until the temperature has fallen below 150 °C. "
        "Only then release the beans into the tray.",
        "Call the fire brigade if flames leave the exhaust pipe.",
    ]),
    ("7 Cleaning and maintenance", [
        "Empty the chaff collector after every eight batches, and at the end of each day. A full collector is the most frequent cause of fires.",
        "Clean the exhaust fan every 100 hours of operation. Brush the cooling tray every week from below.",
        "Grease both drum bearings every 200 hours with 12 grams of the grease Thermolub 300. Other greases become hard at this temperature.",
        "Replace the drum seal once a year (part 15-0442). Replace the flame sensor every two years (part 15-0730).",
    ]),
    ("8 Error codes", [
        "CODES",
        "Codes that are not in this table are shown to technicians only. Note the code and the hours of operation before you call.",
    ]),
    ("9 Service and warranty", [
        "The warranty lasts 36 months from the day of delivery, or 4,000 hours of operation, whichever comes first. It does not cover damage by chaff "
        "fires if the cleaning log was not kept.",
        "Service: Brandt & Hollis Works, Foundry Lane 8, Sheffield; telephone +44 114 496 0188, Monday to Friday 8 to 17 hours.",
    ]),
]  # fmt: skip
_DATA = [
    ["Property", "Value"],
    ["Batch", "4 to 15 kg"],
    ["Output", "up to 50 kg per hour"],
    ["Burner", "38 kW, natural gas or propane"],
    ["Electrical power", "2.2 kW, 400 V, three phases"],
    ["Weight", "640 kg"],
    ["Noise at one metre", "71 dB(A)"],
    ["Gas used per batch", "0.9 m³".replace("³", "3")],
]
_CODES = [
    ["Code", "Meaning", "Remedy"],
    ["E03", "No flame after three attempts", "Check the gas tap and the pressure at the inlet"],
    ["E07", "Drum motor overloaded", "Let the drum cool, look for beans between drum and front plate"],
    ["E11", "Bean sensor broken", "Replace the sensor (part 15-0218)"],
    ["E14", "Exhaust blocked", "Clean the chaff collector and the fan"],
    ["E21", "Cooling fan stands still", "Check fuse F4 in the cabinet"],
]


def manual() -> bytes:
    pdf = Pdf(
        "Vesta R15 · Operating manual", "Brandt & Hollis Works · {page}/{pages}", columns=2, margin=52, size=9.5, title="Vesta R15 Operating manual"
    )
    pdf.heading("Vesta R15 drum roaster: operating manual", 16)
    for heading, paragraphs in _CHAPTERS:
        pdf.heading(heading, 11.5)
        for text in paragraphs:
            if text == "TABLE":
                pdf.table(_DATA, [0.45, 0.55])
            elif text == "CODES":
                pdf.table(_CODES, [0.14, 0.4, 0.46])
            else:
                pdf.paragraph(text)
    return pdf.bytes()
