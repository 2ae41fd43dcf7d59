"""What hardware costs to buy: the user's word before the known price, and the machine around cards."""

from __future__ import annotations

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.planner.costs.prices import Prices, decode, packaged
from hausgeist.planner.costs.purchase import base_machine, check_device_prices, device_price_eur
from hausgeist.planner.devices.known import load

DEVICES = load()
PRICES = decode(packaged())
RTX_4090 = DEVICES.find("RTX 4090")


def over(own: str) -> Prices:
    return decode(packaged(), own)


def euros(name: str, kinds: str, prices: Prices = PRICES) -> float | None:
    figure = device_price_eur(DEVICES.find(name), kinds.split(), prices)  # type: ignore[arg-type]
    return None if figure is None else figure.value


def test_a_known_price_with_its_date_source_and_rate() -> None:
    """The latest used one: 1650 dollars in May 2026."""
    figure = device_price_eur(RTX_4090, "used", PRICES)
    assert figure is not None
    assert (figure.value, figure.unit, figure.date, figure.estimate) == (pytest.approx(1650 / 1.1172), "EUR", "2026-05", True)
    assert figure.what == "NVIDIA RTX 4090, used"
    assert figure.source.startswith("RX 7900 XTX or RTX 4090: retail and used prices, https://www.runlocalai.co/")
    assert "1650 USD at 1.1172 USD for 1 EUR" in figure.source


def test_kinds_are_tried_in_order() -> None:
    assert euros("RTX 4090", "launch") == pytest.approx(1599 / 1.1172)
    assert euros("RTX 4090", "used new launch") == euros("RTX 4090", "used")
    assert euros("P40", "new launch used") == euros("P40", "used") == pytest.approx(150 / 1.1172)
    assert euros("P40", "new") is None
    launch = device_price_eur(RTX_4090, "launch", PRICES)
    assert launch is not None
    assert launch.note == "before tax"


def test_the_users_price_wins() -> None:
    own = over('[devices]\n"nvidia geforce rtx 4090" = { used = 1500, source = "a friend" }')
    figure = device_price_eur(RTX_4090, ("new", "used"), own)
    assert figure is not None
    assert (figure.value, figure.source, figure.estimate) == (1500, "a friend", False)
    assert euros("RTX 4090", "new used", own) == 1500, "even before a known one of a kind that is liked better"
    assert euros("RTX 4090", "new", own) == euros("RTX 4090", "new"), "but of no kind that was not asked for"
    assert euros("RTX 3090", "used", own) == euros("RTX 3090", "used")


def test_the_users_price_goes_by_memory() -> None:
    own = over(
        '[devices]\n"m4 pro" = { used = 2000 }\n"M4 Pro 64GB" = { used = 2500 }\n"m3 max 128" = { used = 3500 }\n"A100 80 GB PCIe" = { used = 7000 }'
    )
    assert [euros(name, "used", own) for name in ("M4 Pro", "M4 Pro 48", "M4 Pro 64", "M3 Max 128")] == [2000, 2000, 2500, 3500]
    assert euros("M3 Max 36", "used", own) == euros("M3 Max 36", "used")
    assert euros("A100 PCIe 80GB", "used", own) == 7000
    assert euros("A100 PCIe 40GB", "used", own) == euros("A100 PCIe 40GB", "used")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("RTX 4909", "The device 'RTX 4909' is not known. Did you mean"),
        ("RTX 6000", "'RTX 6000' may be"),
        ("RTX 4090 48GB", "There is no 'RTX 4090 48GB'"),
        ("", "The name of a device is empty"),
    ],
)
def test_a_price_for_what_is_not_known(name: str, said: str) -> None:
    own = over(f'[devices]\n"{name}" = {{ used = 1 }}')
    for refused in (lambda: check_device_prices(own), lambda: device_price_eur(RTX_4090, "used", own)):
        with pytest.raises(InvalidRequest) as failure:
            refused()
        assert failure.value.message.startswith(f"prices.toml, [devices]: {said}")
    check_device_prices(PRICES)


def test_the_machine_around_cards() -> None:
    assert [base_machine(cards, PRICES).price.value for cards in (1, 2, 3, 4, 5, 8, 9, 17)] == [850, 850, 1500, 1500, 9000, 9000, 18000, 27000]
    one = base_machine(2, PRICES)
    assert one.price.unit == "EUR"
    assert (one.watts_idle.value, one.watts_load.value, one.watts_idle.unit) == (45, 80, "W")
    assert all(figure.estimate and figure.source for figure in (one.price, one.watts_idle, one.watts_load))
    assert base_machine(4, over("[assumptions]\nbase_price_4_cards = { value = 600 }")).price.value == 600
    for cards in range(1, 30):
        some, more = base_machine(cards, PRICES), base_machine(cards + 1, PRICES)
        assert some.watts_idle.value < some.watts_load.value
        assert some.price.value <= more.price.value
    with pytest.raises(InvalidRequest, match="0 is no number of cards"):
        base_machine(0, PRICES)
