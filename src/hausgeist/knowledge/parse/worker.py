"""A parser process: `python -m hausgeist.knowledge.parse.worker`, its configuration as the first line on standard input, then one line per job.

Before it sees a file it has given up the network, all files but programs and the two folders of its own (one to read in, one to write in), and memory
without end. Each answer on standard output is a line of JSON: how far it has come, that the file cannot be read and why, or how many bytes of result
follow. Standard input reaches its end when the server does, and so does this process.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from hausgeist.sandbox import files, process

__all__ = ["main"]

_NICENESS = 10
"""Whoever waits for an answer goes first."""
_BETWEEN = 0.25
"""Seconds between two reports of progress."""
_IN_ONE = 1 << 16
"""Bytes of a result that go with its announcement in one write."""
_LARGEST_SCRATCH = 1 << 30
_SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "fonts", "mime.types")
_PROCESSES = ("self", "cpuinfo", "meminfo", "stat", "filesystems", "sys/vm")
_DEVICES = ("null", "zero", "random", "urandom")


def main() -> None:
    """Never returns: works until standard input ends."""
    stream = sys.stdin.buffer
    config: dict[str, Any] = json.loads(stream.readline())
    answers = os.dup(1)
    os.dup2(2, 1)  # native code that prints must not speak in our name
    process.limit(config["memory"])
    process.die_with_parent(config["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_SCRATCH, _LARGEST_SCRATCH))
    no_network = process.deny_network()
    why = files.restrict(_granted(Path(config["given"]), Path(config["scratch"])))
    os.chdir(config["scratch"])
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(stream, jobs), daemon=True).start()
    _tell(answers, {"ready": True, "network": not no_network, "files": why})
    gc.set_threshold(100_000, 20, 50)  # documents are many small objects and hardly any cycles
    logging.disable(logging.CRITICAL)  # libraries quote what they read
    while line := jobs.get():
        _serve(json.loads(line), config, answers)


def _granted(given: Path, scratch: Path) -> Any:
    yield from files.system()
    yield from files.python("pypdfium2")
    for name in _SETTINGS:
        yield Path("/etc") / name, files.LOOK
    for name in _PROCESSES:
        yield Path("/proc") / name, files.LOOK
    for name in _DEVICES:
        yield Path("/dev") / name, files.DEVICE
    if (packs := os.environ.get("TESSDATA_PREFIX")) is not None:
        yield Path(packs), files.LOOK
    yield given, files.LOOK
    yield scratch, files.SCRATCH


def _read(stream: Any, jobs: queue.SimpleQueue[bytes]) -> None:
    while line := stream.readline():
        jobs.put(line)
    os._exit(0)


def _serve(job: dict[str, Any], config: dict[str, Any], answers: int) -> None:
    from hausgeist.errors import InvalidRequest, NotFound, NotSupported

    try:
        result = _work(job, config, answers)
    except NotFound as error:
        _tell(answers, {"missing": error.message[:2000]})
    except NotSupported as error:
        _tell(answers, {"unsupported": error.message[:2000]})
    except InvalidRequest as error:
        _tell(answers, {"unreadable": error.message[:2000]})
    except MemoryError:
        _tell(answers, {"memory": True})
    except RecursionError:
        _tell(answers, {"unreadable": "The file is nested too deeply to be read."})
    except Exception as error:
        # Where it failed is worth knowing; what the file says is not for the log.
        where = traceback.extract_tb(error.__traceback__)[-1]
        _tell(answers, {"failed": f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}"})
    else:
        told = json.dumps({"bytes": len(result)}).encode() + b"\n"
        if len(result) <= _IN_ONE:
            _write(answers, told + result)
        else:
            _write(answers, told)
            _write(answers, result)


def _work(job: dict[str, Any], config: dict[str, Any], answers: int) -> bytes:
    from hausgeist.knowledge.parse import ocr, progress
    from hausgeist.knowledge.parse.base import Limits
    from hausgeist.knowledge.parse.wire import encode

    limits = Limits(**config["limits"])
    path = Path(job["path"])
    ocr.preferred.set(tuple(config["languages"]))
    if "width" in job:
        from hausgeist.knowledge.parse.pictures import picture

        return picture(path, job["page"], job["width"], limits)
    last = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= _BETWEEN:
            last = now
            _tell(answers, {"done": done, "total": total})

    progress.listener.set(tell)
    from hausgeist.knowledge.parse.reading import read

    parsed = read(path, job["filename"], limits)
    if "most" not in job:
        return encode(parsed)
    from hausgeist.knowledge.language.terms import joined
    from hausgeist.knowledge.parse.wire import encode_cut
    from hausgeist.knowledge.split import split

    pieces = split(parsed, most=job["most"], overlap=job["overlap"])
    return encode_cut(parsed, pieces, [joined(parsed.text[one.start : one.end], one.language) for one in pieces])


def _tell(answers: int, said: dict[str, Any]) -> None:
    _write(answers, json.dumps(said).encode() + b"\n")


def _write(answers: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(answers, view) :]


if __name__ == "__main__":
    main()
