"""Quotations and claims that are right, and what may be wrong with them: cases for the verifier, made from a few documents in five languages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["DOCUMENTS", "Case", "cases", "controls"]

DOCUMENTS = {
    "en": (
        "lease.pdf",
        [
            "The monthly rent is 1,450 euros and is due on the third working day of each month.",
            "The deposit of 2,900 euros was paid by Margaret Holloway on 14 March 2023.",
            "The tenant may not sublet the flat unless the landlord has agreed in writing.",
            "Either party may end this contract with a notice of three months to the end of a quarter.",
            "Pets are allowed in the house, but dogs are kept on a lead in the garden.",
            "The heating was last serviced by Brennan & Sons in October 2022.",
        ],
        ("“", "”"),
    ),
    "de": (
        "mietvertrag.pdf",
        [
            "Die monatliche Miete beträgt 1.450 Euro und ist am dritten Werktag jedes Monats fällig.",
            "Die Kaution von 2.900 Euro wurde von Margarete Holzer am 14. März 2023 gezahlt.",
            "Der Mieter darf die Wohnung nicht untervermieten, es sei denn, der Vermieter hat schriftlich zugestimmt.",
            "Jede Partei kann diesen Vertrag mit einer Frist von drei Monaten zum Ende eines Quartals kündigen.",
            "Haustiere sind im Haus erlaubt, Hunde werden im Garten an der Leine geführt.",
            "Die Heizung wurde zuletzt von Brenner & Söhne im Oktober 2022 gewartet.",
        ],
        ("„", "“"),
    ),
    "es": (
        "contrato.pdf",
        [
            "La renta mensual es de 1.450 euros y vence el tercer día hábil de cada mes.",
            "La fianza de 2.900 euros fue pagada por Margarita Olmedo el 14 de marzo de 2023.",
            "El inquilino no puede subarrendar la vivienda salvo que el propietario lo acepte por escrito.",
            "Cada parte puede terminar este contrato con un preaviso de tres meses al final de un trimestre.",
            "Se permiten animales en la casa, pero los perros van con correa en el jardín.",
            "La calefacción fue revisada por última vez por Benítez e Hijos en octubre de 2022.",
        ],
        ("«", "»"),
    ),
    "fr": (
        "bail.pdf",
        [
            "Le loyer mensuel est de 1 450 euros et il est dû le troisième jour ouvrable de chaque mois.",
            "La caution de 2 900 euros a été payée par Marguerite Olivier le 14 mars 2023.",
            "Le locataire ne peut pas sous-louer le logement sauf si le propriétaire a donné son accord par écrit.",
            "Chaque partie peut mettre fin à ce contrat avec un préavis de trois mois à la fin d'un trimestre.",
            "Les animaux sont admis dans la maison, mais les chiens restent en laisse dans le jardin.",
            "Le chauffage a été révisé pour la dernière fois par Bernard et Fils en octobre 2022.",
        ],
        ("«", "»"),
    ),
    "zh": (
        "租约.pdf",
        [
            "每月租金为1450欧元，应于每月第三个工作日支付。",
            "押金2900欧元由马丽华于2023年3月14日支付。",
            "未经房东书面同意，租户不得转租该公寓。",
            "任何一方均可提前三个月通知，在季度末终止本合同。",
            "房屋内允许饲养宠物，但狗在花园里必须拴绳。",
            "供暖设备最近一次由陈氏父子公司于2022年10月检修。",
        ],
        ("「", "」"),
    ),
}
"""By language: file, its sentences (each a paragraph, so a passage), and how it quotes."""

QUESTIONS = {
    "en": "What does the contract say about rent, deposit, notice, pets, sublet and heating?",
    "de": "Was sagt der Vertrag zu Miete, Kaution, Frist, Haustiere, Mieter und Heizung?",
    "es": "¿Qué dice el contrato sobre renta, fianza, preaviso, animales, inquilino y calefacción?",
    "fr": "Que dit le contrat sur loyer, caution, préavis, animaux, locataire et chauffage ?",
    "zh": "合同对租金、押金、终止、宠物、转租和供暖有什么规定？",
}
LEADS = {"en": "The contract says: ", "de": "Im Vertrag steht: ", "es": "El contrato dice: ", "fr": "Le contrat dit : ", "zh": "合同写道："}
PLACES = ("alone", "inside", "list", "block", "after")


@dataclass(frozen=True)
class Case:
    name: str
    language: str
    answer: str
    wrong: str
    """What must be caught: it stands in the answer and in no document."""
    kind: str


def _set(language: str, place: str, quote: str, number: int | str) -> str:
    """The quotation in an answer."""
    left, right = DOCUMENTS[language][2]
    lead = LEADS[language]
    marked = f"{left}{quote}{right} [{number}]"
    match place:
        case "alone":
            return marked
        case "inside":
            return f"{lead}{marked}."
        case "list":
            return f"- {lead}{marked}\n"
        case "block":
            return f"{lead}\n\n> {quote} [{number}]\n"
        case _:
            return f"{lead}[{number}] {left}{quote}{right}"


_CHANGES = {
    "number": {
        "en": ((0, "1,450", "1,540"), (1, "14 March", "15 March"), (1, "2023", "2032"), (3, "three months", "two months"), (0, "third", "first")),
        "de": (
            (0, "1.450", "1.540"),
            (1, "14. März", "15. März"),
            (1, "2023", "2032"),
            (3, "drei Monaten", "zwei Monaten"),
            (0, "dritten", "ersten"),
        ),
        "es": (
            (0, "1.450", "1.540"),
            (1, "14 de marzo", "15 de marzo"),
            (1, "2023", "2032"),
            (3, "tres meses", "dos meses"),
            (0, "tercer", "primer"),
        ),
        "fr": ((0, "1 450", "1 540"), (1, "14 mars", "15 mars"), (1, "2023", "2032"), (3, "trois mois", "deux mois"), (0, "troisième", "premier")),
        "zh": ((0, "1450", "1540"), (1, "14日", "15日"), (1, "2023", "2032"), (3, "三个月", "两个月"), (0, "第三", "第一")),
    },
    "negation": {
        "en": ((2, "may not", "may"), (4, "are allowed", "are not allowed"), (3, "may end", "may never end")),
        "de": ((2, "nicht untervermieten", "untervermieten"), (4, "erlaubt", "nicht erlaubt"), (3, "kündigen", "nicht kündigen")),
        "es": ((2, "no puede", "puede"), (4, "Se permiten", "No se permiten"), (3, "puede terminar", "no puede terminar")),
        "fr": ((2, "ne peut pas sous-louer", "peut sous-louer"), (4, "sont admis", "ne sont pas admis"), (3, "peut mettre", "ne peut pas mettre")),
        "zh": ((2, "不得转租", "可以转租"), (4, "允许", "不允许"), (3, "均可", "均不可")),
    },
    "name": {
        "en": ((1, "Margaret Holloway", "Edward Pemberton"), (5, "Brennan & Sons", "Calder & Sons"), (2, "landlord", "tenant")),
        "de": ((1, "Margarete Holzer", "Eduard Pfister"), (5, "Brenner & Söhne", "Kaltner & Söhne"), (2, "der Vermieter", "der Mieter")),
        "es": ((1, "Margarita Olmedo", "Eduardo Pacheco"), (5, "Benítez", "Calderón"), (2, "propietario", "inquilino")),
        "fr": ((1, "Marguerite Olivier", "Édouard Perrin"), (5, "Bernard", "Chauvin"), (2, "propriétaire", "locataire")),
        "zh": ((1, "马丽华", "张伟"), (5, "陈氏", "李氏"), (2, "房东", "租户")),
    },
}
_HOMOGLYPHS = {"a": "а", "e": "е", "o": "о", "á": "ā", "月": "⽉", "日": "⽇"}


def _within_a_word(sentence: str) -> str:
    """Its first half, broken off within a word."""
    place = next(place for place in range(len(sentence) // 2, len(sentence)) if sentence[place - 1].isalpha() and sentence[place].isalpha())
    return sentence[:place]


def _corrupted(language: str) -> Iterator[tuple[str, str, int | str]]:
    """Kind, quotation, number that is cited."""
    _, sentences, _ = DOCUMENTS[language]
    for kind, changes in _CHANGES.items():
        for index, old, new in changes[language]:
            assert old in sentences[index], (language, old)
            yield kind, sentences[index].replace(old, new, 1), index + 1
    cut = {"en": " unless", "de": ", es sei denn", "es": " salvo", "fr": " sauf si"}
    if language in cut:
        yield "truncated", sentences[2].split(cut[language])[0], 3
        yield "truncated", _within_a_word(sentences[0]), 1
    else:
        yield "truncated", "租户不得转租该公寓"[0:2] + "转租该公寓", 3
    yield "merged", sentences[0][: len(sentences[0]) // 2].rstrip() + " " + sentences[1][len(sentences[1]) // 2 :].lstrip(), 1
    yield "merged", sentences[4].rstrip(".。") + sentences[5][5:], 5
    invented = {
        "en": "The lighthouse was painted twice that winter.", "de": "Der Leuchtturm wurde in jenem Winter zweimal gestrichen.",
        "es": "El faro fue pintado dos veces aquel invierno.", "fr": "Le phare a été repeint deux fois cet hiver.",
        "zh": "那年冬天灯塔被粉刷了两次。",
    }[language]  # fmt: skip
    yield "fabricated", invented, 1
    yield "fabricated", invented, 4
    yield "no such source", invented, 99
    yield "zero width", sentences[0][:6] + "\u200b" + sentences[0][6:], 1
    yield "zero width", sentences[1][:4] + "\u2060" + sentences[1][4:], 2
    letter = next(one for one in sentences[1] if one in _HOMOGLYPHS)
    yield "homoglyph", sentences[1].replace(letter, _HOMOGLYPHS[letter], 1), 2


def cases() -> list[Case]:
    """Answers with something in them that must be caught."""
    found = []
    for language in DOCUMENTS:
        for number, (kind, quote, source) in enumerate(_corrupted(language)):
            for place in (PLACES[number % 5], PLACES[(number + 2) % 5]):
                answer = _set(language, place, quote, source)
                found.append(Case(f"{language} {kind} {number} {place}", language, answer, quote, kind))
        found += _claims(language)
    return found


def _claims(language: str) -> Iterator[Case]:
    """The same in the answer's own words: sentences without quotation marks."""
    sentences = DOCUMENTS[language][1]
    for kind, changes in _CHANGES.items():
        for number, (index, old, new) in enumerate(changes[language][:3]):
            if kind == "name" and index == 2:
                continue  # who of two that are both named there: words alone do not tell
            if language == "zh" and kind == "name":
                continue
            claim = sentences[index].replace(old, new, 1)
            yield Case(f"{language} claim {kind} {number}", language, f"{claim} [{index + 1}]", claim, f"claim {kind}")
    yield Case(f"{language} claim source", language, f"{sentences[4]} [57]", "[57]", "no such source")


def controls() -> list[Case]:
    """Answers in which nothing is wrong."""
    found = []
    for language, (_, sentences, (left, right)) in DOCUMENTS.items():
        for index, sentence in enumerate(sentences):
            for place in PLACES:
                found.append(Case(f"{language} right {index} {place}", language, _set(language, place, sentence, index + 1), sentence, "right"))
            # The number of another passage: the citation is put right.
            other = (index + 1) % len(sentences) + 1
            answer = f"{LEADS[language]}{left}{sentence}{right} [{other}]."
            found.append(Case(f"{language} moved {index}", language, answer, sentence, "moved"))
            found.append(Case(f"{language} claim right {index}", language, f"{sentence} [{index + 1}]", sentence, "claim"))
    return found
