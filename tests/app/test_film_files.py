"""GIF and MP4: frames come back, twice the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from PySide6.QtGui import QColor, QImage

from app.export_pictures import ExportError
from app.film_files import FILES, Pixels, Shades, palette_of, pixels


def frames(count: int = 8) -> list[Pixels]:
    shade = np.linspace(0, 255, 120)[None, :, None] * np.array([0.2, 0.5, 1.0])
    made = []
    for index in range(count):
        frame = np.zeros((80, 160, 3), np.uint8)
        frame[40:70, 20:140] = shade.astype(np.uint8)
        frame[5:25, 10 * index : 10 * index + 20] = (200, 100, 30)
        made.append(frame)
    return made


def write(path: Path, made: list[Pixels], seconds: float = 0.1) -> bytes:
    file = FILES[path.suffix](path, seconds)
    file.begin([made[0], made[-1]])
    for frame in made:
        file.add(frame)
    file.finish()
    return path.read_bytes()


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_twice_the_same_bytes(tmp_path: Path, ending: str) -> None:
    first = write(tmp_path / f"a{ending}", frames())
    assert write(tmp_path / f"b{ending}", frames()) == first
    assert write(tmp_path / f"c{ending}", frames()[::-1]) != first


def test_a_gif_holds_every_frame(tmp_path: Path) -> None:
    made = frames()
    assert write(tmp_path / "film.gif", made, 0.25).startswith(b"GIF89a")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == len(made)  # type: ignore[attr-defined]
        assert film.info["loop"] == 0
        for index, frame in enumerate(made):
            film.seek(index)
            wrong = np.abs(np.asarray(film.convert("RGB")).astype(int) - frame)
            assert wrong.max() <= 2
            assert film.info["duration"] == (250 if index < len(made) - 1 else 1750)


def test_frames_that_do_not_change_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "still.gif", [frames()[0]] * 5)
    with Image.open(tmp_path / "still.gif") as film:
        assert film.n_frames == 5  # type: ignore[attr-defined]


def test_an_mp4_holds_every_frame(tmp_path: Path) -> None:
    made = frames()
    assert write(tmp_path / "film.mp4", made, 0.2)[4:8] == b"ftyp"
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert film.streams.video[0].average_rate == 5
        found = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(found) == len(made)
    for frame, wanted in zip(found, made, strict=True):
        assert np.abs(frame.astype(int) - wanted).mean() < 4


def test_common_colours_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (200, 200, 3)).astype(np.uint8)
    frame[:100] = (27, 30, 37)
    palette = palette_of(frame)
    assert len(palette) <= 256
    shades = Shades(palette)
    entries = shades.nearest(frame)
    assert (palette[entries[:100]] == (27, 30, 37)).all()
    away = np.square(frame[150, :5, None].astype(int) - palette[None].astype(int)).sum(2)
    assert (entries[150, :5] == away.argmin(1)).all()


def test_pictures_are_cut_to_even_sides(qtbot: Any) -> None:
    image = QImage(7, 5, QImage.Format.Format_RGB32)
    image.fill(QColor(10, 20, 30))
    frame = pixels(image)
    assert frame.shape == (4, 6, 3)
    assert (frame == (10, 20, 30)).all()


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_a_folder_that_is_not_there(tmp_path: Path, ending: str) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        FILES[ending](tmp_path / "no" / f"film{ending}", 0.1)
