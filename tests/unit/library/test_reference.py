"""What people type: which kind it is, under which name it is installed, what is refused."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hausgeist.errors import InvalidRequest
from hausgeist.library.names import Name
from hausgeist.library.reference import Reference, public

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "name"),
    [
        ("llama2", "", "library/llama2", "latest", "llama2"),
        ("llama2:13b", "", "library/llama2", "13b", "llama2:13b"),
        ("gemma3:4b-it-q4_K_M", "", "library/gemma3", "4b-it-q4_K_M", "gemma3:4b-it-q4_K_M"),
        (" llama2\n", "", "library/llama2", "latest", "llama2"),
        ("library/llama2", "", "library/llama2", "latest", "llama2"),
        ("owner/name", "", "owner/name", "latest", "owner/name"),
        ("registry.ollama.ai/library/llama2:13b", "", "library/llama2", "13b", "llama2:13b"),
        ("https://registry.ollama.ai/owner/name", "", "owner/name", "latest", "owner/name"),
        ("ollama.com/library/llama2", "", "library/llama2", "latest", "llama2"),
        ("https://ollama.com/library/llama2:13b", "", "library/llama2", "13b", "llama2:13b"),
        ("https://ollama.com/owner/name/", "", "owner/name", "latest", "owner/name"),
        ("ollama.com/llama2", "", "library/llama2", "latest", "llama2"),
        ("registry.example/ns/name:tag", "registry.example", "ns/name", "tag", "registry.example/ns/name:tag"),
        ("Registry.Example/ns/name", "registry.example", "ns/name", "latest", "registry.example/ns/name"),
        ("host/ns/name", "host", "ns/name", "latest", "host/ns/name"),
        ("host:5000/ns/name:tag", "host:5000", "ns/name", "tag", "host:5000/ns/name:tag"),
        ("localhost:5000/name", "localhost:5000", "name", "latest", "localhost:5000/name"),
        ("localhost/name", "localhost", "name", "latest", "localhost/name"),
        ("10.0.0.7:5000/a/b/c:d", "10.0.0.7:5000", "a/b/c", "d", "10.0.0.7:5000/a/b/c:d"),
        ("http://host:5000/ns/name:tag", "host:5000", "ns/name", "tag", "host:5000/ns/name:tag"),
        ("http://host/name", "host:80", "name", "latest", "host:80/name"),
    ],
)
def test_names_in_registries(text: str, host: str, path: str, tag: str, name: str) -> None:
    reference = Reference.parse(text)
    assert (reference.kind, reference.host, reference.path, reference.tag) == ("registry", host, path, tag)
    assert str(reference) == str(reference.name) == name
    assert Reference.parse(name) == reference


@pytest.mark.parametrize(
    ("text", "path", "tag", "name"),
    [
        ("hf.co/owner/repo", "owner/repo", "", "hf.co/owner/repo"),
        ("huggingface.co/owner/repo", "owner/repo", "", "hf.co/owner/repo"),
        ("HF.co/Owner/Repo-GGUF:latest", "Owner/Repo-GGUF", "", "hf.co/Owner/Repo-GGUF"),
        ("hf.co/owner/repo.gguf", "owner/repo.gguf", "", "hf.co/owner/repo.gguf"),
        ("hf.co/owner/repo:Q5_K_M", "owner/repo", "Q5_K_M", "hf.co/owner/repo:Q5_K_M"),
        ("hf.co/owner/repo:model-Q5_K_M.gguf", "owner/repo", "model-Q5_K_M.gguf", "hf.co/owner/repo:model-Q5_K_M.gguf"),
        ("https://huggingface.co/owner/repo", "owner/repo", "", "hf.co/owner/repo"),
        ("https://huggingface.co/owner/repo/", "owner/repo", "", "hf.co/owner/repo"),
        ("https://huggingface.co/owner/repo/tree/main", "owner/repo", "", "hf.co/owner/repo"),
        ("https://huggingface.co/owner/repo?library=llama-cpp", "owner/repo", "", "hf.co/owner/repo"),
        ("https://huggingface.co/owner/repo/blob/main/m-Q4_0.gguf", "owner/repo", "m-Q4_0.gguf", "hf.co/owner/repo:m-Q4_0.gguf"),
        ("https://hf.co/owner/repo/resolve/main/sub/m.gguf?download=true", "owner/repo", "m.gguf", "hf.co/owner/repo:m.gguf"),
    ],
)
def test_repositories_of_the_hub(text: str, path: str, tag: str, name: str) -> None:
    reference = Reference.parse(text)
    assert (reference.kind, reference.host, reference.path, reference.tag) == ("hub", "", path, tag)
    assert str(reference) == str(reference.name) == name
    assert Reference.parse(name) == reference


@pytest.mark.parametrize(
    ("text", "path", "sha256", "name"),
    [
        (f"https://host/a/tiny-Q4.gguf#sha256={HEX}", "https://host/a/tiny-Q4.gguf", HEX, "tiny-Q4"),
        (f"https://Host.Example/x.gguf#sha256:{HEX.upper()}", "https://host.example/x.gguf", HEX, "x"),
        ("https://host:8443/x.GGUF", "https://host:8443/x.GGUF", "", "x"),
        (f"http://host/download#sha256={HEX}", "http://host/download", HEX, "download"),
        ("https://host/x.gguf?token=1", "https://host/x.gguf?token=1", "", "x"),
        ("https://host/Größe.gguf", "https://host/Gr%C3%B6%C3%9Fe.gguf", "", "Gro-e"),
        ("https://[::1]:8080/x.gguf", "https://[::1]:8080/x.gguf", "", "x"),
        ("https://host/x-00001-of-00003.gguf", "https://host/x-00001-of-00003.gguf", "", "x"),
    ],
)
def test_addresses(text: str, path: str, sha256: str, name: str) -> None:
    reference = Reference.parse(text)
    assert (reference.kind, reference.path, reference.sha256) == ("url", path, sha256)
    assert str(reference.name) == name
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("./x.gguf", "./x.gguf", "x"),
        ("../a/x", "../a/x", "x"),
        ("~/models/My Model.gguf", "~/models/My Model.gguf", "My-Model"),
        ("/srv/x-00001-of-00002.gguf", "/srv/x-00001-of-00002.gguf", "x"),
        ("x.gguf", "x.gguf", "x"),
        ("folder/x.gguf", "folder/x.gguf", "x"),
        ("C:\\models\\x.gguf", "C:\\models\\x.gguf", "x"),
        ("c:/models/x.gguf", "c:/models/x.gguf", "x"),
        ("\\\\nas\\models\\x.gguf", "\\\\nas\\models\\x.gguf", "x"),
        ("file:///srv/a%20b.gguf", "/srv/a b.gguf", "a-b"),
    ],
)
def test_paths(text: str, path: str, name: str) -> None:
    reference = Reference.parse(text)
    assert (reference.kind, reference.path, str(reference)) == ("path", path, path)
    assert str(reference.name) == name


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\n", "a b", "a:", ":a", "a//b", "a/../b", "a..b", "-x", "a\0b", "a\nb", "./a\nb.gguf", "a\u2028b", "a\u202eb.gguf",
        "\u212aelvin", "größe", "llama\u0430", "a%2fb", "a@b", "llama2@sha256:" + HEX, "a/b/c/d/e", "x.example/a/b/c/d", "hf.co", "hf.co/",
        "hf.co/a", "hf.co/a/b/c", "hf.co/a/b@main", "hf.co/../b", "hf.co/a/..", "hf.co/a/b:../x.gguf", "hf.co/a/b:", "ollama.com/a/b/c",
        "localhost:99999/a", "localhost:0/a/b", "localhost:x/a/b", "[::1]:5000/a/b", "x" * 5000, "a/" + "b" * 400, "ftp://host/x.gguf",
        "javascript://x", "file://host/x.gguf", "file:///a%00b", "http://", "https://", "https:///x.gguf", "https://host", "https://host/",
        "https://user@host/x.gguf", "https://user:s3cr3t@host/x.gguf", "https://host@e:v@il.example/x.gguf", "https://host\\@evil/x.gguf",
        "https://host:port/x.gguf", "https://host:99999/x.gguf", "https://[::1/x.gguf", "https://ho st/x.gguf", "https://ho%73t/x.gguf",
        "https://h\u00f6st/x.gguf", "https://host/../x.gguf", "https://host/a/%2e%2e/x.gguf", "https://host/a%2fx.gguf",
        "https://host/a%5cx.gguf", "https://host/%00x.gguf", "https://host/%0d%0aX:y.gguf", "https://host/%zz.gguf",
        "https://host/x.gguf#sha256=", "https://host/x.gguf#sha256=" + HEX[:-1], "https://host/x.gguf#sha256=" + HEX + "0",
        "https://host/x.gguf#md5=" + HEX, "https://host/...gguf", "https://host/a?b=c", "https://-host/x.gguf", "https://huggingface.co",
        "https://huggingface.co/a", "https://huggingface.co/spaces/a/b", "https://huggingface.co/datasets/a/b",
        "https://huggingface.co/a/b/blob/main", "https://huggingface.co/a/b/blob/v2/m.gguf", "https://huggingface.co/a/b/blob/main/%2e%2e",
        "https://huggingface.co/a/b/blob/main/my%20model.gguf", "https://huggingface.co/a/b#sha256=" + HEX,
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Reference.parse(text)
    assert caught.value.param == "model"
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 450
    assert "s3cr3t" not in caught.value.message


def test_one_model_in_every_spelling() -> None:
    spellings = ["Llama2", "llama2:latest", "library/LLAMA2", "ollama.com/library/llama2", "https://registry.ollama.ai/library/llama2:Latest"]
    assert len({Reference.parse(text) for text in spellings}) == 1
    spellings = ["hf.co/A/b:q4_k_m", "huggingface.co/a/B:Q4_K_M", "https://huggingface.co/a/b:Q4_K_M"]
    assert len({Reference.parse(text) for text in spellings}) == 1
    assert Reference.parse("https://host/A.gguf") != Reference.parse("https://host/a.gguf")
    assert Reference.parse("./A.gguf") != Reference.parse("./a.gguf")
    assert Reference.parse("a/b") != Reference.parse("hf.co/a/b")


def test_order() -> None:
    texts = ["b:2", "B:1", "a", "hf.co/x/y", "./z.gguf"]
    assert [str(one) for one in sorted(Reference.parse(text) for text in texts)] == ["hf.co/x/y", "./z.gguf", "a", "B:1", "b:2"]
    assert Reference.parse("a") <= Reference.parse("A")


segment = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,8}(\.[A-Za-z0-9_-]{1,4})?", fullmatch=True)
host = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{0,5}\.[a-z]{2,5}", fullmatch=True),
    st.builds("{}:{}".format, st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), st.integers(1, 65535)),
)
typed = st.builds(
    lambda where, folders, tag: "/".join([*([where] if where else []), *folders]) + (f":{tag}" if tag else ""),
    st.one_of(st.just(""), st.just("hf.co"), st.just("ollama.com"), host),
    st.lists(segment, min_size=1, max_size=3),
    st.one_of(st.just(""), segment),
)
nasty = st.text(
    st.one_of(st.sampled_from("./:@#%\\~?&[]-_aAzZ09\u0430\u202e\u200b\0\n"), st.characters()),
    max_size=60,
)


def holds(text: str) -> None:
    """What is true of all that gets through."""
    try:
        reference = Reference.parse(text)
    except InvalidRequest:
        return
    again = Reference.parse(str(reference))
    assert again == reference
    assert str(again) == str(reference)
    assert hash(again) == hash(reference)
    assert str(reference).isprintable()
    if reference.kind == "path":
        return
    assert Name.parse(str(reference.name)).key == reference.name.key
    if reference.kind == "url":
        parts = urlsplit(reference.path)
        assert parts.scheme in {"http", "https"}
        assert "@" not in parts.netloc
        assert ".." not in unquote(parts.path).split("/")
        assert reference.path.isascii()
    else:
        assert Reference.parse(str(reference.name)) == reference
        assert Reference.parse(str(reference).upper()) == reference
        assert re.fullmatch(r"[a-z0-9_.-]*(:\d{1,5})?", reference.host)
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", part) and part.strip(".") for part in reference.path.split("/"))
        assert ".." not in f"{reference.path}/{reference.tag}"


@given(typed)
@example("a/b.gguf")
@example("hf.co/a/b.gguf:c.gguf")
def test_any_name_is_what_it_says_or_refused(text: str) -> None:
    holds(text)


@given(nasty)
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    holds(text)


@given(
    st.sampled_from(["http://", "https://", "https://huggingface.co/", "https://host/", "hf.co/a/b:"]),
    nasty,
    st.sampled_from(["", ".gguf", f"#sha256={HEX}"]),
)
def test_any_address_is_a_reference_or_refused(begin: str, middle: str, end: str) -> None:
    holds(begin + middle + end)


def test_what_may_be_a_key_is_not_for_others() -> None:
    text = f"https://store.example/a/m.gguf?sig=s3cr3t&x=%3F#sha256={'0' * 64}"
    assert public(text) == public(str(Reference.parse(text))) == f"https://store.example/a/m.gguf#sha256={'0' * 64}"
    for plain in ("gemma3:4b", "hf.co/owner/repo:Q4_K_M", "https://store.example/a/m.gguf", ""):
        assert public(plain) == plain
