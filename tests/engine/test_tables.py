"""Reading the user's tables: every way of writing them, and a sentence for what is no table."""

from __future__ import annotations

import csv
import io
import os
import pickle
import string
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tables import Table, preview, read_table

NAN = float("nan")


def write(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def contents(path: Path, key: str = "") -> dict[str, list[Any]]:
    return {column.name: column.values.tolist() for column in read_table(path, key=key).columns}


def table_or_sentence(path: Path) -> Table | str:
    """The table, or the words of the refusal; anything but a ``ValueError`` fails the test."""
    try:
        return read_table(path)
    except ValueError as error:
        return str(error)


# --- text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("t.csv", "x,y\n1,2\n3,4\n", {"x": [1, 3], "y": [2, 4]}),
        ("t.csv", "1,2\n3,4\n", {"x0": [1, 3], "x1": [2, 4]}),
        ("t.csv", "x,y\r\n1,2\r\n3,4", {"x": [1, 3], "y": [2, 4]}),
        ("t.csv", "\ufeffx,y\n1,2\n", {"x": [1], "y": [2]}),
        ("t.csv", " x , y \n 1 , 2.5e1 \n\n-3, 4\n\n", {"x": [1, -3], "y": [25, 4]}),
        ("t.csv", "x;y\n1,5;2\n-0,25;4\n", {"x": [1.5, -0.25], "y": [2, 4]}),
        ("t.csv", "x;y\n1.5;2\n3;4\n", {"x": [1.5, 3], "y": [2, 4]}),
        ("t.csv", "x|y\n1|2\n3|4\n", {"x": [1, 3], "y": [2, 4]}),
        ("t.tsv", "x\ty\n1\t2\n3\t4\n", {"x": [1, 3], "y": [2, 4]}),
        ("t.tsv", "x\ty\n1,5\t2\n3,25\t4\n", {"x": [1.5, 3.25], "y": [2, 4]}),
        ("t.txt", "x\ty\n1\t2\n3\t4\n", {"x": [1, 3], "y": [2, 4]}),
        ("t.txt", "1.0 2.0\n3.0   4.0\n", {"x0": [1, 3], "x1": [2, 4]}),
        ("t.txt", "# made by hand\n# x y\n1 2\n3 4\n", {"x": [1, 3], "y": [2, 4]}),
        ("t.csv", "# a,b\n1,2\n", {"a": [1], "b": [2]}),
        ("t.csv", "5\n6\n7\n", {"x0": [5, 6, 7]}),
        ("t.csv", "v\n6\n7\n", {"v": [6, 7]}),
        ("t.csv", '"a, b",c\n"1",2\n"3",4\n', {"a, b": [1, 3], "c": [2, 4]}),
        ("t.csv", ",x\n0,5\n1,6\n", {"x0": [0, 1], "x": [5, 6]}),
        ("t.csv", "x,x,x\n1,2,3\n", {"x": [1], "x (2)": [2], "x (3)": [3]}),
        ("t.csv", "x,y\n1,2\n,\n3,4\n", {"x": [1, NAN, 3], "y": [2, NAN, 4]}),
        ("t.csv", "x,y\nNA,2\nnull,?\n3,-\n7,8\n", {"x": [NAN, NAN, 3, 7], "y": [2, NAN, NAN, 8]}),
        ("t.csv", "x\n1\nbad\n3\n4\n", {"x": [1, NAN, 3, 4]}),
        ("t.csv", "x\n1\ninf\n-inf\nNaN\n", {"x": [1, np.inf, -np.inf, NAN]}),
        ("t.csv", "1.5,cat\n2.5,dog\n", {"x0": [1.5, 2.5], "x1": ["cat", "dog"]}),
        ("t.csv", "n,k\n1,cat\n2,NA\n", {"n": [1, 2], "k": ["cat", ""]}),
        ("t.csv", 'n;k\n1,5;"a,b"\n2,5;"c;d"\n', {"n": [1.5, 2.5], "k": ["a,b", "c;d"]}),
        ("t.csv", "id,x\n1_0,1\n2_0,2\n", {"id": ["1_0", "2_0"], "x": [1, 2]}),
        ("t.tsv", "x\ty\n1,234\t2\n", {"x": ["1,234"], "y": [2]}),
    ],
)
def test_ways_of_writing(name: str, text: str, wanted: dict[str, Any], tmp_path: Path) -> None:
    found = contents(write(tmp_path, text, name))
    assert list(found) == list(wanted)
    for column, values in wanted.items():
        np.testing.assert_array_equal(found[column], values)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path, "größe,y\n1,2\n3,4\n", encoding=encoding)
    assert contents(path) == {"größe": [1, 3], "y": [2, 4]}


