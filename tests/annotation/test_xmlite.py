"""Bounded XML: what expands, nests or swells is refused by name; encodings of other tools are read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.errors import InvalidInput, LamproomError
from annotation.formats import xmlite
from tests.annotation.strategies import patient

LAUGHS = '<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;&l;">]>'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (f"<?xml version='1.0'?>{LAUGHS}<a>&m;</a>".encode(), "document type"),
        (f"{LAUGHS}<a/>".encode("utf-16"), "document type"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "document type"),
        (b"<a>&e;</a>", "undefined entity"),
        (b"<a><b></a>", "mismatched tag"),
        (b"<a", "not XML"),
        (b"", "not XML"),
        (b"<a>" * 40 + b"</a>" * 40, "too deep"),
        (b"<a>" + b"<b/>" * 1_000_001 + b"</a>", "too many elements"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "unknown encoding"),
        (b"<a>\xff\xff\xff</a>", "unknown encoding"),
        (b"<a>\0</a>", "not XML"),
    ],
)
def test_hostile_xml_is_refused_whole_and_streamed(tmp_path: Path, data: bytes, says: str) -> None:
    file = tmp_path / "a.xml"
    file.write_bytes(data)
    with pytest.raises(InvalidInput, match=says):
        xmlite.load(file)
    if "too many" not in says:
        with pytest.raises(InvalidInput, match=says):
            list(xmlite.children(file, "a"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"])
@pytest.mark.parametrize("declared", ["", "utf-8", "gb2312"])
def test_text_of_other_tools_is_read(tmp_path: Path, encoding: str, declared: str) -> None:
    if declared == "gb2312" and encoding == "utf-8":
        return  # says what it is not: nobody can know
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    file = tmp_path / "a.xml"
    file.write_bytes(f"{head}<a><name>安全帽</name></a>".encode(encoding))
    assert xmlite.load(file).findtext("name") == "安全帽"
    assert [e.text for e in xmlite.children(file, "a")] == ["安全帽"]
    assert xmlite.root(file) == "a"


def test_a_stream_holds_one_child_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    with file.open("w") as out:
        out.write("<a>")
        for n in range(20_000):
            out.write(f'<image id="{n}"><box x="1" y="2"/></image>\n')
        out.write("</a>")
    tracemalloc.start()
    assert sum(len(image) for image in xmlite.children(file, "a")) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_one_child_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmlite, "MAX_NODES", 1000)
    file = tmp_path / "a.xml"
    file.write_text("<a><b>" + "<c/>" * 200_000)
    with pytest.raises(InvalidInput, match="holds too much"):
        list(xmlite.children(file, "a"))


def test_another_outermost_element_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text("<b><c/></b>")
    with pytest.raises(InvalidInput, match="<a>"):
        list(xmlite.children(file, "a"))


@pytest.mark.parametrize(
    "text",
    ["<?xml version='1.0'?>\n<!-- c --><?p q?><a b='c'>", "<!DOCTYPE x><a>", " <a/>", "<?a?>" * 9000 + "<a>"],
)
def test_the_outermost_name_is_seen_in_the_head(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.xml"
    file.write_text(text)
    assert xmlite.root(file) == "a"
    for other in ("", "{}", "<", "<!--", "\0", "<1>"):
        file.write_text(other)
        assert xmlite.root(file) == ""
    assert xmlite.root(tmp_path) == ""


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
@patient
def test_what_is_written_is_read_again_but_for_what_xml_cannot_hold(text: str) -> None:
    back = xmlite.parse(f'<a b="{xmlite.written(text)}">{xmlite.written(text)}</a>'.encode(), "x")
    assert (back.text or "") == back.attrib["b"]
    if not xmlite.unwritable(text):
        assert (back.text or "") == text


@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 8))
@patient
def test_no_bytes_raise_anything_but_a_named_fault(data: bytes, at: int, cut: int) -> None:
    whole = b"<?xml version='1.0' encoding='utf-8'?><annotation><size><width>3</width></size></annotation>"
    try:
        xmlite.parse(whole[:at] + data + whole[at + cut :], "x")
    except LamproomError as error:
        assert "\n" not in error.line
