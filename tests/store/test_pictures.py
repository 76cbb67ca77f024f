"""Shards of pictures: drawn in parallel, kept when whole, read by name; a broken one is named."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import disk, files, pictures
from mmrc_helpers.store.decoding import ORIENTATION
from mmrc_helpers.store.pictures import Shards, write_shards


def noise(wanted: tuple[int, int, int]) -> Image.Image:
    seed, width, height = wanted
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def silent(done: int, total: int) -> None:
    pass


def as_it_is(wanted):
    return wanted


def killed(wanted):
    os.kill(os.getpid(), signal.SIGKILL)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


WANTED = {f"p-{k:03}.png": (k, 8 + k % 5, 9 + k % 3) for k in range(30)}


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Thirty small pictures in shards of eight."""
    monkeypatch.setattr(pictures, "SHARD", 8)
    write_shards(tmp_path, WANTED, noise, 2, silent)
    return tmp_path


def test_pictures_come_back_as_they_were_drawn(shards):
    read = Shards(shards)
    assert read.names == tuple(WANTED) and "p-007.png" in read and "p-030.png" not in read
    for name, wanted in WANTED.items():
        drawn = noise(wanted)
        assert read.size(name) == drawn.size
        assert np.array_equal(np.asarray(read.read(name)), np.asarray(drawn))
        assert Image.open(io.BytesIO(read.bytes(name))).format == "PNG"
    assert [read.shard_of(name) for name in list(WANTED)[6:10]] == [0, 0, 1, 1]


def test_any_number_of_processes_makes_the_same_files(shards, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write_shards(other, WANTED, noise, 1, silent)
    for path in sorted((shards / "pictures").iterdir()):
        assert path.read_bytes() == (other / "pictures" / path.name).read_bytes()


WITHOUT = """
import sys
from pathlib import Path
from test_pictures import WANTED, noise, silent
from mmrc_helpers.store import pictures
pictures.SHARD = 8
pictures.write_shards(Path(sys.argv[1]), WANTED, noise, 2, silent)
"""


def test_without_shared_memory_the_same_files_are_drawn(shards, tmp_path):
    mount = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs -o ro none /dev/shm; exec "$@"', "-"]
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    other = tmp_path / "other"
    other.mkdir()
    paths = os.pathsep.join([str(files.REPOSITORY), str(Path(__file__).parent)])
    command = [*mount, sys.executable, "-c", WITHOUT, str(other)]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert disk.sizes_and_sums(other / "pictures") == disk.sizes_and_sums(shards / "pictures")


def test_a_shard_is_a_data_set_of_the_datasets_library(shards, tmp_path):
    files = sorted(map(str, (shards / "pictures").glob("*.parquet")))
    found = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(found.features["image"], datasets.Image) and len(found) == 30
    assert np.array_equal(np.asarray(found[9]["image"]), np.asarray(noise(WANTED["p-009.png"])))


@pytest.mark.parametrize("harm", ["cut off", "emptied", "changed in a picture", "changed at its end"])
def test_whole_shards_are_kept_and_torn_ones_drawn_again(shards, harm):
    paths = sorted((shards / "pictures").iterdir())
    before = [path.stat().st_mtime_ns for path in paths]
    whole = paths[1].read_bytes()
    torn = {"cut off": whole[:-40], "emptied": b""}
    torn["changed in a picture"] = flipped(whole, whole.index(b"IDAT") + 30)
    torn["changed at its end"] = flipped(whole, len(whole) - 60)
    paths[1].write_bytes(torn[harm])
    (shards / "pictures" / "00003.part").write_bytes(b"torn")
    heard = []
    write_shards(shards, WANTED, noise, 1, lambda done, total: heard.append((done, total)))
    after = [path.stat().st_mtime_ns for path in paths]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]
    assert heard[0] == (0, 30) and heard[-1] == (30, 30)
    assert sorted(path.name for path in (shards / "pictures").iterdir()) == [path.name for path in paths]


def test_values_are_asked_for_as_the_drawing_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "SHARD", 4)
    asked = []

    class Lazy(dict):
        def __getitem__(self, name):
            asked.append(name)
            return super().__getitem__(name)

    shown = []
    many = Lazy({f"{k:03}.png": (k, 4, 4) for k in range(64)})
    write_shards(tmp_path, many, noise, 1, lambda done, total: shown.append((done, len(asked))))
    assert all(ahead - done <= 5 * 4 for done, ahead in shown) and shown[-1] == (64, 64)


