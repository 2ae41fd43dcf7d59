"""What it takes to look at a page for the first time: bytes over the wire and the time to the first paint, with nothing kept from before.

Chromium (Debian's) over loopback, a browser of its own for each round. Bytes are those that came through the socket, with headers; what is fetched
only when it is needed (colours of code, formulas) is not part of it.
"""

from __future__ import annotations

import shutil
from typing import Any

from playwright.async_api import Browser, async_playwright

from benchmarks.report import Figure, median
from benchmarks.servers import hausgeist

__all__ = ["measure"]

PAGES = ("/", "/documents", "/models", "/plan", "/server", "/personas", "/welcome", "/sign-in")
ROUNDS = 5
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


async def measure() -> list[Figure]:
    chromium = shutil.which("chromium")
    if chromium is None:
        return [Figure("Chromium", "not installed (apt install chromium)")]
    figures = []
    with hausgeist(HAUSGEIST_GUIDE="1") as server:
        home = f"http://{server.address.host}:{server.address.port}"
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=[*_FLAGS])
            for path in PAGES:
                seen = [await _look(browser, home, path) for _ in range(ROUNDS + 1)][1:]
                weight, paint, files = max(one[0] for one in seen), median([one[1] for one in seen]), seen[0][2]
                met = weight <= 150_000 and paint <= 300
                figures.append(Figure(path, f"{weight / 1000:.0f} kB in {files} files, first paint {paint:.0f} ms", "<= 150 kB, <= 300 ms", met))
            await browser.close()
    return figures


async def _look(browser: Browser, home: str, path: str) -> tuple[int, float, int]:
    """Bytes, milliseconds to the first contentful paint, files. Bytes count what scripts ask the API for in the first second, too."""
    context = await browser.new_context(base_url=home, viewport={"width": 1280, "height": 800})
    await context.add_cookies([{"name": "hausgeist_welcomed", "value": "1", "url": home}])
    page = await context.new_page()
    wire = await context.new_cdp_session(page)
    await wire.send("Network.enable")
    sizes: list[int] = []

    def finished(event: dict[str, Any]) -> None:
        sizes.append(int(event["encodedDataLength"]))

    wire.on("Network.loadingFinished", finished)
    await page.goto(path, wait_until="load")
    await page.wait_for_timeout(1000)
    paint = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    await context.close()
    return sum(sizes), float(paint), len(sizes)
