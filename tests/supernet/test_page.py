from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from supernet.page import Cell, Page, new_figure, tip

NASTY = "<script>alert('x')</script> & \"quotes\""


def drawing(label: str, note: str = "a note"):
    figure = new_figure()
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=label)
    (mark,) = axes.plot([0.5], [0.5], "o")
    mark.set_gid(tip(note))
    axes.set(xlabel="x", ylabel="y")
    axes.legend()
    return figure


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    page = Page(f"Title {NASTY}", f"subtitle {NASTY}")
    page.heading(f"heading {NASTY}")
    page.text(f"text {NASTY}")
    page.text("quiet", quiet=True)
    page.facts([(f"value {NASTY}", f"what {NASTY}")])
    page.table([f"column {NASTY}", "b"], [[f"cell {NASTY}", "2"]])
    page.table(["x", "y"], [["plain", Cell(f"rich {NASTY}", note=f"note {NASTY}", tone="good", share=0.25)]])
    page.details(f"summary {NASTY}", ["z"], [["folded"]])
    page.figures(
        (drawing("one", f"line 1\nline 2 {NASTY} ä"), f"caption {NASTY}"), (drawing("two"), "second")
    )
    page.figures((drawing("three"), "third"))
    path = tmp_path_factory.mktemp("page") / "new" / "page.html"
    page.write(path)
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
    return path.read_text(encoding="utf-8")


def test_text_is_escaped(text):
    assert "<script" not in text
    places = (
        "Title",
        "subtitle",
        "heading",
        "text",
        "value",
        "what",
        "column",
        "cell",
        "caption",
        "rich",
        "note",
        "summary",
    )
    for place in places:
        assert f"{place} &lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;quotes&quot;" in text


def test_nothing_is_loaded_and_nothing_runs(text):
    elements = Elements(text).found
    assert "script" not in {tag for tag, _ in elements}
    for _, attributes in elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:"))
    assert "@import" not in text
    assert not re.search(r"url\((?!['\"]?#)", text)


def test_identifiers_are_unique_and_every_reference_has_one(text):
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) > 30
    assert len(set(ids)) == len(ids)
    references = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    assert references
    assert references <= set(ids)


def test_tooltips_become_titles(text):
    assert "tip:" not in text
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)]
    assert len(pictures) == 3
    titles = [
        [
            child.text
            for g in picture.iter()
            if g.tag.endswith("}g")
            for child in g
            if child.tag.endswith("}title")
        ]
        for picture in pictures
    ]
    assert titles == [[f"line 1\nline 2 {NASTY} ä"], ["a note"], ["a note"]]


def test_pieces_keep_their_order(text):
    body = text.split("<body>")[1]
    places = [
        body.index(word) for word in ("Title", "heading", "text ", "value", "column", "caption", "third")
    ]
    assert places == sorted(places)


def test_the_same_page_is_the_same_file(tmp_path):
    def make(name: str) -> bytes:
        page = Page("t")
        page.figures((drawing("one"), "c"))
        page.write(tmp_path / name)
        return (tmp_path / name).read_bytes()

    assert make("a.html") == make("b.html")


def test_a_rich_cell(text):
    assert '<td class="good bar" style="--share: 25.0%">rich' in text
    assert Cell("1").html() == "<td>1</td>"
    assert Cell("1", share=7.0).html() == '<td class="bar" style="--share: 100.0%">1</td>'


def test_a_table_folded_away(text):
    assert re.search(r"<details><summary>summary .*?</summary><div class=\"scroll\"><table>.*?folded", text)
