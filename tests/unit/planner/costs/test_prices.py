"""The planner's figures: complete, dated, plausible, as published; and what a text of the user's own may change."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.planner.costs.prices import CONSUMERS, Figure, Prices, decode, packaged

RAW: dict[str, Any] = tomllib.loads(packaged())
PRICES = decode(packaged())
SECTIONS = {**{name: RAW[name] for name in RAW if name != "electricity"}, **{f"electricity.{name}": RAW["electricity"][name] for name in CONSUMERS}}
RECORDS = [(section, name) for section, records in SECTIONS.items() for name in records if section not in ("sources", "countries")]


def over(own: str) -> Prices:
    return decode(packaged(), own)


def refusal(own: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        decode(packaged(), own)
    return refused.value.message


def test_there_are_as_many_as_people_need() -> None:
    assert len(RAW["electricity"]["household"]) >= 50
    assert len(RAW["electricity"]["business"]) >= 40
    assert len(RAW["electricity"]["small_business"]) >= 35
    assert len(RAW["carbon"]) >= 50
    assert len(RAW["water"]) >= 40
    assert len(RAW["cloud"]) >= 60
    assert len(RAW["subscriptions"]) >= 15
    assert len(RAW["rented"]) >= 25
    providers = {name.partition("/")[0] for name in RAW["cloud"]}
    assert providers >= {"openai", "anthropic", "google", "mistral", "deepseek", "xai", "groq", "together", "fireworks"}


def test_each_figure_has_a_date_and_a_source() -> None:
    for section, name in RECORDS:
        record = SECTIONS[section][name]
        assert re.fullmatch(r"20[12]\d(-(S[12]|[01]\d(-[0-3]\d)?))?", record["date"]), (section, name)
        assert record["source"] in RAW["sources"] or " " in record["source"], (section, name)


def test_each_source_is_used_and_can_be_looked_up() -> None:
    used = {SECTIONS[section][name]["source"] for section, name in RECORDS}
    unused = set(RAW["sources"]) - used - {"planner"}
    assert not unused
    assert all(source["url"].startswith("https://") for name, source in RAW["sources"].items() if name != "planner")


def test_what_is_not_published_is_marked() -> None:
    assert all(record.get("estimate") for record in RAW["electricity"]["household"].values() if record["source"] == "petrolprices")
    assert PRICES.electricity("JP").estimate
    assert not PRICES.electricity("DE").estimate
    assert PRICES.assumption("years_of_use").estimate


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_electricity_is_plausible(consumer: Any) -> None:
    for country in RAW["electricity"][consumer]:
        figure = PRICES.electricity(country, consumer)
        assert figure.unit == "EUR/kWh"
        assert 0.03 <= figure.value <= 0.45, country


def test_the_small_pay_no_less_than_the_large() -> None:
    """A table that slipped by a line would show here; Luxembourg and Hungary favour small ones."""
    dearer = [country for country in RAW["electricity"]["small_business"] if country in RAW["electricity"]["business"]]
    below = [one for one in dearer if PRICES.electricity(one, "small_business").value < PRICES.electricity(one, "business").value]
    assert set(below) <= {"AL", "HU", "LU"}


def test_grids_are_plausible() -> None:
    assert all(15 <= PRICES.carbon(country).value <= 1000 for country in RAW["carbon"])
    assert all(0.5 <= PRICES.water(country).value <= 25 for country in RAW["water"])
    assert PRICES.carbon("NO").value < PRICES.carbon("FR").value < PRICES.carbon("DE").value < PRICES.carbon("PL").value < PRICES.carbon("IN").value


def test_cloud_prices_are_plausible() -> None:
    for name in RAW["cloud"]:
        model = PRICES.cloud(name)
        assert model.input.unit == model.output.unit == "EUR/1M tokens"
        assert 0 < model.cached_input.value <= model.input.value <= model.output.value <= 100, name


def test_known_values() -> None:
    """As the sources print them."""
    assert PRICES.electricity("DE").value == 0.3835
    assert PRICES.electricity("EU").value == 0.2872
    assert PRICES.electricity("IE", "business").value == 0.2552
    assert PRICES.electricity("DE", "business").value == 0.2359
    assert PRICES.electricity("DE", "small_business").value == 0.3293
    assert PRICES.carbon("WORLD").value == pytest.approx(473, abs=1)
    assert PRICES.answer().value == 0.24
    assert PRICES.answer_pue().value == 1.09
    assert PRICES.pue().value == PRICES.answer_pue("chatgpt-average").value == 1.54
    assert PRICES.generation().value == 4.52


def test_other_currencies_become_euros() -> None:
    """By the European Central Bank's rates: USD 1.1172, GBP 0.8338, CHF 0.9194 for a euro on 30 October 2026."""
    assert PRICES.electricity("US").value == pytest.approx(0.1872 / 1.1172)
    assert PRICES.electricity("GB").value == pytest.approx(0.2611 / 0.8338)
    assert PRICES.electricity("CH").value == pytest.approx(0.277 / 0.9194)
    assert PRICES.subscription("chatgpt-plus").value == pytest.approx(17.902, abs=1e-3)
    assert PRICES.rented("runpod/H100 SXM 80 GB").value == pytest.approx(3.99 / 1.1172)
    assert PRICES.cloud("ovhcloud/gpt-oss-20b").output.value == pytest.approx(0.18 / 1.1172)
    assert "0.1872 USD at 1.1172 USD for 1 EUR" in PRICES.electricity("US").source
    assert PRICES.euros(11.172, "USD") == pytest.approx(10)
    assert PRICES.euros(5, "EUR") == 5


