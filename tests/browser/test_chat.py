"""The chat, in the browser: asking, stopping, going on, branches, what was said before, documents, and what becomes of an answer when the page,
the connection or the server goes away in the middle of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.acceptance.support import ServerProcess, until
from tests.browser.conftest import PHONE, Watch, overflowing, shoot, violations

Browsers = Callable[..., tuple[BrowserContext, Watch]]

LONG = " ".join(f"Word {number}." for number in range(1, 400))
RICH = """Here is all of it, with *emphasis*.

| Name | Age |
|---|--:|
| Ada | 36 |

```python
def double(x):
    return 2 * x  # twice
```

The sum is $\\sum_{k=1}^n k = \\frac{n(n+1)}{2}$.

1. one
2. two
"""
LEASE = "# Lease\n\nThe lease of the shop at 5 Mill Lane ends on 30 June 2027. The notice period is six months.\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With the guide, and with models that say what the tests want to see."""
    home: Path = tmp_path_factory.mktemp("home") / "home"
    scripts = home / "fake"
    scripts.mkdir(parents=True)
    (scripts / "long.jsonl").write_text(json.dumps(LONG))
    (scripts / "rich.jsonl").write_text(json.dumps({"reasoning_content": "They want to see everything.", "content": RICH}))
    (scripts / "fail.jsonl").write_text(f"{json.dumps({'fail': {'status': 503, 'message': 'out of order'}})}\n{json.dumps('It works again.')}")
    with ServerProcess(home, environment={"HAUSGEIST_GUIDE": "1", "HAUSGEIST_FAKE": "1"}) as process:
        yield process.start()


def ask(page: Page, text: str) -> None:
    """Written and sent, as people do it."""
    page.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")


def answered(page: Page) -> None:
    expect(page.locator("#chat")).to_have_attribute("data-busy", "false", timeout=30_000)
    expect(page.locator(".turn.answer.last .doings")).not_to_be_empty()


def open_new(page: Page, model: str) -> None:
    page.goto(f"/?model={model}")
    expect(page.locator("#model-name")).to_have_text(model)


def test_a_first_question_to_the_guide(page: Page) -> None:
    open_new(page, "guide")
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    assert not violations(page)
    shoot(page, "chat-empty")
    page.get_by_role("button", name="How do I install a model?").click()
    expect(page.locator(".question")).to_contain_text("How do I install a model?")
    answered(page)
    expect(page.locator(".answer code").first).to_contain_text("hausgeist")
    expect(page.locator(".answer .made")).to_have_text(re.compile(r"guide · \d+ tokens · first after .* · .* tokens/s"))
    expect(page.locator("#chats li").first).to_contain_text("How do I install a model?")
    expect(page).to_have_url(re.compile(r"/chat/conv_\w+$"))
    expect(page).to_have_title("How do I install a model? · Hausgeist")
    assert not violations(page)
    shoot(page, "chat-answered")


def test_an_answer_with_everything_in_it(page: Page) -> None:
    open_new(page, "fake:rich.jsonl")
    ask(page, "Show me everything")
    answered(page)
    answer = page.locator(".answer")
    expect(answer.locator("table td").nth(1)).to_have_text("36")
    expect(answer.locator(".hl-keyword").first).to_have_text("def")
    expect(answer.locator("math").first).to_be_visible()
    expect(answer.locator("em")).to_have_text("emphasis")
    thought = answer.locator("details")
    expect(thought.get_by_text("They want to see everything.")).to_be_hidden()
    thought.locator("summary").click()
    expect(thought.get_by_text("They want to see everything.")).to_be_visible()
    answer.locator(".code").get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == "def double(x):\n    return 2 * x  # twice"
    assert not violations(page)
    shoot(page, "chat-rich")
    page.reload()
    expect(page.locator(".answer .hl-keyword").first).to_have_text("def")
    expect(page.locator(".answer table td").nth(1)).to_have_text("36")


