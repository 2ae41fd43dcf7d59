"""Speed from headers: what is read and computed, how it grows and splits, what a calibration finds, and published measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest

from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load as catalogue
from hausgeist.planner.devices.known import load as hardware
from hausgeist.planner.memory import Header, Start, describe
from hausgeist.planner.speed import (
    FAMILIES,
    KINDS,
    Calibration,
    Family,
    Rates,
    Run,
    calibrate,
    device_rates,
    family,
    host_rates,
    kernels,
    layers,
    most_users,
    passing,
    speed,
)
from hausgeist.planner.target import Host, Target, host, target

START = Start(context=32768, batch=2048, micro_batch=512)
ALL = 10_000


@cache
def header(name: str, precision: str = "Q4_K_M") -> Header:
    entry = catalogue().find(name)
    assert entry is not None
    anatomy = entry.anatomy
    return describe(anatomy, lambda tensor: tensor_type(anatomy, tensor, precision))


def on(name: str, count: int = 1) -> Target:
    return target(hardware(), name, count=count)


def test_targets_add_up() -> None:
    card = on("RTX 4090", 2)
    assert card.memory_bytes == 2 * card.device_bytes[0] + card.host.memory_bytes
    assert card.watts_load == 2 * 450 + card.host.watts_idle
    mac = on("m2 max 64")
    assert mac.unified
    assert mac.memory_bytes == mac.device_bytes[0] == mac.host.memory_bytes
    plain = on("DDR5-6000, 2 channels")
    assert plain.group is None
    assert plain.shares == ()
    assert (plain.host.instructions, plain.host.cores) == ("avx512", 16)


def test_targets_that_are_none() -> None:
    with pytest.raises(InvalidRequest, match="card, not a machine"):
        host(hardware().find("RTX 4090"))
    with pytest.raises(InvalidRequest, match="without cards"):
        on("DDR5-6000, 2 channels", 2)
    with pytest.raises(NotFound, match="RTX"):
        on("RTX 4099")
    with pytest.raises(InvalidRequest, match="bandwidth"):
        replace(on("DDR5-6000, 2 channels").host, bandwidth_gb_s=-1.0)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("BF16", "float"), ("Q8_0", "eight"), ("Q4_0", "four"), ("MXFP4", "four"), ("IQ4_NL", "four"), ("Q6_K", "k"), ("IQ3_S", "i")],
)
def test_families(kind: str, expected: Family) -> None:
    assert family(kind) == expected


def test_a_dense_token_reads_all_but_the_table() -> None:
    model = header("llama2:7b", "Q4_0")
    one = passing(layers(model), tokens=1, sequences=1, filled=0, outputs=1)
    whole = sum(tensor.nbytes for tensor in model.tensors.values())
    assert sum(one.read.values()) == pytest.approx(whole - model.tensors["token_embd.weight"].nbytes)
    matrices = [tensor for name, tensor in model.tensors.items() if len(tensor.dimensions) == 2 and "token_embd" not in name]
    elements = sum(tensor.dimensions[0] * tensor.dimensions[1] for tensor in matrices)
    assert sum(one.multiplied.values()) == pytest.approx(2.0 * elements)


def test_a_tied_table_is_multiplied_with() -> None:
    model = header("llama3.2:3b")
    one = passing(layers(model), tokens=1, sequences=1, filled=0, outputs=1)
    assert sum(one.read.values()) == pytest.approx(sum(tensor.nbytes for tensor in model.tensors.values()))


def test_one_token_reads_the_experts_that_it_uses() -> None:
    model = header("qwen3:30b")
    parts = layers(model)
    one, many = (passing(parts, tokens=tokens, sequences=tokens, filled=0, outputs=tokens) for tokens in (1, 4096))
    experts = sum(tensor.nbytes for name, tensor in model.tensors.items() if "_exps." in name)
    rest = sum(one.read.values()) - experts * 8 / 128
    assert sum(many.read.values()) == pytest.approx(rest + experts, rel=1e-6)
    assert 0.05 < sum(one.read.values()) / sum(many.read.values()) < 0.15


def test_the_cache_is_read_as_far_as_it_is_filled() -> None:
    parts = layers(header("llama3.1:8b"))
    at = {filled: passing(parts, tokens=1, sequences=1, filled=filled, outputs=1).cached for filled in (0, 1000, 2000)}
    assert at[0] == 0
    assert at[2000] == 2 * at[1000] == 2000 * 32 * 2 * 8 * 128 * 2
    halved = passing(layers(header("llama3.1:8b"), "q8_0"), tokens=1, sequences=1, filled=1000, outputs=1).cached
    assert halved == pytest.approx(at[1000] * 34 / 64)


def test_windows_end_what_is_read() -> None:
    parts = layers(header("gemma3:4b"))
    near, far = (passing(parts, tokens=1, sequences=1, filled=filled, outputs=1).cached for filled in (1024, 32768))
    seeing = sum(1 for part in parts if part.cached and not part.window)
    assert far - near == pytest.approx((32768 - 1024) * seeing * next(part.cached for part in parts if part.cached))
    assert seeing == 5


def test_latent_and_recurrent_layers() -> None:
    latent = layers(header("glm-4.7-flash:30b"))[1]
    assert latent.cached == 576 * 2
    hybrid = layers(header("qwen3.5:9b"))
    assert {bool(part.state) for part in hybrid[:4]} == {True, False}
    assert sum(1 for part in hybrid if part.cached) == len(hybrid[:-1]) // 4
    empty, full = (passing(hybrid, tokens=1, sequences=1, filled=filled, outputs=1).cached for filled in (0, 100))
    assert empty == sum(2 * part.state for part in hybrid) > 0
    assert full > empty


def test_a_card_with_twice_the_bandwidth_generates_faster_but_not_twice() -> None:
    one = on("RTX 4090")
    assert one.group is not None
    twice = replace(one, group=replace(one.group, device=replace(one.group.device, bandwidth_gb_s=2 * 1008.0)))
    slow, fast = (speed(header("llama3.1:8b"), START, where, gpu_layers=ALL, filled=512) for where in (one, twice))
    assert 1.4 < fast.generate_tokens_per_second / slow.generate_tokens_per_second < 2.0
    assert slow.bound == "memory"
    assert slow.basis == "published"


def test_more_filled_is_slower_and_first_token_later() -> None:
    where = on("RTX 4090")
    short, long = (speed(header("llama3.1:8b"), START, where, gpu_layers=ALL, filled=filled) for filled in (512, 32768))
    assert long.generate_tokens_per_second < 0.9 * short.generate_tokens_per_second
    assert long.prompt_tokens_per_second < short.prompt_tokens_per_second
    assert long.first_token_seconds == pytest.approx(32768 / long.prompt_tokens_per_second)
    again = speed(header("llama3.1:8b"), START, where, gpu_layers=ALL, filled=32768, cached=32000)
    assert again.first_token_seconds < 0.1 * long.first_token_seconds


def test_layers_on_the_processor_slow_everything_down() -> None:
    where = on("RTX 3060 12gb")
    rates = [speed(header("llama3.1:8b"), START, where, gpu_layers=count, filled=512).generate_tokens_per_second for count in (0, 10, 20, 33)]
    assert rates == sorted(rates)
    assert rates[-1] > 4 * rates[0]
    alone = speed(header("llama3.1:8b"), START, Target(host=where.host), gpu_layers=0, filled=512)
    assert alone.generate_tokens_per_second == pytest.approx(rates[0])


def test_a_prompt_takes_weights_to_the_card_where_that_is_faster() -> None:
    where = on("RTX 4090")
    without, beside = (speed(header("llama3.1:8b"), START, one, gpu_layers=0, filled=4096) for one in (Target(host=where.host), where))
    assert beside.prompt_tokens_per_second > 2 * without.prompt_tokens_per_second
    assert beside.generate_tokens_per_second == pytest.approx(without.generate_tokens_per_second)


def test_cards_in_a_row_add_memory_not_speed() -> None:
    one, four = (speed(header("llama3.1:8b"), START, on("RTX 3090", count), gpu_layers=ALL, filled=512) for count in (1, 4))
    assert 0.85 < four.generate_tokens_per_second / one.generate_tokens_per_second < 1.0
    prompts = [speed(header("llama3.1:8b"), START, on("RTX 3090", count), gpu_layers=ALL, filled=4096).prompt_tokens_per_second for count in (1, 4)]
    assert 1.3 < prompts[1] / prompts[0] < 4.0


def test_nodes_wait_for_their_network() -> None:
    near, far = (target(hardware(), "RTX 4090", nodes=2, network=name) for name in ("Ethernet 100", "Ethernet 1"))
    rates = [speed(header("llama3.1:8b"), START, where, gpu_layers=ALL, filled=512).generate_tokens_per_second for where in (near, far)]
    assert rates[0] > rates[1]


def test_vllm_splits_layers_over_cards() -> None:
    rates = [
        speed(header("qwq:32b", "BF16"), START, on("A100 80GB SXM", count), gpu_layers=ALL, filled=100, engine="vllm").generate_tokens_per_second
        for count in (1, 2, 4, 8)
    ]
    assert rates == sorted(rates)
    assert 1.0 < rates[3] / rates[2] < 1.5


def test_many_users_share_the_reading() -> None:
    where = on("RTX 4090")
    alone, together = (speed(header("llama3.1:8b"), START, where, gpu_layers=ALL, filled=1024, users=users) for users in (1, 16))
    assert together.generate_tokens_per_second < alone.generate_tokens_per_second
    assert 5 < together.total_tokens_per_second / alone.total_tokens_per_second < 16
    assert together.total_tokens_per_second == pytest.approx(16 * together.generate_tokens_per_second)


def test_most_users_is_the_last_that_is_fast_enough() -> None:
    where, model = on("RTX 4090"), header("llama3.1:8b")
    count = most_users(model, START, where, gpu_layers=ALL, filled=2048, rate=20.0)
    rate = {users: speed(model, START, where, gpu_layers=ALL, filled=2048, users=users).generate_tokens_per_second for users in (count, count + 1)}
    assert rate[count] >= 20.0 > rate[count + 1]
    assert most_users(model, START, where, gpu_layers=ALL, filled=2048, rate=1e6) == 0
    with pytest.raises(InvalidRequest, match="no question"):
        most_users(model, START, where, gpu_layers=ALL, filled=2048, rate=0.0)


@pytest.mark.parametrize("device", ["RTX 3090", "H100 SXM", "m4 max 64", "RX 7900 XTX"])
@pytest.mark.parametrize("name", ["llama3.1:8b", "qwen3:30b"])
def test_one_more_user_never_makes_it_faster(device: str, name: str) -> None:
    """Kernels for few tokens are taken where they are faster than those for many, not beyond."""
    model, where = header(name), on(device)
    steps = [1 / speed(model, START, where, gpu_layers=ALL, filled=512, users=users).generate_tokens_per_second for users in range(1, 40)]
    assert steps == sorted(steps)


def test_cards_that_share_layers_read_at_once_and_a_pipeline_does_not() -> None:
    model, where = header("llama3.1:70b", "BF16"), on("H100 SXM", 4)
    rates = [speed(model, START, where, gpu_layers=ALL, filled=512, engine="vllm", ways=ways).generate_tokens_per_second for ways in (1, 2, 4)]
    assert rates == sorted(rates)
    assert rates[2] > 2 * rates[0]
    assert speed(model, START, where, gpu_layers=ALL, filled=512, engine="vllm").generate_tokens_per_second == rates[2]


@pytest.mark.parametrize(("name", "value"), [("gpu_layers", -1), ("filled", -1), ("users", 0), ("users", 10**6), ("cached", 600)])
def test_numbers_that_make_no_sense(name: str, value: int) -> None:
    numbers = {"gpu_layers": ALL, "filled": 512, "users": 1, "cached": 0, name: value}
    with pytest.raises(InvalidRequest, match=name):
        speed(header("llama3.1:8b"), START, on("RTX 4090"), **numbers)


def test_an_encoder_generates_nothing() -> None:
    found = speed(header("nomic-embed-text:v1.5", "F16"), Start(context=512, task="embed"), on("RTX 4090"), gpu_layers=ALL, filled=512)
    assert found.generate_tokens_per_second == found.total_tokens_per_second == 0
    assert found.prompt_tokens_per_second > 1000


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("RTX 4090", "cuda"), ("H100 SXM", "cuda hbm"), ("Tesla P40", "cuda without tensor cores"), ("DGX Spark", "cuda unified"),
        ("m3 max 64", "metal"), ("RX 7900 XTX", "rdna"), ("Ryzen AI Max+ 395", "rdna unified"), ("RX 6800", "gcn"), ("Instinct MI300X", "cdna"),
        ("Arc B580", "xe"),
    ],
)  # fmt: skip
def test_every_device_has_kernels(device: str, kind: str) -> None:
    assert kernels(hardware().find(device)).name == kind


def test_all_devices_have_rates() -> None:
    for device in hardware():
        rates = host_rates(host(device)) if device.kind == "cpu" else device_rates(device)
        assert all(rate > 0 for rate in (*rates.bandwidth.values(), *rates.compute.values(), *rates.vector.values(), rates.cache, rates.attention))
    assert set(KINDS) > {"cuda", "metal", "processor"}


# What a short run tells.


def machine() -> Host:
    return Host(title="two cores", memory_bytes=2**34, bandwidth_gb_s=20.0, compute_tflops=0.15, cores=2, instructions="avx512", watts_load=30.0,
                watts_idle=10.0, measured=True)  # fmt: skip


def truth(steps: float = 1.0) -> Rates:
    """A machine that differs from what is expected of it in everything."""
    expected = host_rates(machine())
    off: Mapping[Family, float] = {"float": 0.9, "eight": 0.8, "four": 0.6, "k": 0.5, "i": 0.3}
    return replace(
        expected,
        bandwidth={kind: expected.bandwidth[kind] * off[kind] for kind in FAMILIES},
        compute={kind: expected.compute[kind] * off[kind] * 1.5 for kind in FAMILIES},
        cache=expected.cache * 0.5,
        operation=expected.operation * steps,
    )


def seconds(model: Header, rates: Rates, tokens: int, filled: int) -> float:
    one = passing(layers(model), tokens=tokens, sequences=1, filled=filled, outputs=1, tile=rates.tile)
    return rates.reading(one) + rates.computing(one) + rates.starting(one) + rates.start


def runs(rates: Rates, precisions: tuple[str, ...], name: str = "qwen3:0.6b", noise: float = 0.0) -> list[Run]:
    found = []
    for number, precision in enumerate(precisions):
        for tokens, filled in ((1, 128), (1, 4096), (512, 512)):
            model = header(name, precision)
            taken = seconds(model, rates, tokens, filled) * (1 + noise * (-1) ** (number + tokens))
            found.append(Run(header=model, tokens=tokens, filled=filled, seconds=taken))
    return found


TYPES = ("Q4_0", "Q4_K_M", "Q8_0")


@pytest.mark.parametrize("name", ["qwen2.5:1.5b", "llama3.2:3b", "llama3.1:8b", "phi4:14b"])
@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize("steps", [1.0, 3.0])
def test_a_small_model_tells_of_larger_ones(name: str, precision: str, steps: float) -> None:
    real, where, model = truth(steps), Target(host=machine()), header(name, precision)
    measured = runs(real, TYPES) + (runs(real, ("Q8_0",), "smollm2:135m") if steps > 1 else [])
    found = calibrate(measured, host_rates(machine()))
    assert not found.void
    predicted = speed(model, START, where, gpu_layers=0, filled=512, calibration=found)
    assert predicted.basis == "measured here"
    assert 1 / predicted.generate_tokens_per_second == pytest.approx(seconds(model, real, 1, 512), rel=0.05)
    assert predicted.first_token_seconds == pytest.approx(seconds(model, real, 512, 512), rel=0.05)
    plain = speed(model, START, where, gpu_layers=0, filled=512)
    assert abs(1 / plain.generate_tokens_per_second / seconds(model, real, 1, 512) - 1) > 0.08


def test_one_precision_moves_the_others_along() -> None:
    real, expected = truth(), host_rates(machine())
    found = calibrate(runs(real, ("Q8_0",)), expected).host
    assert found is not None
    assert found.bandwidth["k"] / found.bandwidth["eight"] == pytest.approx(expected.bandwidth["k"] / expected.bandwidth["eight"])
    assert found.cache == pytest.approx(real.cache, rel=0.1)
    assert found.operation == expected.operation


def test_a_calibration_that_would_not_come_out_again_is_void() -> None:
    measured = runs(truth(), TYPES)
    late = [replace(run, seconds=run.seconds * 1.3) for run in measured]
    assert not calibrate([*measured, *measured], host_rates(machine())).void
    assert not calibrate([*measured, *measured, *late, *late, *late, *late], host_rates(machine())).void
    assert calibrate([*measured, *late, *late], host_rates(machine())).void
    assert calibrate([*measured, *late], host_rates(machine())).spread == pytest.approx(0.3)
    calm, busy = (calibrate(some, host_rates(machine())).host for some in (measured, [*measured, *late]))
    assert calm == busy


def test_wild_runs_do_not_carry_a_family_away() -> None:
    found = calibrate(runs(truth(), TYPES, noise=0.4), host_rates(machine())).host
    assert found is not None
    assert max(found.bandwidth.values()) / min(found.bandwidth.values()) <= 16.1


def test_a_calibration_needs_generation() -> None:
    model = header("qwen3:0.6b", "Q8_0")
    with pytest.raises(InvalidRequest, match="generates"):
        calibrate([Run(header=model, tokens=512, filled=512, seconds=1.0)], host_rates(machine()))
    with pytest.raises(InvalidRequest, match="no measurement"):
        Run(header=model, tokens=1, filled=1, seconds=0.0)


def test_a_calibrated_card() -> None:
    where = on("RTX 4090")
    assert where.group is not None
    half = replace(device_rates(where.group.device), operation=1e-4)
    slow = speed(header("llama3.1:8b"), START, where, gpu_layers=ALL, filled=512, calibration=Calibration(device=half))
    assert slow.basis == "measured here"
    assert slow.bound == "overhead"


# What others have measured; benchmarks/published/ has many more.


@pytest.mark.parametrize(
    ("device", "name", "precision", "filled", "published"),
    [
        ("RTX 4090", "deepseek-r1:14b", "Q4_K_M", 64, 92.49),
        ("RTX 3060 12gb", "llama2:7b", "Q4_0", 64, 75.58),
        ("RTX 5070 Ti", "llama2:7b", "Q4_0", 64, 176.85),
        ("M4 Max (40-core GPU)", "llama2:7b", "F16", 64, 31.64),
        ("DGX Spark", "gpt-oss:120b", "MXFP4", 16, 58.72),
        ("ryzen ai max+ 395 128gb", "qwen3:30b", "Q4_K_M", 64, 86.07),
        ("H100 SXM", "gemma4:31b", "Q4_K_M", 256, 68.0),
        ("EPYC 9004, 12 channels DDR5-4800", "phi4:14b", "Q8_0", 64, 19.194),
    ],
)
def test_published_generation(device: str, name: str, precision: str, filled: int, published: float) -> None:
    found = speed(header(name, precision), START, on(device), gpu_layers=ALL, filled=filled)
    assert found.generate_tokens_per_second == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize(
    ("device", "name", "precision", "tokens", "published"),
    [
        ("RTX 5080", "llama2:7b", "Q4_0", 512, 8297.36),
        ("RX 9070 XT", "llama3.1:8b", "Q4_K_M", 512, 4802.0),
        ("m4 16", "qwen3.5:9b", "Q4_K_M", 512, 214.0),
        ("ryzen ai max+ 395 128gb", "qwen2.5:32b", "Q4_K_M", 512, 242.44),
    ],
)
def test_published_prompts(device: str, name: str, precision: str, tokens: int, published: float) -> None:
    found = speed(header(name, precision), START, on(device), gpu_layers=ALL, filled=tokens)
    assert found.prompt_tokens_per_second == pytest.approx(published, rel=0.15)
