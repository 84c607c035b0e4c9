"""Image files that were made to harm: no program is started for one, and a small one does not fill the memory."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data import images
from zoo.data.images import image_header, read_image
from zoo.errors import DataError

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def empty_png(side, depth, colours, bytes_of_pixel):
    """A large PNG in a small file."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(1 + side * bytes_of_pixel)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, depth, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


READ = """
import json, sys
from pathlib import Path
started = []
sys.addaudithook(lambda event, arguments: started.append(event) if event in ("subprocess.Popen", "os.system") else None)
from zoo.data.images import image_header, read_image

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

found = []
for name in sys.argv[1:]:
    before = peak()
    for read in (image_header, lambda path: read_image(path, (64, 64), 3)):
        try:
            read(Path(name))
            error = ""
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
    found.append([error, peak() - before])
print(json.dumps([found, started]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured by /proc, which Linux has")
def test_nothing_is_started_and_little_memory_taken(tmp_path):
    """In a process of its own, because an audit hook stays and the most memory that was taken is that of a process."""
    contents = {"program.png": POSTSCRIPT, "grey.png": empty_png(6000, 16, 0, 2), "clear.png": empty_png(6000, 8, 6, 4)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READ, *[tmp_path / name for name in contents]],
        capture_output=True,
        text=True,
        check=True,
    )
    (program, grey, clear), started = json.loads(done.stdout)
    assert not started
    assert program[0].startswith(f"DataError: {tmp_path}/program.png: not a readable image (no sound JPEG, PNG, ")
    for error, memory in (grey, clear):
        assert error == ""
        assert memory < 10 * 6000**2  # twice RGBA and little more; it was 20 bytes a pixel


@pytest.mark.parametrize("read", [image_header, lambda path: read_image(path, None, 3)])
def test_a_format_that_is_given_to_programs_is_refused(tmp_path, read, monkeypatch):
    (tmp_path / "photo.jpg").write_bytes(POSTSCRIPT)
    Image.init()
    monkeypatch.setitem(Image.OPEN, "EPS", (lambda *_: pytest.fail("it was parsed"), lambda _: True))
    with pytest.raises(DataError, match=r"photo\.jpg: not a readable image .* save it as PNG, repair or remove it"):
        read(tmp_path / "photo.jpg")


def test_a_pillow_without_one_of_the_formats_reads_the_others(tmp_path, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF")
    monkeypatch.setattr(images, "_known_formats", images._known_formats.__wrapped__)
    Image.new("L", (4, 3)).save(tmp_path / "photo.ico", "TIFF")
    assert image_header(tmp_path / "photo.ico") == ((3, 4), 1)
    (tmp_path / "text.ico").write_text("no image")
    with pytest.raises(DataError, match="not a readable image"):
        image_header(tmp_path / "text.ico")


@pytest.mark.parametrize("mode", ["I;16", "I", "RGBA", "LA", "P"])
def test_bands_do_not_show(tmp_path, mode, monkeypatch):
    """A picture that is converted some rows at a time is the one that is converted at once."""
    pixels = np.random.default_rng(0).integers(0, 256, (23, 37, 4), np.uint8)
    picture = {
        "I;16": lambda: Image.fromarray(pixels[..., 0].astype(np.uint16) * 255),
        "I": lambda: Image.fromarray(pixels[..., 0].astype(np.int32) * 300 - 5),
        "RGBA": lambda: Image.fromarray(pixels),
        "LA": lambda: Image.fromarray(pixels[..., :2].copy()),
        "P": lambda: Image.fromarray(pixels[..., 0].copy()).convert("P"),
    }[mode]()
    file = io.BytesIO()
    picture.save(file, "TIFF" if mode == "I" else "PNG", **({"transparency": bytes(range(256))} if mode == "P" else {}))
    path = tmp_path / "image"
    path.write_bytes(file.getvalue())
    for channels in (1, 3):
        whole = read_image(path, None, channels)
        with monkeypatch.context() as patch:
            patch.setattr(images, "_BAND_PIXELS", 100)
            np.testing.assert_array_equal(read_image(path, None, channels), whole)