def test_a_formula_ends_a_paragraph_at_the_beginning_of_a_line_only(page: Page) -> None:
    """`$$` within a line is text, or a formula in the line; the line stays in one piece."""
    open_new(page, "fake:echo")
    ask(page, "Costs $$ or so, \\[ at most.\nGiven $$x^2$$ here, and\n$$ unfinished\n\nBefore\n$$y^2$$\nAfter\n\\[z^2\\]\nEnd")
    answered(page)
    answer = page.locator(".answer.last")
    expect(answer.locator("p", has_text="Costs $$ or so, [ at most.")).to_contain_text("$$ unfinished")
    expect(answer.locator("p", has_text="Costs").locator("math")).to_have_count(1)
    for text in ("Before", "After", "End"):
        expect(answer.get_by_text(text, exact=True)).to_be_visible()
    expect(answer.locator("math")).to_have_count(3)


def test_edit_make_again_and_branches(page: Page) -> None:
    open_new(page, "fake:echo")
    ask(page, "first question")
    answered(page)
    page.get_by_role("textbox", name="Message").press("ArrowUp")
    box = page.get_by_role("textbox", name="Edit and send again")
    expect(box).to_have_value("first question")
    box.fill("second question")
    box.press("Enter")
    expect(page.locator(".question .branches")).to_contain_text("2 / 2")
    answered(page)
    expect(page.locator(".turn")).to_have_count(2)
    page.get_by_role("button", name="Previous branch").click()
    expect(page.locator(".question .bubble")).to_have_text("first question")
    expect(page.locator(".answer .prose")).to_contain_text("first question")
    page.get_by_role("button", name="Answer again").click()
    page.get_by_role("menuitem", name="guide").click()
    answered(page)
    expect(page.locator(".answer .branches")).to_contain_text("2 / 2")
    expect(page.locator(".answer .made")).to_contain_text("guide")
    page.locator(".answer").get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="New chat from here").click()
    expect(page.locator("#chats li")).not_to_have_count(0)
    expect(page.locator(".turn")).to_have_count(2)
    page.locator(".answer").get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete message").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".answer")).to_have_count(0)
    expect(page.get_by_text("This question has no answer yet.")).to_be_visible()
    page.get_by_role("button", name="Answer it").click()
    answered(page)
    expect(page.locator(".answer")).to_have_count(1)


def test_stop_go_on_and_reload_in_the_middle(page: Page) -> None:
    open_new(page, "fake:long.jsonl@40")
    ask(page, "Tell me a long story")
    expect(page.locator(".answer .prose")).to_contain_text("Word 8.")
    page.reload()
    expect(page.locator(".answer.going .prose")).to_contain_text("Word 12.")
    expect(page.locator(".answer")).to_have_count(1)
    page.keyboard.press("Escape")
    answered(page)
    expect(page.locator(".answer .made")).to_contain_text("stopped")
    before = page.locator(".answer .parts").inner_text()
    assert before.startswith("Word 1. Word 2.")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".answer.going")).to_have_count(1)
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Stop").click()
    answered(page)
    expect(page.locator(".answer")).to_have_count(1)
    assert page.locator(".answer .parts").inner_text().startswith(before)


def test_the_reader_keeps_their_place(page: Page) -> None:
    open_new(page, "fake:long.jsonl@200")
    page.set_viewport_size({"width": 700, "height": 400})
    ask(page, "Tell me a long story")
    thread = page.locator("#thread")
    distance = "one => one.scrollHeight - one.clientHeight - one.scrollTop"
    expect(page.locator(".answer .prose")).to_contain_text("Word 150.")
    assert thread.evaluate(distance) < 60
    thread.evaluate("one => { one.scrollTop = 30 }")
    at = thread.evaluate("one => one.scrollTop")
    expect(page.get_by_role("button", name="To the newest")).to_be_visible()
    expect(page.locator(".answer .prose")).to_contain_text("Word 260.")
    assert abs(thread.evaluate("one => one.scrollTop") - at) < 5
    page.get_by_role("button", name="To the newest").click()
    page.wait_for_timeout(300)
    assert thread.evaluate(distance) < 60
    page.get_by_role("textbox", name="Message").press("PageUp")
    expect(page.get_by_role("button", name="To the newest")).to_be_visible()
    page.get_by_role("button", name="To the newest").click()
    answered(page)
    assert thread.evaluate(distance) < 60
    expect(page.get_by_role("button", name="To the newest")).to_be_hidden()


