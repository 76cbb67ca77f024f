"""One value has one reading: what YAML 1.1, editors and encodings make of a number or a word is an error that
names line and fix, and never another value without a word."""

import math
import re

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.study import yaml_files
from mmrc_helpers.study.yaml_files import read_yaml

READ = {  # what is written: what it is
    "3": 3,
    "-3": -3,
    "+3": 3,
    "0": 0,
    "0x1F": 31,
    "1.5": 1.5,
    ".5": 0.5,
    "1.": 1.0,
    "1.0e-3": 0.001,
    "-2.5e+3": -2500.0,
    ".inf": math.inf,
    "true": True,
    "False": False,
    "~": None,
    "null": None,
    "'010'": "010",
    "!!str 010": "010",
    "08.5": 8.5,
    "1.0e3": "1.0e3",
    "0o17": "0o17",
    "1,5": "1,5",
    "٣": "٣",
    "{<<: {<<: {k: 1}, k: 2}, k: 3}": {"k": 3},
    '"yes"': "yes",
    "'1:30'": "1:30",
    "1e-3": "1e-3",  # text to YAML 1.1; whoever wants a number says how to write it
    "yesterday": "yesterday",
    "forward/free": "forward/free",
    "C:/data": "C:/data",
    "Était-ce « lui » ?": "Était-ce « lui » ?",
    "Привет, мир": "Привет, мир",
    "中文，全角：好": "中文，全角：好",
    "α粒子 ≤ 5 µm": "α粒子 ≤ 5 µm",
    "😀": "😀",
}
REFUSED = {  # what is written: what is said
    "010": "line 2: YAML reads 010 as another number than it seems; write 10, or '010' in quotes",
    "-007": "write -7, or '-007' in quotes",
    "00": "write 0, or '00' in quotes",
    "1_000": "write 1000, or '1_000' in quotes",
    "1_0.5": "write 10.5, or",
    "0b101": "write it in decimal digits, or '0b101' in quotes",
    "1:30": "write it in decimal digits, or '1:30' in quotes",
    "1:30:00.5": "write it in decimal digits",
    "yes": "YAML reads yes as true; write that, or 'yes' in quotes",
    "NO": "YAML reads NO as false; write that, or 'NO' in quotes",
    "on": "YAML reads on as true",
    "Off": "YAML reads Off as false",
    "[1, no]": "line 2: YAML reads no as false",
    "{on: 3}": "YAML reads on as true",
    "{010: 3}": "YAML reads 010 as another number",
    '!!int "010"': "YAML reads 010 as another number",
    '!!float "1:30"': "YAML reads 1:30 as another number",
    '!!bool "no"': "YAML reads no as false",
    "12:30:45": "write it in decimal digits",
    "0.1_0": "write 0.10, or",
    "&a [*a]": "recursion",
    "&a {b: *a}": "recursion",
    "a\u2028b: 3": r"line 2 holds an invisible line break \(U\+2028\)",
    "'a\u0085b'": r"invisible line break \(U\+0085\)",
    "caf\ufffd": "line 2 holds .*, which stands for a letter that an earlier saving .* has lost",
    "2024-01-31": "YAML reads 2024-01-31 as a date; write '2024-01-31' in quotes",
    "2024-01-31 10:00:00": "as a date",
    "１６": "１６ is written in full-width characters; write 16",
    "０.５": "write 0.5",
    "−5": "write -5",
    "4\u00a0": r"holds an invisible character \(U\+00A0\); type it again",
    "1\u200b6": r"U\+200B",
    "ad\u00adamw": r"U\+00AD",
    "\u200eadamw": r"U\+200E",
    "9" * 5000: "not valid YAML: Exceeds the limit",
    "[" * 3000 + "]" * 3000: "not valid YAML: maximum recursion",
    "!!python/name:os.system": "not valid YAML",
}
LAUGHS = [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 9)]
BILLION = "\n".join(["b0: &b0 [x]", *LAUGHS])
FILES = {  # bytes of a file: what is said
    "train：{steps: 4}".encode(): "line 1: .* full-width characters; write train:",
    "st\u200beps: 4".encode(): r"line 1: 'st\\u200beps' holds an invisible character \(U\+200B\)",
    "steps:\u00a04".encode(): r"line 1: .*invisible character \(U\+00A0\)",
    "question: été".encode("latin-1"): "line 1 is not UTF-8 text; save the file as UTF-8",
    "a: 1\nquestion: 中文".encode("gbk"): "line 2 is not UTF-8 text",
    "question: テスト".encode("shift-jis"): "line 1 is not UTF-8 text",
    "question: 3".encode("utf-16"): "line 1 is not UTF-8 text",
    "question: 泻药".encode(
        "gbk"
    ): "line 1: 'кҩ' is no text in UTF-8, .* such as GBK; save the file as UTF-8",
    "question: 小康".encode("gbk"): "line 1",
    b"a: 1\n---\na: 2\n": "not valid YAML: expected a single document",
    b"a: 1\n\tb: 2\n": "not valid YAML",
    b"a: \x00\n": "not valid YAML",
    b"": "expected a mapping of sections",
    b"a: 1\na: 2": "a is given twice .line 2.; keep one",
    b"a: &x {k: 1}\nb: {<<: *x, <<: *x}": "<< is given twice",
    b"v:\t1": "not valid YAML",
    b"1: 2\n? [a]\n: 3": "not valid YAML: .* unhashable key",
    "question: 한국어".encode("euc-kr"): "line 1 is not UTF-8 text",
    "question: テスト".encode("iso-2022-jp"): "not valid YAML: unacceptable character",
    "question: it’s".encode("cp1252"): "line 1 is not UTF-8 text",
    BILLION.encode(): "more than 100,000 values; does an alias",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize("written", READ)
def test_a_value_is_what_it_seems(path, written):
    path.write_text(f"first: 1\nvalue: {written}\n", encoding="utf-8")
    read = read_yaml(path)["value"]
    assert read == READ[written] and type(read) is type(READ[written])


@pytest.mark.parametrize("written", REFUSED, ids=lambda written: written[:20])
def test_a_value_that_would_be_another_is_refused_with_what_to_write(path, written):
    path.write_text(f"first: 1\nvalue: {written}\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"(?s)mine.yaml: .*{REFUSED[written]}"):
        read_yaml(path)


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_a_file_in_another_encoding_or_with_hidden_characters_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert re.search(f"mine.yaml: .*{FILES[content]}", str(error.value)), str(error.value)


def test_a_merged_mapping_that_is_named_elsewhere_reads_the_same(path):
    path.write_text("z: {q: &y {<<: &x {k: 1}, k: 2}}\nv: {<<: *y}\n")
    assert read_yaml(path) == {"z": {"q": {"k": 2}}, "v": {"k": 2}}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_other_systems_read_the_same(path, line_end, mark):
    path.write_bytes(f"{mark}train: {{steps: 3}}{line_end}question: Ça va ?{line_end}".encode())
    assert read_yaml(path) == {"train": {"steps": 3}, "question": "Ça va ?"}


def test_while_a_run_lasts_a_file_stays_as_it_was_read(path):
    path.write_text("a: 1")
    with yaml_files.reading_once():
        assert read_yaml(path) == {"a": 1} and yaml_files.changed_since() == []
        path.write_text("a: 2")
        assert read_yaml(path) == {"a": 1} and yaml_files.changed_since() == [path]
        path.unlink()
        assert yaml_files.is_there(path) and read_yaml(path) == {"a": 1}
    assert not yaml_files.is_there(path)
