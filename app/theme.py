"""The window's style sheet and application font, made from the look that panels use."""

from __future__ import annotations

from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication

from widgets.look import Look, Palette


def apply(application: QApplication, look: Look) -> None:
    """Give the whole application the look's palette, font size and style sheet."""
    application.setStyle("Fusion")
    font = QFont(application.font())
    font.setPointSizeF(look.font_points)
    application.setFont(font)
    application.setPalette(_qt_palette(look.palette))
    application.setStyleSheet(style_sheet(look))


def _qt_palette(colours: Palette) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for which, colour in (
        (role.Window, colours.window),
        (role.WindowText, colours.text),
        (role.Base, colours.panel),
        (role.AlternateBase, colours.raised),
        (role.Text, colours.text),
        (role.Button, colours.raised),
        (role.ButtonText, colours.text),
        (role.ToolTipBase, colours.raised),
        (role.ToolTipText, colours.text),
        (role.Highlight, colours.accent),
        (role.HighlightedText, colours.panel),
        (role.PlaceholderText, colours.muted),
        (role.Link, colours.accent),
    ):
        palette.setColor(which, QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor(colours.muted))
    return palette


def style_sheet(look: Look) -> str:
    """Quiet chrome: flat surfaces, one accent colour, sizes in the current scale."""
    c, px = look.palette, look.px
    return f"""
    QMainWindow, QDialog {{ background: {c.window}; }}
    QMainWindow::separator {{ background: {c.window}; width: {px(5)}px; height: {px(5)}px; }}
    QMainWindow::separator:hover {{ background: {c.accent}; }}
    QDockWidget {{ color: {c.muted}; font-weight: 600; }}
    QDockWidget::title {{ background: {c.window}; padding: {px(4)}px {px(8)}px; }}
    QDockWidget > QWidget {{ background: {c.panel}; }}
    QToolBar {{ background: {c.window}; border: none; padding: {px(2)}px; spacing: {px(4)}px; }}
    QStatusBar {{ background: {c.window}; color: {c.muted}; }}
    QStatusBar::item {{ border: none; }}
    QMenuBar, QMenu {{ background: {c.window}; color: {c.text}; }}
    QMenuBar::item:selected, QMenu::item:selected {{ background: {c.raised}; }}
    QMenu {{ border: 1px solid {c.border}; }}
    QMenu::item {{ padding: {px(5)}px {px(24)}px; }}
    QMenu::item:disabled {{ color: {c.muted}; }}
    QPushButton {{ background: {c.raised}; border: 1px solid {c.border};
        border-radius: {px(4)}px; padding: {px(4)}px {px(12)}px; }}
    QPushButton:hover, QToolButton:hover {{ border-color: {c.accent}; }}
    QPushButton:focus, QToolButton:focus {{ border: 1px solid {c.accent}; }}
    QPushButton:default {{ background: {c.accent}; color: {c.panel}; }}
    QPushButton:disabled {{ color: {c.muted}; }}
    QToolButton {{ background: transparent; border: 1px solid transparent;
        border-radius: {px(4)}px; padding: {px(3)}px; }}
    QToolButton:checked {{ background: {c.raised}; border-color: {c.accent}; }}
    QLineEdit {{ background: {c.raised}; border: 1px solid {c.border};
        border-radius: {px(4)}px; padding: {px(2)}px {px(6)}px; min-height: {px(20)}px; }}
    QLineEdit:focus {{ border-color: {c.accent}; }}
    QScrollArea {{ border: none; background: transparent; }}
    QScrollBar:vertical {{ background: transparent; width: {px(10)}px; margin: 0; }}
    QScrollBar::handle:vertical {{ background: {c.border}; border-radius: {px(4)}px;
        min-height: {px(24)}px; }}
    QScrollBar:horizontal {{ background: transparent; height: {px(10)}px; margin: 0; }}
    QScrollBar::handle:horizontal {{ background: {c.border}; border-radius: {px(4)}px;
        min-width: {px(24)}px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QTabBar::tab {{ background: {c.window}; color: {c.muted};
        padding: {px(5)}px {px(12)}px; border: none; }}
    QTabBar::tab:selected {{ color: {c.text}; border-bottom: 2px solid {c.accent}; }}
    QTabWidget::pane {{ border: none; }}
    QToolTip {{ background: {c.raised}; color: {c.text}; border: 1px solid {c.border};
        padding: {px(4)}px; }}
    QSlider::groove:horizontal {{ background: {c.border}; height: {px(4)}px;
        border-radius: {px(2)}px; }}
    QSlider::handle:horizontal {{ background: {c.accent}; width: {px(12)}px;
        margin: -{px(4)}px 0; border-radius: {px(6)}px; }}
    QSlider::sub-page:horizontal {{ background: {c.accent}; border-radius: {px(2)}px; }}
    QGroupBox {{ border: none; margin-top: {px(18)}px; font-weight: 600; }}
    QGroupBox::title {{ subcontrol-origin: margin; color: {c.muted}; }}
    """