def test_long_columns_are_joined_from_pieces(tmp_path: Path) -> None:
    n = 120_000
    rows = "\n".join(f"{i},{'a' if i > 60_000 else i}" for i in range(n))
    table = read_table(write(tmp_path, "x,y\n" + rows))
    numbers, mixed = (column.values for column in table.columns)
    np.testing.assert_array_equal(numbers, np.arange(n))
    # A little more than half of the second column are numbers, so the words count as missing.
    np.testing.assert_array_equal(mixed[:60_001], np.arange(60_001))
    assert np.isnan(mixed[60_001:]).all()
    assert table.n_rows == n


CELLS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=1, max_size=12)
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    header=st.booleans(),
    quote=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=60, deadline=None)
def test_any_table_of_numbers_comes_back_exactly(
    rows: list[tuple[float, ...]],
    delimiter: str,
    header: bool,
    quote: bool,
    ending: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    text = io.StringIO(newline="")
    style = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, quoting=style, lineterminator=ending)
    if header:
        writer.writerow([f"column {i}" for i in range(len(rows[0]))])
    writer.writerows([[repr(value) for value in row] for row in rows])
    found = read_table(write(tmp_path_factory.mktemp("t"), text.getvalue()))
    assert [c.name for c in found.columns] == [
        f"column {i}" if header else f"x{i}" for i in range(len(rows[0]))
    ]
    np.testing.assert_array_equal(np.array([c.values for c in found.columns]).T, rows)


@given(text=st.text(st.sampled_from(string.printable + "äΩ\0\ufeff"), max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_table_or_a_clear_refusal(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("t"), text)
    table = table_or_sentence(path)
    if isinstance(table, Table):
        assert len({len(column.values) for column in table.columns}) == 1
        assert len({column.name for column in table.columns}) == len(table.columns)
    else:
        assert "t.csv" in table


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "t.csv is empty; wanted a table as CSV, TSV, NPY or NPZ"),
        ("\n\n", "has no rows"),
        ("x,y\n", "has a header but no rows of data"),
        ("x,y\n1,2\n3\n", "row 3 has 1 values where the first has 2; wanted rows of one length"),
        ("1,2\n3,4,5\n", "row 2 has 3 values where the first has 2"),
        ("a\0b,c\n1,2\n", "is not text"),
    ],
)
def test_text_that_is_no_table(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        read_table(write(tmp_path, text))


# --- NumPy's formats --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int8, np.uint64, bool])
def test_npy_of_any_number(kind: type, tmp_path: Path) -> None:
    array = np.array([[1, 0, 1], [0, 1, 1]], dtype=kind)
    np.save(tmp_path / "a.npy", array)
    table = read_table(tmp_path / "a.npy")
    assert table.format == "npy"
    assert [column.name for column in table.columns] == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(np.array([c.values for c in table.columns]).T, array)
    assert table.columns[0].values.dtype == np.float64


def test_npy_vectors_and_records(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(4.0))
    assert contents(tmp_path / "v.npy") == {"x0": [0, 1, 2, 3]}
    np.save(tmp_path / "r.npy", np.array([(1, 2.5), (3, NAN)], dtype=[("n", int), ("v", float)]))
    found = contents(tmp_path / "r.npy")
    assert found["n"] == [1, 3]
    np.testing.assert_array_equal(found["v"], [2.5, NAN])


def test_fortran_order_and_a_wrong_suffix_do_not_matter(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    with (tmp_path / "a.dat").open("wb") as file:
        np.save(file, array)
    assert contents(tmp_path / "a.dat") == {"x0": [0, 2, 4], "x1": [1, 3, 5]}


def test_npz_takes_the_chosen_array_or_the_first_table(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, cube=np.zeros((2, 2, 2)), line=np.arange(3), grid=np.eye(2))
    table = read_table(path)
    assert (table.format, table.key) == ("npz", "grid")
    assert table.arrays == {"cube": (2, 2, 2), "line": (3,), "grid": (2, 2)}
    assert contents(path, "line") == {"x0": [0, 1, 2]}
    with pytest.raises(ValueError, match="has no array 'mesh'; it has: cube, line, grid"):
        read_table(path, key="mesh")
    with pytest.raises(ValueError, match=r"cube has shape \(2, 2, 2\); wanted rows and columns"):
        read_table(path, key="cube")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 3, 4)), r"has shape \(2, 3, 4\); wanted rows and columns, that is \(N, D\)"),
        (np.array(3.0), r"has shape \(\)"),
        (np.zeros((0, 2)), r"has shape \(0, 2\), which is empty"),
        (np.zeros((2, 2), complex), "holds values of type complex128; wanted real numbers"),
        (np.array([["a", "b"]]), "wanted real numbers"),
    ],
)
def test_arrays_that_are_no_table(array: Any, words: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=words):
        read_table(tmp_path / "a.npy")


