"""Log lines and metrics."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hausgeist.errors import LoadFailed
from hausgeist.settings import Settings
from hausgeist.telemetry import Metrics, configure


@pytest.fixture
def lines() -> Iterator[Any]:
    root = logging.getLogger()
    kept, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    stream = io.StringIO()

    def start(**fields: Any) -> io.StringIO:
        configure(Settings(home=Path("/nonexistent"), **fields), stream=stream)
        return stream

    yield start
    root.handlers[:] = kept
    root.setLevel(level)
    logging.raiseExceptions = raising
    for name in ("hausgeist", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_text_lines_are_one_line_each(lines: Any) -> None:
    stream = lines()
    logging.getLogger("hausgeist.x").info("said %s", "a\nforged \x1b[31mline", extra={"fields": {"status": 200, "path": 'a "b"', "none": ""}})
    logging.getLogger("hausgeist.x").debug("hidden")
    logging.getLogger("somebody.else").info("hidden")
    (line,) = stream.getvalue().splitlines()
    assert "info" in line
    assert "hausgeist.x: said a\\nforged \\x1b[31mline  status=200" in line
    assert 'path="a \\"b\\""' in line


def test_json_lines(lines: Any) -> None:
    stream = lines(log_format="json", log_level="debug")
    logging.getLogger("hausgeist.x").debug("said %d", 3, extra={"fields": {"status": 200, "message": "kept out"}})
    said = json.loads(stream.getvalue())
    assert (said["message"], said["status"], said["level"], said["logger"]) == ("said 3", 200, "debug", "hausgeist.x")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_exceptions_show_where_never_what(lines: Any, log_format: str) -> None:
    stream = lines(log_format=log_format)
    try:
        try:
            int("my secret diary")
        except ValueError as error:
            raise LoadFailed("the file is cut") from error
    except LoadFailed:
        logging.getLogger("hausgeist.x").exception("failed")
    said = stream.getvalue()
    assert "secret" not in said.replace('int("my secret diary")', "").replace('int(\\"my secret diary\\")', "")
    assert "LoadFailed: the file is cut" in said
    assert "builtins.ValueError" in said
    assert "test_logs_and_metrics.py" in said


def test_configured_twice_says_things_once(lines: Any) -> None:
    lines()
    stream = lines()
    logging.getLogger("hausgeist").info("once")
    assert stream.getvalue().count("once") == 1


def test_a_broken_log_call_does_not_break_the_caller(lines: Any) -> None:
    stream = lines()
    logging.getLogger("hausgeist").info("%d things", "many")
    assert "%d things" in stream.getvalue()


def test_metrics_count() -> None:
    metrics = Metrics()
    metrics.request("openai", "chat.completions.create", 200, 0.2)
    metrics.tokens("tiny", 10, 5)
    metrics.first_token("tiny", 0.05)
    metrics.rate("tiny", 42.0)
    metrics.queue("tiny", 3)
    metrics.active("tiny", 2)
    metrics.memory("tiny", 1000)
    metrics.loads("tiny", 1.5, "ok")
    metrics.loads("tiny", 0.0, "crashed")
    metrics.plan_errors("fit", 3, {"median": 0.01, "worst": -0.02, "worst_full": None})
    text = metrics.render().decode()
    for line in (
        'hausgeist_requests_total{dialect="openai",operation="chat.completions.create",status="200"} 1.0',
        'hausgeist_tokens_total{kind="prompt",model="tiny"} 10.0',
        'hausgeist_tokens_total{kind="completion",model="tiny"} 5.0',
        'hausgeist_time_to_first_token_seconds_count{model="tiny"} 1.0',
        'hausgeist_tokens_per_second_sum{model="tiny"} 42.0',
        'hausgeist_queue_requests{model="tiny"} 3.0',
        'hausgeist_active_requests{model="tiny"} 2.0',
        'hausgeist_model_memory_bytes{model="tiny"} 1000.0',
        'hausgeist_model_loads_total{model="tiny",outcome="crashed"} 1.0',
        'hausgeist_model_load_seconds_count{model="tiny"} 1.0',
        'hausgeist_plan_loads{method="fit"} 3.0',
        'hausgeist_plan_error_ratio{method="fit",of="worst"} -0.02',
    ):
        assert line in text.splitlines()
    metrics.memory("tiny", None)
    metrics.memory("never loaded", None)
    assert "hausgeist_model_memory_bytes{" not in metrics.render().decode()


def test_models_become_labels_up_to_a_limit() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.tokens(f'model "{number}"\n', 1, 0)
    text = metrics.render().decode()
    assert text.count('hausgeist_tokens_total{kind="prompt"') == 201
    assert 'hausgeist_tokens_total{kind="prompt",model="other"} 800.0' in text


def test_two_servers_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.queue("tiny", 1)
    assert b"tiny" not in other.render()