def test_a_long_chat_opens_at_its_end(page: Page, server: ServerProcess) -> None:
    messages = [{"role": ("user", "assistant")[number % 2], "content": f"Message number {number}. " * 12} for number in range(600)]
    with server.client() as client:
        settings = {"truncation": "auto"}
        made = client.post("/house/v1/chats", json={"title": "Long", "model": "fake:echo@50", "settings": settings, "messages": messages})
    page.goto(f"/chat/{made.raise_for_status().json()['id']}")
    expect(page.get_by_text("Message number 599.").first).to_be_in_viewport()
    page.evaluate(
        """() => { window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(one => {
            if (!one.hadRecentInput) shift += one.value; })).observe({type: "layout-shift"}); }"""
    )
    ask(page, "Say this slowly, with a few words more than that, so that it takes some time")
    answered(page)
    expect(page.locator(".answer.last")).to_be_in_viewport()
    assert page.evaluate("shift") < 0.01
    # What nobody has looked at yet is drawn when somebody does, and found by the browser's own search.
    page.locator("#thread").evaluate("one => one.scrollTo(0, 0)")
    expect(page.get_by_text("Message number 0.").first).to_be_in_viewport()
    page.wait_for_function("() => [...document.querySelectorAll('.turn')].every(one => one.textContent)")


def test_two_tabs_stay_in_step(context: BrowserContext) -> None:
    one, other = context.new_page(), context.new_page()
    open_new(one, "fake:echo")
    ask(one, "hello there")
    answered(one)
    other.goto(one.url)
    expect(other.locator(".answer .prose")).to_contain_text("hello there")
    ask(one, "and once more")
    expect(other.locator(".question")).to_have_count(2)
    expect(other.locator(".answer .prose").nth(1)).to_contain_text("and once more")
    answered(other)
    row = one.locator("#chats li").filter(has_text="hello there").first
    row.hover()
    row.get_by_role("button").click()
    one.get_by_role("menuitem", name="Rename").click()
    one.get_by_role("textbox", name="Title of the chat").fill("Greetings")
    one.keyboard.press("Enter")
    expect(other.locator("#chats [aria-current]")).to_contain_text("Greetings")
    expect(other.locator("#title")).to_have_text("Greetings")


def test_the_list_of_chats(page: Page, server: ServerProcess) -> None:
    with server.client() as client:
        for name in ("Apples", "Pears", "Plums"):
            message = {"role": "user", "content": f"The {name.lower()} of the orchard are ripe in September."}
            client.post("/house/v1/chats", json={"title": name, "model": "guide", "messages": [message]}).raise_for_status()
    page.goto("/")
    rows = page.locator("#chats li")
    expect(rows.first).to_contain_text("Plums")

    def do(name: str, what: str) -> None:
        row = rows.filter(has_text=name)
        row.hover()
        row.get_by_role("button", name=f"Menu of “{name}”").click()
        page.get_by_role("menuitem", name=what, exact=True).click()

    do("Apples", "Pin")
    expect(page.locator("#chats h2").first).to_have_text("Pinned")
    expect(rows.first).to_contain_text("Apples")
    do("Plums", "Archive")
    expect(rows.filter(has_text="Plums")).to_have_count(0)
    do("Pears", "Delete")
    expect(rows.filter(has_text="Pears")).to_have_count(0)
    page.get_by_role("status").get_by_role("button", name="Undo").last.click()
    expect(rows.filter(has_text="Pears")).to_have_count(1)
    with page.expect_download() as download:
        do("Pears", "Export as Markdown")
    assert download.value.suggested_filename == "Pears.md"
    assert "ripe in September" in Path(download.value.path()).read_text("utf-8")
    page.keyboard.press("Control+k")
    page.keyboard.type("orchard ripe")
    found = page.get_by_role("region", name="What was found")
    expect(found.locator("mark").first).to_have_text("orchard")
    assert not violations(page)
    shoot(page, "chat-search")
    found.get_by_role("link").filter(has_text="Plums").click()
    expect(page.locator(".question")).to_contain_text("plums of the orchard")
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+o")
    expect(page).to_have_url(f"{server.url}/")
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()