class Bomb:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_pickles_are_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    objects = np.array([[Bomb(mark)]], dtype=object)
    np.save(tmp_path / "o.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "o.npz", a=objects)
    (tmp_path / "o.pkl").write_bytes(pickle.dumps(Bomb(mark)))
    for name in ("o.npy", "o.npz", "o.pkl"):
        with pytest.raises(ValueError, match="never runs code from a file"):
            read_table(tmp_path / name)
    assert not mark.exists()


def test_an_archive_is_read_around_its_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", a=np.array([{}], dtype=object), b=np.eye(2))
    assert read_table(tmp_path / "o.npz").key == "b"


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((50, 2)))
    whole = (tmp_path / "a.npy").read_bytes()
    for length in (8, 20, 100, len(whole) - 1):
        (tmp_path / "a.npy").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.npy is damaged or truncated"):
            read_table(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", a=np.zeros((50, 2)))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is a damaged archive"):
        read_table(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"hello")
    with pytest.raises(ValueError, match="is not a NumPy file, or it is damaged"):
        read_table(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(ValueError, match="is an archive without NumPy arrays"):
        read_table(tmp_path / "a.xlsx")


@pytest.mark.parametrize("seed", range(100))
def test_flipped_bytes_never_escape_as_another_error(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    for name in ("a.npy", "a.npz"):
        path = tmp_path / name
        (np.save if name == "a.npy" else np.savez_compressed)(path, rng.normal(size=(20, 2)))
        raw = bytearray(path.read_bytes())
        for place in rng.integers(0, len(raw), 4):
            raw[place] = rng.integers(256)
        path.write_bytes(raw)
        found = table_or_sentence(path)
        assert isinstance(found, Table) or name in found


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is no ordinary file; wanted a table"):
            read_table(path)
    with pytest.raises(ValueError, match="no file was given"):
        read_table("a\0b.csv")
    with pytest.raises(ValueError, match="cannot be read"):
        read_table("x" * 5000)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*gone\.csv; wanted a table"):
        read_table(tmp_path / "gone.csv")
    with pytest.raises(ValueError, match="is a folder; wanted a table"):
        read_table(tmp_path)


# --- preview ----------------------------------------------------------------------------------


def test_preview_shows_columns_rows_and_what_is_missing(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'' if i == 2 else i / 3},n{i},\n" for i in range(8))
    shown = preview(write(tmp_path, "i,third,name,void\n" + rows))
    assert (shown.format, shown.n_rows) == ("csv", 8)
    assert [(c.name, c.kind, c.n_missing) for c in shown.columns] == [
        ("i", "number", 0), ("third", "number", 1), ("name", "text", 0), ("void", "empty", 8),
    ]  # fmt: skip
    assert len(shown.rows) == 5
    assert shown.rows[1] == ("1", "0.333333", "n1", "nan")


def test_preview_lists_the_arrays_of_an_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", u=np.zeros((4, 2)), v=np.ones(3))
    shown = preview(tmp_path / "a.npz")
    assert shown.arrays == ("u (4, 2)", "v (3,)")
    assert (shown.key, shown.n_rows) == ("u", 4)
    assert preview(tmp_path / "a.npz", key="v").n_rows == 3
