"""What a rendered page is made of beyond its cells: a contents list, tables with one head that can be sorted,
the verdict beside its figure, and links from numbers to the table and the folders that they came from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from html import escape
from os.path import relpath
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from mmrc_helpers.store import files

# The tags of cells in a notebook that the page gives a place of its own.
VERDICT, FIGURE, NUMBERS, SOURCES = "verdict", "main-figure", "numbers", "sources"
EXPORTS = {"png": "PNG for print", "pdf": "PDF", "svg": "SVG"}  # of a figure, in the folder beside the page
NUMBER = re.compile(r"[+−-]?\d[\d.,]*\s?(?:%|points)(?:\s\[[^\]\d]*\d[^\]]*\])?")


def dress(html: str, page: Path) -> str:
    """The page's HTML with all that makes it readable; `page` is where it will lie."""
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.select("style[scoped]"):  # pandas' own, one with every table
        style.decompose()
    for heading in soup.select("main h2"):
        heading["id"] = slug(heading.get_text())
    for table in soup.select("main table"):
        straighten(soup, table)
        frame(soup, table)
    for figure in soup.select("figure.plot"):
        offer_files(soup, figure, page)
    link_folders(soup, page)
    link_numbers(soup)
    put_first(soup)
    list_contents(soup)
    return str(soup)


def slug(text: str) -> str:
    """A name for an anchor or a file, of the letters and digits of a text."""
    return "-".join(re.findall(r"\w+", text.lower())) or "part"


# --- tables ------------------------------------------------------------------------------------------------


def straighten(soup: BeautifulSoup, table: Tag) -> None:
    """One head row, and rows that are whole: a cell that spans several is repeated in each (class "again"),
    so that rows can be sorted and written as CSV."""
    del table["border"]
    body = list(_spread(table.select("tbody tr")))
    heads = list(_spread(table.select("thead tr")))
    if not heads or not body:
        return
    stubs = sum(cell.name == "th" for cell in body[0])
    row = soup.new_tag("tr")
    for place in range(max(map(len, heads))):
        texts = [head[place].get_text(" ", strip=True) for head in heads if place < len(head)]
        texts = list(dict.fromkeys(filter(None, texts)))
        text = texts[-1] if place < stubs and texts else " ".join(texts)
        row.append(soup.new_tag("th", scope="col", string=text) if text else soup.new_tag("td"))
    table.thead.clear()
    table.thead.append(row)
    seen: set[int] = set()
    for line, cells in zip(table.select("tbody tr"), body, strict=True):
        line.clear()
        for cell in cells:
            shown = copy(cell) if id(cell) in seen else cell
            shown.attrs = {"scope": "row"} if cell.name == "th" else {}
            if id(cell) in seen:
                shown["class"] = "again"
            seen.add(id(cell))
            line.append(shown)


def _spread(rows: Sequence[Tag]) -> Iterator[list[Tag]]:
    """The cells of every row by column; one that spans several rows or columns stands in each of them."""
    hanging: dict[int, tuple[Tag, int]] = {}  # column → the cell that hangs into it, for how many more rows
    for row in rows:
        cells, own = [], [cell for cell in row.children if isinstance(cell, Tag)]
        while own or len(cells) in hanging:
            if len(cells) in hanging:
                cell, left = hanging.pop(len(cells))
                wide = 1
            else:
                cell = own.pop(0)
                left, wide = int(cell.get("rowspan", 1)), int(cell.get("colspan", 1))
            for _ in range(wide):
                if left > 1:
                    hanging[len(cells)] = (cell, left - 1)
                cells.append(cell)
        yield cells


def frame(soup: BeautifulSoup, table: Tag) -> None:
    """The table in a region that scrolls by itself and can be reached with the keyboard, named after the
    heading above it."""
    heading = table.find_previous(["h1", "h2", "h3", "caption"])
    name = heading.get_text(" ", strip=True) if heading else "Table"
    name = name.split(". ")[0]
    region = soup.new_tag("div", role="region", tabindex="0", attrs={"class": "table", "aria-label": name})
    table.wrap(region)
    table["data-name"] = slug(name)


# --- links -------------------------------------------------------------------------------------------------


def offer_files(soup: BeautifulSoup, figure: Tag, page: Path) -> None:
    """Links to the files for print of a figure, those that lie beside the page."""
    name, place = figure.get("data-name", ""), figure.select_one(".files")
    for kind, label in EXPORTS.items():
        if name and (page.parent / "figures" / f"{name}.{kind}").is_file():
            place.append(soup.new_tag("a", href=f"figures/{name}.{kind}", download="", string=label))