@pytest.mark.parametrize("kind", ["grey", "palette", "clear", "turned", "jpeg", "cmyk"])
def test_pictures_are_kept_upright_and_read_in_rgb(tmp_path, kind):
    colours = np.zeros((6, 4, 3), np.uint8)
    colours[:3] = (250, 10, 10)
    image = Image.fromarray(colours)
    if kind == "turned":
        exif = Image.Exif()
        exif[ORIENTATION] = 6  # to be turned clockwise
        given = encoded(image, "JPEG", exif=exif, quality=95)
    else:
        made = {"grey": image.convert("L"), "palette": image.convert("P"), "cmyk": image.convert("CMYK")}
        clear = Image.new("RGBA", image.size, (0, 0, 0, 0))
        given = {"clear": encoded(clear), "jpeg": encoded(image, "JPEG"),
                 "cmyk": encoded(made["cmyk"], "JPEG")}.get(kind) or encoded(made[kind])  # fmt: skip
    write_shards(tmp_path, {"a.png": given}, as_it_is, 1, silent)
    read = Shards(tmp_path)
    found = read.read("a.png")
    assert found.mode == "RGB" and found.size == read.size("a.png")
    assert found.size == ((6, 4) if kind == "turned" else (4, 6))
    if kind == "clear":
        assert found.getpixel((0, 0)) == (255, 255, 255)
    if kind in ("jpeg", "grey", "palette"):
        assert read.bytes("a.png") == given  # what is fine already is not made anew
        assert np.array_equal(np.asarray(found), np.asarray(Image.open(io.BytesIO(given)).convert("RGB")))
    if kind == "turned":  # its red upper half is now on the right
        assert found.getpixel((5, 1))[0] > 200 > 60 > found.getpixel((0, 1))[0]


def test_bytes_that_are_no_picture_are_named(tmp_path):
    for broken in (b"no picture", encoded(noise((0, 64, 64)))[:-200]):
        with pytest.raises(UserError, match="the picture b.png cannot be read .[oi].*; replace its file"):
            write_shards(tmp_path, {"b.png": broken}, as_it_is, 1, silent)


def test_a_killed_drawing_process_is_a_sentence_and_not_a_wait(tmp_path):
    with pytest.raises(UserError, match="a process that draws pictures was killed.*lower machine.threads"):
        write_shards(tmp_path, {"c.png": 0}, killed, 1, silent)


def test_missing_and_broken_pictures_are_named_with_the_fix(shards):
    read = Shards(shards)
    with pytest.raises(UserError, match="there is no picture zoe.png in .*pictures; .*--redo data"):
        read.read("zoe.png")
    path = sorted((shards / "pictures").iterdir())[2]
    table = pq.read_table(path).to_pylist()
    table[0]["image"]["bytes"] = table[0]["image"]["bytes"][:60]
    pq.write_table(pa.Table.from_pylist(table, pictures.SCHEMA), path)
    with pytest.raises(UserError, match="the picture p-016.png in .*00002.parquet is broken.*--redo data"):
        Shards(shards).read("p-016.png")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="the pictures in .*00002.parquet are damaged .*--redo data"):
        Shards(shards)


def test_a_flipped_byte_of_a_picture_is_noticed(shards):
    path = sorted((shards / "pictures").iterdir())[0]
    content = bytearray(path.read_bytes())
    place = content.find(Shards(shards).bytes("p-003.png")[20:40])
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="00000.parquet are damaged"):
        Shards(shards).read("p-003.png")


def test_a_folder_without_pictures_has_none(tmp_path):
    assert Shards(tmp_path).names == ()
    with pytest.raises(UserError, match="holds no pictures"):
        Shards(tmp_path).size("a.png")


def test_reading_holds_little_however_many_pictures_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "GROUP", 1 << 16)
    write_shards(tmp_path, {f"{k:03}.png": (k, 64, 64) for k in range(200)}, noise, 1, silent)
    read = Shards(tmp_path)
    for name in read.names:
        read.read(name)
    held = read._images.cache_info()
    assert held.currsize == held.maxsize < pq.ParquetFile(read.paths[0]).num_row_groups