def test_a_figure_can_be_printed_with_its_source() -> None:
    figure = PRICES.electricity("germany")
    assert figure == Figure(
        value=0.3835,
        unit="EUR/kWh",
        what="electricity, household, DE",
        date="2025-S1",
        source="Eurostat nrg_pc_204, 2,500 to 4,999 kWh a year, all taxes included, "
        "https://ec.europa.eu/eurostat/statistics-explained/index.php?title=Electricity_price_statistics",
    )


def test_where_a_price_of_its_own_is_missing() -> None:
    model = PRICES.cloud("groq/qwen3.8-27b")
    assert model.cached_input.value == model.input.value
    assert PRICES.water("XK").what.endswith("WORLD")
    assert PRICES.carbon("LI") == PRICES.carbon("WORLD")


def test_countries_by_code_and_name() -> None:
    assert [PRICES.country(one) for one in ("DE", " de ", "Germany", "GERMANY", "türkiye")] == ["DE", "DE", "DE", "DE", "TR"]
    assert [PRICES.country(one) for one in ("UK", "great britain", "USA", "Deutschland", "Suisse", "Turkey")] == ["GB", "GB", "US", "DE", "CH", "TR"]
    assert over('[countries]\nGB = { also = "Albion" }').country("albion") == "GB"
    with pytest.raises(InvalidRequest, match="Did you mean Germany"):
        PRICES.country("Germanny")
    with pytest.raises(InvalidRequest, match="No figures for the country 'Atlantis'"):
        PRICES.country("Atlantis")


def test_a_price_that_is_not_known() -> None:
    with pytest.raises(InvalidRequest, match="but as household and business"):
        PRICES.electricity("US", "small_business")
    with pytest.raises(InvalidRequest, match=r"put one into prices.toml, \[electricity.household\]"):
        over('[countries]\nAQ = { name = "Antarctica" }').electricity("AQ")
    with pytest.raises(InvalidRequest, match="only for household, small_business, business"):
        PRICES.electricity("DE", "factory")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="Did you mean chatgpt-plus"):
        PRICES.subscription("chatgpt-pluss")
    with pytest.raises(InvalidRequest, match="Did you mean USD"):
        PRICES.euros(1, "USDT")


def test_models_by_their_own_name() -> None:
    assert PRICES.cloud("gpt-6.1-sol") == PRICES.cloud("openai/gpt-6.1-sol") == PRICES.cloud("OpenAI/GPT-6.1-Sol")
    with pytest.raises(InvalidRequest, match="offered by several: groq/gpt-oss-120b"):
        PRICES.cloud("gpt-oss-120b")
    with pytest.raises(InvalidRequest, match="Did you mean mistral/mistral-large-4"):
        PRICES.cloud("mistral/mistral-large-44")
    assert "openai/gpt-6.1-sol" in PRICES.names("cloud")


def test_ones_own_figure_replaces_ours() -> None:
    own = over('[electricity.household]\nDE = { per_kwh = 0.31, date = "2026-05", source = "my bill" }')
    assert (own.electricity("DE").value, own.electricity("DE").date, own.electricity("DE").source) == (0.31, "2026-05", "my bill")
    assert own.electricity("AT") == PRICES.electricity("AT")
    silent = over("[electricity.household]\nJP = { per_kwh = 0.2 }").electricity("JP")
    assert (silent.date, silent.source.partition(";")[0], silent.estimate) == ("", "prices.toml", False)
    assert silent.value == pytest.approx(0.2 / 1.1172), "a record keeps its currency"


def test_part_of_a_record_can_be_replaced_and_records_added() -> None:
    own = over(
        """
        [exchange]
        USD = { per_euro = 2.0 }
        [cloud]
        "openai/gpt-6-sol" = { input = 4.0 }
        "house/ours" = { input = 1.0, output = 2.0 }
        [rented]
        "neighbour/RTX 3090" = { per_hour = 0.1, source = "next door" }
        [assumptions]
        years_of_use = { value = 6 }
        [countries]
        AQ = { name = "Antarctica" }
        [electricity.household]
        AQ = { per_kwh = 2.5, estimate = true }
        """
    )
    assert (own.cloud("openai/gpt-6-sol").input.value, own.cloud("openai/gpt-6-sol").output.value) == (2.0, 5.0)
    assert own.cloud("ours").output.value == 2.0
    assert own.rented("neighbour/RTX 3090").source == "next door"
    assert (own.assumption("years_of_use").value, own.assumption("years_of_use").unit) == (6, "years")
    assert own.electricity("antarctica").estimate
    assert over("") == PRICES


