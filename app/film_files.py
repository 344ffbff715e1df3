"""GIF and MP4, one frame after the other: constant cost per frame, the same bytes every time.

Nothing that differs between two exports goes into a file: no time, no thread's luck.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace
from PIL import GifImagePlugin, Image, ImageChops
from PySide6.QtGui import QImage

from app.export_pictures import ExportError

Pixels = npt.NDArray[np.uint8]

#: Colours of a GIF, shared by all frames: what does not move then costs nothing.
COLOURS = 255
#: So many of them are the most frequent ones as they are.
EXACT = 32
#: A colour as one number; so many new ones are compared with the palette at once.
PACKING = np.array([65536, 256, 1])
CHUNK = 8192
#: The last picture of a GIF stays for so long before it begins again, in seconds.
REST_SECONDS = 1.5
#: GIF counts time in hundredths of a second, and players take less than two for a mistake.
TICKS = 100
LEAST_TICKS = 2
#: H.264: quality (0 is lossless, 51 worst), and frames between two that stand alone.
QUALITY, GROUP = 16, 30
#: The standard's numbers for its colours and for levels of 16 to 235.
BT709, LIMITED = 1, 1


class FilmFile(Protocol):
    """Takes frames and ends up as a file."""

    def begin(self, samples: list[Pixels]) -> None:
        """Prepare for frames like these (H, W, 3), taken from all over the film."""
        ...

    def add(self, frame: Pixels) -> None:
        """Append one frame (H, W, 3)."""
        ...

    def finish(self) -> None:
        """Write what is left and close the file."""
        ...

    def abort(self) -> None:
        """Close the file; what was written is worth nothing."""
        ...


def pixels(image: QImage) -> Pixels:
    """A picture as (H, W, 3) bytes, cut to even sides as video wants them."""
    rgb = image.convertToFormat(QImage.Format.Format_RGB888)
    width, height, line = rgb.width(), rgb.height(), rgb.bytesPerLine()
    flat = np.frombuffer(rgb.constBits(), np.uint8).reshape(height, line)
    cut = flat[: height // 2 * 2, : 3 * (width // 2 * 2)]
    return cut.reshape(height // 2 * 2, width // 2 * 2, 3).copy()


class GifFile:
    """An endless GIF with one palette; of each frame only the part that changed is stored.

    Args:
        path: The file.
        seconds_per_frame: How long a frame stays; rounded to hundredths.
    """

    def __init__(self, path: Path, seconds_per_frame: float) -> None:
        self._file: BinaryIO = open_file(path)
        self._ticks = max(LEAST_TICKS, round(TICKS * seconds_per_frame))
        self._shades: Shades | None = None
        self._last: Image.Image | None = None
        self._held: tuple[Image.Image, tuple[int, int]] | None = None

    def begin(self, samples: list[Pixels]) -> None:
        """Choose the colours and write the head."""
        self._shades = Shades(palette_of(np.concatenate(samples)))
        height, width, _ = samples[0].shape
        table = self._shades.palette.tobytes().ljust(3 * 256, b"\0")
        size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
        endless = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
        self._file.write(b"GIF89a" + size + b"\xf7\x00\x00" + table + endless)

    def add(self, frame: Pixels) -> None:
        """Append a frame; it is written when the next one comes, since the last one stays."""
        if self._shades is None:
            raise RuntimeError("a GIF needs its palette before its first frame")
        picture = Image.fromarray(self._shades.nearest(frame))
        picture.putpalette(self._shades.palette.tobytes())
        box = (0, 0, *picture.size)
        if self._last is not None:
            box = ImageChops.difference(picture, self._last).getbbox() or (0, 0, 1, 1)
        self._last = picture
        self._write_held(self._ticks)
        self._held = (picture.crop(box), box[:2])

    def finish(self) -> None:
        """Write the last frame and the tail."""
        self._write_held(self._ticks + round(TICKS * REST_SECONDS))
        self._file.write(b";")
        self._file.close()

    def abort(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_held(self, ticks: int) -> None:
        if self._held is None:
            return
        part, offset = self._held
        for block in GifImagePlugin.getdata(
            part, offset, duration=10 * ticks, include_color_table=False
        ):
            self._file.write(block)
        self._held = None


class Mp4File:
    """H.264 in an MP4, as every browser and every slide program plays it.

    Args:
        path: The file.
        seconds_per_frame: How long a frame stays.
    """

    def __init__(self, path: Path, seconds_per_frame: float) -> None:
        open_file(path).close()
        rate = Fraction(1 / seconds_per_frame).limit_denominator(1000)
        self._rate = max(rate, Fraction(1, 10))
        options = {"fflags": "+bitexact", "movflags": "+faststart"}
        self._container: Any = av.open(str(path), "w", format="mp4", options=options)
        self._stream: Any = None
        self._count = 0

    def begin(self, samples: list[Pixels]) -> None:
        """The first frame says what there is to know."""

    def add(self, frame: Pixels) -> None:
        """Append a frame."""
        if self._stream is None:
            self._open_stream(frame.shape[1], frame.shape[0])
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709
        )
        picture.pts = self._count
        picture.time_base = 1 / self._rate
        self._count += 1
        self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def abort(self) -> None:
        """Close the file."""
        self._container.close()

    def _open_stream(self, width: int, height: int) -> None:
        self._stream = self._container.add_stream("libx264", rate=self._rate)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.thread_count = 1
        # Players guess the colours of a film that does not name them, and guess by its size.
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        self._stream.options = {
            "crf": str(QUALITY),
            "preset": "medium",
            "g": str(GROUP),
            "flags": "+bitexact",
            "x264-params": "threads=1:lookahead-threads=1:sliced-threads=0",
        }


def palette_of(sheet: Pixels) -> Pixels:
    """The colours (C, 3) for all frames: the most frequent exactly, the rest as near as may be.

    Backgrounds, lines and the commonest shades of a map keep their very colour that way.
    """
    codes, counts = np.unique(_codes(sheet), return_counts=True)
    often = np.argsort(-counts, kind="stable")[:EXACT]
    rest = np.delete(codes, often)
    exact = _parts(codes[often])
    if not len(rest):
        return exact
    # A shade of the colour scale is rare, the mixtures at the edges of letters are rarer.
    weights = np.sqrt(np.delete(counts, often)).astype(np.int64)
    line, spare = Image.fromarray(_parts(np.repeat(rest, weights))[None]), COLOURS - len(exact)
    chosen = line.quantize(spare, Image.Quantize.MEDIANCUT, kmeans=1)
    entries = np.array(chosen.getpalette(), np.uint8).reshape(-1, 3)[:spare]
    return np.concatenate([exact, entries])


class Shades:
    """Finds the nearest entry of a palette; what was found once is remembered.

    Args:
        palette: (C, 3) with at most 256 entries.
    """

    def __init__(self, palette: Pixels) -> None:
        self.palette = palette
        self._entry = np.zeros(2**24, np.uint8)
        self._known = np.zeros(2**24, bool)

    def nearest(self, frame: Pixels) -> Pixels:
        """Entries (H, W) for the colours (H, W, 3)."""
        codes = _codes(frame)
        new = np.unique(codes[~self._known[codes]])
        for chunk in np.array_split(new, len(new) // CHUNK + 1):
            colours = _parts(chunk).astype(np.int32)
            away = colours[:, None] - self.palette.astype(np.int32)[None]
            self._entry[chunk] = np.square(away).sum(2).argmin(1)
            self._known[chunk] = True
        return self._entry[codes].reshape(frame.shape[:2])


def _codes(frame: Pixels) -> npt.NDArray[np.int64]:
    """Each colour as one number, flat."""
    packed: npt.NDArray[np.int64] = frame.reshape(-1, 3).astype(np.int64) @ PACKING
    return packed


def _parts(codes: npt.NDArray[np.int64]) -> Pixels:
    """Red, green and blue of colours that were packed into one number."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1).astype(np.uint8)


def open_file(path: Path) -> BinaryIO:
    """A file to write to; raises ``ExportError`` with a sentence."""
    try:
        return path.open("wb")
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from None


FILES: dict[str, Callable[[Path, float], FilmFile]] = {".gif": GifFile, ".mp4": Mp4File}