def test_documents_are_asked_and_cited(page: Page, server: ServerProcess) -> None:
    with server.client() as client:
        file = client.post("/v1/files", data={"purpose": "assistants"}, files={"file": ("lease.md", LEASE.encode(), "text/markdown")}).json()["id"]
        store = client.post("/v1/vector_stores", json={"name": "contracts", "file_ids": [file]}).json()["id"]
        until(lambda: client.get(f"/v1/vector_stores/{store}").json()["file_counts"]["completed"] == 1, 20, "the file is read", pause=0.1)
    open_new(page, "guide")
    page.get_by_role("button", name="Attach").click()
    page.get_by_role("menuitem", name="Ask documents").click()
    page.get_by_label("contracts").check()
    page.get_by_role("button", name="Use these").click()
    expect(page.locator(".chip")).to_contain_text("contracts")
    ask(page, "When does the lease end?")
    answered(page)
    mark = page.get_by_role("button", name=re.compile("Citation 1|lease.md"))
    expect(mark.first).to_be_visible()
    expect(page.locator(".answer")).to_contain_text("30 June 2027")
    assert not violations(page)
    shoot(page, "chat-documents")
    page.reload()
    page.locator(".answer .cite-mark").click()
    expect(page.get_by_text("The lease of the shop at 5 Mill Lane ends on 30 June 2027.").last).to_be_visible()


