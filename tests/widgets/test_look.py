"""Every word must stand out from what it is written on, in both themes (WCAG 2.2, 1.4.3)."""

from __future__ import annotations

import numpy as np
import pytest

from widgets.look import DARK, LIGHT, PALETTES, Palette
from widgets.plots.colours import mix, rgb

SURFACES = ("window", "panel", "raised")
#: Smallest ratio for text, and for marks such as dots and lines.
TEXT, MARK = 4.5, 3.0


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, as WCAG defines it."""
    channels = np.array(rgb(colour), dtype=np.float64) / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("role", ["text", "muted", "accent", "error", "warning", "good"])
@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_words_can_be_read(palette: Palette, role: str, surface: str) -> None:
    assert contrast(getattr(palette, role), getattr(palette, surface)) >= TEXT


@pytest.mark.parametrize("role", ["data", "model", "truth"])
@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_roles_can_be_read_as_titles_and_seen_as_marks(palette: Palette, role: str) -> None:
    colour = getattr(palette, role)
    assert contrast(colour, palette.panel) >= TEXT
    assert min(contrast(colour, getattr(palette, s)) for s in SURFACES) >= MARK


def test_words_on_the_accent_can_be_read() -> None:
    for palette in (DARK, LIGHT):
        assert contrast(palette.panel, palette.accent) >= TEXT


def test_a_faded_colour_would_fail() -> None:
    assert contrast(mix(LIGHT.panel, LIGHT.muted, 0.5), LIGHT.panel) < TEXT
