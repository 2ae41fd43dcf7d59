"""Which language a text is in."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from hausgeist.knowledge.language import detect

QUESTIONS = {
    "de": ["Wann endet der Vertrag?", "Wie hoch ist die Miete?", "Kündigungsfrist für den Mietvertrag", "Was kostet der Versand nach Österreich?"],
    "en": ["When does the contract end?", "How much is the rent?", "notice period for the apartment", "What does shipping cost?"],
    "fr": ["Quand finit le contrat ?", "Combien coûte le loyer ?", "délai de préavis pour l'appartement"],
    "es": ["¿Cuándo termina el contrato?", "plazo de preaviso del contrato", "¿Cuál es el precio del envío?"],
    "it": ["Quando finisce il contratto?", "Quanto costa l'affitto?", "termine di preavviso del contratto"],
    "pt": ["Quando termina o contrato?", "Quem assinou o documento?", "Qual é o preço do envio?"],
    "nl": ["Wanneer eindigt het contract?", "opzegtermijn van de huurovereenkomst"],
    "sv": ["När slutar avtalet?", "uppsägningstid för lägenheten"],
    "da": ["Hvornår slutter kontrakten?", "opsigelsesfrist for lejligheden"],
    "pl": ["Kiedy kończy się umowa?", "okres wypowiedzenia umowy najmu"],
    "cs": ["Kdy končí smlouva?", "výpovědní lhůta nájemní smlouvy"],
    "fi": ["Milloin sopimus päättyy?", "vuokrasopimuksen irtisanomisaika"],
    "hu": ["Mikor jár le a szerződés?", "a szerződés felmondási ideje"],
    "tr": ["Sözleşme ne zaman bitiyor?", "kira sözleşmesi için ihbar süresi"],
    "ro": ["Când se termină contractul?", "termenul de preaviz al contractului"],
    "ru": ["Когда заканчивается договор?", "срок уведомления о расторжении"],
    "uk": ["Коли закінчується договір?", "термін попередження про розірвання"],
    "zh": ["合同什么时候结束？", "租金是多少？"],
    "ja": ["契約はいつ終わりますか？", "家賃はいくらですか？"],
    "ko": ["계약은 언제 끝나나요?"],
    "th": ["สัญญาสิ้นสุดเมื่อไหร่"],
    "hi": ["अनुबंध कब समाप्त होता है?"],
    "ar": ["متى ينتهي العقد؟"],
    "el": ["Πότε λήγει η σύμβαση;"],
    "he": ["מתי מסתיים החוזה?"],
}


@pytest.mark.parametrize("language", QUESTIONS)
def test_short_questions_are_told_apart(language: str) -> None:
    assert [detect(question) for question in QUESTIONS[language]] == [language] * len(QUESTIONS[language])


@pytest.mark.parametrize("text", ["", "   ", "12345", "A-12/34", "XK-99", "....", "€ 100", "🙂"])
def test_what_is_in_no_language_is_not_guessed(text: str) -> None:
    assert detect(text) == "und"


def test_names_in_another_script_do_not_change_the_language() -> None:
    assert detect("The capital of Japan is Tokyo (東京), and its airport is Haneda.") == "en"
    assert detect("Das Wort „договор“ ist russisch und heißt Vertrag, wie jeder weiß, der es gelernt hat.") == "de"


def test_it_is_quick_however_long_a_text_is() -> None:
    text = "The lease may be ended with three months of notice at the end of each quarter. " * 20_000
    detect(text)
    began = time.process_time()
    for _ in range(20):
        assert detect(text) == "en"
    assert (time.process_time() - began) / 20 < 0.01


def test_nothing_heavy_is_loaded_to_know_a_language() -> None:
    """A process that reads documents needs it for the first of them."""
    code = "import sys; from hausgeist.knowledge.language import detect; print(detect('délai de préavis pour le bail'), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fr", "False"]