def test_files_and_pictures(page: Page) -> None:
    open_new(page, "fake:echo")
    page.get_by_role("button", name="Attach").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("menuitem", name="File", exact=True).click()
    chooser.value.set_files({"name": "note.txt", "mimeType": "text/plain", "buffer": b"The password of the cellar is plum."})
    expect(page.locator(".chip.file")).to_contain_text("note.txt")
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_enabled()
    ask(page, "What is in it?")
    answered(page)
    expect(page.locator(".question .badge")).to_contain_text("note.txt")
    expect(page.locator(".answer")).to_contain_text("The password of the cellar is plum.")
    # A picture, larger than any model wants it, pasted.
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(4000, 1000), context = canvas.getContext("2d");
            context.fillRect(0, 0, 4000, 1000);
            const items = new DataTransfer();
            items.items.add(new File([await canvas.convertToBlob({type: "image/png"})], "wide.png", {type: "image/png"}));
            document.querySelector("#question").dispatchEvent(new ClipboardEvent("paste", {clipboardData: items, bubbles: true, cancelable: true}));
        }"""
    )
    expect(page.locator(".chip.image")).to_have_count(1)
    ask(page, "And here?")
    answered(page)
    shown = page.locator(".question img").last
    assert shown.evaluate("one => one.decode().then(() => [one.naturalWidth, one.naturalHeight])") == [2048, 512]


def test_a_model_that_cannot_see_is_shown_no_pictures(page: Page) -> None:
    open_new(page, "guide")
    page.get_by_role("button", name="Attach").click()
    expect(page.get_by_role("menuitem", name="this model cannot see")).to_be_disabled()


def test_drafts_are_kept(page: Page) -> None:
    open_new(page, "fake:echo")
    page.get_by_role("textbox", name="Message").fill("half a tho")
    page.wait_for_timeout(400)
    page.reload()
    expect(page.get_by_role("textbox", name="Message")).to_have_value("half a tho")
    ask(page, "a whole thought\n\nwith lines")
    answered(page)
    expect(page.locator(".bubble")).to_have_text("a whole thought\n\nwith lines")
    page.goto("/")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")


def test_what_goes_wrong_is_said_in_place(page: Page) -> None:
    open_new(page, "fake:fail.jsonl")
    ask(page, "Are you there?")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("out of order")
    assert not violations(page)
    alert.get_by_role("button", name="Try again").click()
    answered(page)
    expect(page.locator(".answer .prose")).to_have_text("It works again.")
    expect(page.locator(".question")).to_have_count(1)
    chats = page.locator("#chats li").count()
    open_new(page, "nobody:7b")
    ask(page, "Who is there?")
    expect(alert).to_contain_text("not installed")
    shoot(page, "chat-trouble")
    page.get_by_role("button", name="Choose a model").click()
    page.get_by_role("combobox", name="Find a model").fill("echo")
    page.keyboard.press("Enter")
    expect(page.locator("#model-name")).to_have_text("fake:echo")
    alert.get_by_role("button", name="Try again").click()
    answered(page)
    expect(page.locator(".question")).to_have_count(1)
    expect(page.locator("#chats li")).to_have_count(chats + 1)


def test_parameters_and_personas(page: Page, server: ServerProcess) -> None:
    with server.client() as client:
        persona = {"name": "Pirate", "instructions": "Talk like a pirate.", "settings": {"temperature": 1.5}}
        client.post("/house/v1/personas", json=persona).raise_for_status()
    open_new(page, "fake:echo")
    page.get_by_role("button", name="Parameters and persona").click()
    page.get_by_label("Persona", exact=True).select_option("Pirate")
    expect(page.get_by_label("Instructions")).to_have_value("Talk like a pirate.")
    page.get_by_label("Longest answer, in tokens").fill("3")
    assert not violations(page)
    shoot(page, "chat-parameters")
    ask(page, "one two three four five six")
    answered(page)
    page.wait_for_timeout(700)
    with server.client() as client:
        chat = client.get(f"/house/v1/chats/{page.url.rsplit('/', 1)[1]}").json()
        response = client.get(f"/v1/responses/{chat['items'][-1]['response']}").json()
    assert (response["instructions"], response["temperature"], response["max_output_tokens"]) == ("Talk like a pirate.", 1.5, 3)
    expect(page.get_by_role("button", name="Continue")).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Parameters and persona").click()
    expect(page.get_by_label("Longest answer, in tokens")).to_have_value("3")


def test_prompts_with_gaps(page: Page, server: ServerProcess) -> None:
    with server.client() as client:
        client.post("/house/v1/prompts", json={"name": "Translate", "text": "Translate into {{language}}: {{text}}"}).raise_for_status()
    open_new(page, "fake:echo")
    page.get_by_role("textbox", name="Message").press_sequentially("/transl")
    expect(page.get_by_role("option", name="Translate")).to_be_visible()
    page.keyboard.press("Enter")
    page.get_by_label("language").fill("French")
    page.get_by_label("text", exact=True).fill("house {{x}}")
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Translate into French: house {{x}}")


def test_chats_are_brought(page: Page, server: ServerProcess, tmp_path: Path) -> None:
    with server.client() as client:
        made = client.post("/house/v1/chats", json={"title": "From elsewhere", "messages": [{"role": "user", "content": "Bonjour"}]}).json()["id"]
        (tmp_path / "chats.json").write_bytes(client.get(f"/house/v1/chats/{made}/export").content)
        client.delete(f"/house/v1/chats/{made}").raise_for_status()
    page.goto("/")
    page.get_by_role("button", name="Menu of the chat").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("menuitem", name="Import chats").click()
    chooser.value.set_files(tmp_path / "chats.json")
    expect(page.get_by_role("dialog")).to_contain_text("1 chat was brought.")
    page.keyboard.press("Escape")
    expect(page.locator("#chats li").filter(has_text="From elsewhere")).to_have_count(1)


@pytest.mark.parametrize(("locale", "dark", "placeholder"), [("de", True, "Frag etwas"), ("zh-CN", False, "输入问题"), ("fr", False, "Posez")])
def test_on_a_phone(open_browser: Browsers, locale: str, dark: bool, placeholder: str) -> None:
    context, _ = open_browser(locale=locale, dark=dark, size=PHONE, has_touch=True)
    page = context.new_page()
    page.goto("/?model=fake:rich.jsonl")
    box = page.locator("#question")
    assert placeholder in str(box.get_attribute("placeholder"))
    shoot(page, f"chat-empty-{locale}")
    assert not violations(page)
    assert not overflowing(page)
    box.fill("Zeig mir alles")
    page.locator("#send").click()
    answered(page)
    assert not violations(page)
    assert not overflowing(page)
    shoot(page, f"chat-phone-{locale}")
    page.locator("#parameters").click()
    page.wait_for_timeout(200)
    assert not violations(page)
    shoot(page, f"chat-parameters-{locale}")
    page.keyboard.press("Escape")
    page.locator("#sidebar-open").click()
    page.wait_for_timeout(300)
    assert not violations(page)
    shoot(page, f"chat-drawer-{locale}")
    page.set_viewport_size({"width": 320, "height": 640})
    assert not overflowing(page)