def test_every_figure_can_be_replaced() -> None:
    """Each record of each section, by one number of it: what is not replaced stays, and the source is the user's."""
    for section, records in SECTIONS.items():
        numbers = {name: next((key for key, value in record.items() if isinstance(value, float)), "") for name, record in records.items()}
        own = over("\n".join((f"[{section}]", *(f'"{name}" = {{ {number} = 1.5 }}' for name, number in numbers.items() if number)))).table[section]
        for name, number in numbers.items():
            kept = {key: value for key, value in records[name].items() if key not in ("date", "source", "note", "estimate")}
            assert own[name] == ({**kept, number: 1.5, "source": "prices.toml"} if number else records[name]), (section, name)


def test_a_rate_of_ones_own_is_named() -> None:
    figure = over("[exchange]\nUSD = { per_euro = 2.0 }").subscription("chatgpt-plus")
    assert figure.value == 10
    assert figure.source.endswith("20 USD at 2 USD for 1 EUR (prices.toml)")


def test_devices_have_prices_by_the_users_word_alone() -> None:
    own = over('[devices]\n"RTX 4090" = { used = 1500, new = 2234.4, currency = "USD", date = "2026-11", source = "the shop" }\nP40 = { used = 120 }')
    assert PRICES.device_price("RTX 4090", "used") is None
    used, new = own.device_price("rtx4090", "used"), own.device_price("NVIDIA GeForce RTX 4090", "new")
    assert used is not None
    assert new is not None
    assert (used.value, used.unit, used.what, used.date) == (pytest.approx(1500 / 1.1172), "EUR", "RTX 4090, used", "2026-11")
    assert used.source.startswith("the shop; 1500 USD at 1.1172 USD for 1 EUR")
    assert new.value == pytest.approx(2000)
    assert own.device_price("RTX 4090", "launch") is None
    assert own.device_price("p40", "used") == Figure(value=120, unit="EUR", what="P40, used", source="prices.toml")
    assert own.device_price("P40", "new") is None


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("[clod]", "there is no section [clod]. Did you mean cloud?"),
        ("[electricity.houshold]\nDE = { per_kwh = 1 }", "there is no section [electricity.houshold]. Did you mean electricity.household"),
        ("[electricity]\nDE = 0.3", "[electricity]: 'DE' belongs into [electricity.household]"),
        ('[cloud]\n"a/b" = { imput = 1 }', "[cloud], 'a/b': there is no key 'imput'. Did you mean input"),
        ('[cloud]\n"a/b" = { input = 1 }', "[cloud], 'a/b': 'output' is missing"),
        ('[cloud]\n"a/b" = { input = 1, output = -1 }', "'output' is -1; it lies between 0 and 10000"),
        ('[cloud]\n"a/b" = { input = nan, output = 1 }', "'input' is nan"),
        ('[cloud]\n"a/b" = { input = true, output = 1 }', "'input' is True; a number is needed"),
        ("[electricity.household]\nDE = { per_kwh = 38.35 }", "Is it in cents?"),
        ('[electricity.household]\nDE = { per_kwh = "0,31" }', "'per_kwh' is '0,31'; a number is needed"),
        ("[electricity.household]\nDE = { per_kwh = 0.3, source = 3 }", "'source' is 3; text in quotation marks is needed"),
        ("[electricity.household]\nDE = { per_kwh = 0.3, estimate = 1 }", "'estimate' is true or false"),
        ("[electricity.household]\nGER = { per_kwh = 0.3 }", "'GER': no country has this code"),
        ('[rented]\nx = { per_hour = 1, currency = "USDD" }', "no rate for the currency 'USDD'. Did you mean USD"),
        ("[assumptions]\nyear_of_use = { value = 3 }", "nothing is called 'year_of_use' there. Did you mean years_of_use?"),
        ("[pue]\naverage = 1.2", "a table is needed, as in average = { factor = ... }"),
        ("[pue]\nmine = { factor = 0.5 }", "'factor' is 0.5; it lies between 1 and 5"),
        ("per_kwh = 0.3", "'per_kwh' stands outside of any section"),
        ('[devices."RTX 4090"]\nprice = 1500', "[devices], 'RTX 4090': there is no key 'price'. Did you mean"),
        ('[devices."RTX 4090"]\ncurrency = "EUR"', "[devices], 'RTX 4090': 'new' or 'used' is missing"),
        ('[devices."RTX 4090"]\nused = -3', "'used' is -3; it lies between 0 and 1e+07"),
        ("[device.P40]\nused = 3", "there is no section [device]. Did you mean devices"),
        ("[[", "prices.toml is not TOML"),
    ],
)
def test_mistakes_are_named_with_section_and_key(own: str, said: str) -> None:
    message = refusal(own)
    assert said in message
    assert message.startswith("prices.toml")
