"""Prefixes are found again within a project and never across."""

from hausgeist.serving.slots import SlotTable, fingerprint


def _chat(*texts: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


def test_a_conversation_goes_on_in_its_slot() -> None:
    table = SlotTable(3)
    first, _ = table.take("p", fingerprint(_chat("hello")))
    other, _ = table.take("p", fingerprint(_chat("another")))
    table.give(first)
    table.give(other)
    again, reuse = table.take("p", fingerprint(_chat("hello", "and then?")))
    assert again == first
    assert reuse


def test_another_project_never_reuses() -> None:
    table = SlotTable(1)
    ids, reuse = table.take("mine", fingerprint(_chat("secret")))
    assert not reuse
    table.give(ids)
    ids, reuse = table.take("theirs", fingerprint(_chat("secret")))
    assert not reuse
    table.give(ids)
    _, reuse = table.take("mine", fingerprint(_chat("secret")))
    assert not reuse, "the slot holds the other project's prompt by now"


def test_after_several_answers_at_once_no_free_slot_is_trusted() -> None:
    table = SlotTable(3)
    for project in ("a", "b", "c"):
        ids, _ = table.take(project, fingerprint(_chat(project)))
    table.give([0, 1, 2])
    ids, reuse = table.take("a", fingerprint(_chat("a")), share=2)
    assert not reuse
    table.give(ids)
    for project in ("a", "b", "c"):
        ids, reuse = table.take(project, fingerprint(_chat(project)))
        assert not reuse
        assert ids


def test_an_unused_slot_comes_before_one_with_other_text() -> None:
    table = SlotTable(2)
    ids, _ = table.take("p", fingerprint({"prompt": "x" * 2000}))
    table.give(ids)
    other, _ = table.take("p", fingerprint({"prompt": "y" * 2000}))
    assert other != ids


def test_free_counts() -> None:
    table = SlotTable(2)
    ids, _ = table.take("p", ())
    assert table.free == 1
    table.give(ids)
    assert table.free == 2
