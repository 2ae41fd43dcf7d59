"""What people are told of files who may not look around on the machine."""

from __future__ import annotations

import pytest

from hausgeist.web.house.paths import called, without_folders


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("'/home/ada/my models/a b.gguf' is damaged.", "'a b.gguf' is damaged."),
        ("The file /srv/models/a.gguf cannot be read (Permission denied).", "The file a.gguf cannot be read (Permission denied)."),
        ("See /srv/a/, and (/srv/b.gguf).", "See a, and (b.gguf)."),
        (r"'C:\Users\ada\a b.gguf' and D:/models/c.gguf are gone.", "'a b.gguf' and c.gguf are gone."),
        (r"\\nas\models\a.gguf and ~/models/b.gguf: no.", "a.gguf and b.gguf: no."),
        ('"~/models/b c.gguf" is gone', '"b c.gguf" is gone'),
        (
            "https://registry.example:443 cannot be reached (no answer in time).",
            "https://registry.example:443 cannot be reached (no answer in time).",
        ),
        (
            "hf.co/owner/repo:Q4_K_M is not there; see https://hf.co/owner/repo.",
            "hf.co/owner/repo:Q4_K_M is not there; see https://hf.co/owner/repo.",
        ),
        ("'hausgeist import' and/or 'library/small'", "'hausgeist import' and/or 'library/small'"),
        ("3 MB/s of 4 / 5 files", "3 MB/s of 4 / 5 files"),
        ("""No such file: "/home/o'brien/m/a.gguf".""", """No such file: "a.gguf"."""),
        ("'/home/o'brien/m m/a.gguf' is gone; so is /home/o'brien/b.gguf.", "'a.gguf' is gone; so is b.gguf."),
        ("'file:///home/ada/m m/a.gguf' or file:/home/ada/b.gguf", "'a.gguf' or b.gguf"),
        ("failed:/home/ada/a.gguf, ~ada/b.gguf, '/home/ada/c.gg…", "failed:a.gguf, b.gguf, 'c.gg…"),
    ],
)
def test_a_sentence_keeps_names_only(text: str, told: str) -> None:
    assert without_folders(text) == told
    assert without_folders(told) == told


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/srv/models/a.gguf", "a.gguf"),
        (r"C:\models\a.gguf", "a.gguf"),
        ("~/a.gguf", "a.gguf"),
        ("file:///srv/models/a.gguf", "a.gguf"),
        ("hf.co/owner/repo", "hf.co/owner/repo"),
        ("llama3:8b", "llama3:8b"),
    ],
)
def test_a_source_is_called_like_its_file(source: str, name: str) -> None:
    assert called(source) == name