def link_folders(soup: BeautifulSoup, page: Path) -> None:
    """What a cell calls by its path below artifacts/ is a link to it, relative to the page."""
    root = files.artifacts_root()
    for cell in soup.select("main td"):
        names = cell.get_text().split(", ")
        if cell.find() is None and all("/" in name and (root / name).is_dir() for name in names):
            here = {name: relpath(root / name, page.parent.resolve()) for name in names}
            links = [f'<a href="{escape(here[name])}/">{escape(name)}</a>' for name in names]
            cell.clear()
            cell.append(BeautifulSoup(", ".join(links), "html.parser"))


def link_numbers(soup: BeautifulSoup) -> None:
    """From the verdict and the figures to the table of numbers, from its rows to the folders of their
    variant."""
    numbers = soup.select_one(f".output.{NUMBERS} table")
    sources = soup.select_one(f".output.{SOURCES} table")
    known = _name_rows(sources) if sources else {}
    if numbers:
        numbers["id"] = NUMBERS
        for row in numbers.select("tbody tr"):
            first, *others = row.find_all(["th", "td"])
            if target := known.get(first.get_text()):
                _link_content(soup, first, target)
                for cell in others:
                    if cell.name == "td" and cell.get_text().strip():
                        _link_content(soup, cell, target)["tabindex"] = "-1"  # the row's head is enough
        for text in soup.select_one(f".output.{VERDICT}").find_all(string=NUMBER) if known else ():
            linked = NUMBER.sub(lambda found: f'<a href="#{NUMBERS}">{found[0]}</a>', escape(text))
            text.replace_with(BeautifulSoup(linked, "html.parser"))
    for place in soup.select("figure.plot .from"):
        ways = [(f"#{NUMBERS}", "numbers")] if numbers else []
        for href, label in [*ways, *([(f"#{SOURCES}", "where they come from")] if sources else [])]:
            place.append(soup.new_tag("a", href=href, string=label))


def _name_rows(table: Tag) -> Mapping[str, str]:
    """Gives the first row of every variant an anchor; variant → anchor."""
    table["id"], known = SOURCES, {}
    for row in table.select("tbody tr"):
        name = row.find(["th", "td"]).get_text()
        if name not in known:
            known[name] = row["id"] = f"from-{slug(name)}"
    return known


def _link_content(soup: BeautifulSoup, cell: Tag, target: str) -> Tag:
    link = soup.new_tag("a", href=f"#{target}")
    link.extend([part.extract() for part in list(cell.contents)])
    cell.append(link)
    return link


# --- the order of the page ---------------------------------------------------------------------------------


def put_first(soup: BeautifulSoup) -> None:
    """The verdict with the main figure beside it right below the title; what explains either is folded."""
    verdict = soup.select_one(f".output.{VERDICT}")
    figure = soup.select_one(f".output.{FIGURE}")
    title = soup.select_one("main h1")
    if not (verdict and title):
        return
    lead = soup.new_tag("div", attrs={"class": "lead"})
    title.insert_after(lead)
    for output, how in ((verdict, "How it is read"), (figure, "What to see")):
        if output:
            lead.append(_with_its_prose(soup, output, how))


def _with_its_prose(soup: BeautifulSoup, output: Tag, how: str) -> Tag:
    """A section of an output under its heading, the prose between them folded behind it."""
    section, folded = soup.new_tag("section"), soup.new_tag("details")
    folded.append(soup.new_tag("summary", string=how))
    heading = output.find_previous("h2")
    between = []
    for element in heading.next_siblings:
        if element is output:
            break
        between.append(element)
    code = [part for part in between if isinstance(part, Tag) and part.name == "details"]
    prose = [part for part in between if isinstance(part, Tag) and part not in code]
    section.append(heading.extract())
    section.append(output.extract())
    folded.extend([part.extract() for part in prose])
    section.append(folded)
    section.extend([part.extract() for part in code])
    return section


def list_contents(soup: BeautifulSoup) -> None:
    """The headings of the page as a list of links; a page of one section needs none."""
    headings, place = soup.select("main h2"), soup.select_one("nav")
    if place is None or len(headings) < 2:
        if place is not None:
            place.decompose()
        return
    listed = soup.new_tag("ol")
    for heading in headings:
        item = soup.new_tag("li")
        item.append(soup.new_tag("a", href=f"#{heading['id']}", string=heading.get_text(strip=True)))
        listed.append(item)
    place.details.append(listed)
