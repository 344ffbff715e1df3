"""The commands of the shell: list, train, evaluate, sample, render, script, doctor.

With ``--json`` a command writes one JSON object on stdout and nothing else; progress and
complaints go to stderr.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import COMMANDS, INTERRUPTED, complain
from app.shell_engine import ShellEngine, ShellError
from app.shell_sessions import choose_run

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A desktop explorer for deep generative models. Without a command the window opens, "
    "with a FILE that saved run in it.",
)
#: typer's base of all complaints about arguments; typer exports only its descendants.
UsageError: Any = typer.BadParameter.__mro__[2]

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
SavedRun = Annotated[
    Path, typer.Argument(metavar="FILE", help="A saved run (.safetensors) or session (.genscope).")
]
Run = Annotated[
    int,
    typer.Option(
        "--run", min=1, callback=choose_run, help="Which run of a session, counted from 1."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting of the model; may be repeated."),
]
DataSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--data-set", metavar="KEY=VALUE", help="A setting of the data set; may be repeated."
    ),
]


#: Largest seed and number of steps: torch and the wire count to here.
LARGEST = 2**62
TOUR = Path("tour")
SHOTS = Path("shots")


def run_command(arguments: Sequence[str]) -> int:
    """Parse and carry out one command; returns the exit code."""
    command = typer.main.get_command(app)
    try:
        outcome = command.main(
            args=list(arguments), prog_name="python main.py", standalone_mode=False
        )
    except UsageError as error:
        return complain(error.format_message().strip())
    except ShellError as error:
        return complain(str(error))
    except typer.Abort:
        return INTERRUPTED
    return outcome if isinstance(outcome, int) else 0


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from app.doctor import versions

        typer.echo(f"genscope {versions()['genscope']}")
    elif context.invoked_subcommand is None:
        raise typer.BadParameter(f"given no command, wanted one of: {', '.join(COMMANDS)}")


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="models, datasets, probes, devices, or all of them.")
    ] = "all",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The README's table of models.")
    ] = False,
    json: Json = False,
) -> None:
    """What there is: models, data sets, probes and devices."""
    from app import shell_lists

    shell_lists.check_kind(what)
    if markdown and json:
        raise ShellError("list: given --markdown and --json, wanted one of them")
    with ShellEngine() as engine:
        hello = engine.hello
    shell_lists.show(hello, what, markdown=markdown, json=json)


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="A model's name; see 'list models'.")],
    *,
    data: Annotated[
        str, typer.Option(help="A data set's name, or a CSV, TSV, NPY or NPZ file of yours.")
    ],
    steps: Annotated[int, typer.Option(min=0, max=LARGEST, help="Training steps.")],
    out: Annotated[Path, typer.Option(help="Where to save the run (.safetensors).")],
    seed: Annotated[int, typer.Option(min=0, max=LARGEST, help="Same seed, same run.")] = 0,
    settings: Settings = None,
    data_settings: DataSettings = None,
    device: Device = "auto",
    json: Json = False,
) -> int:
    """Train a model and save the run; Ctrl+C saves what there is."""
    from app import shell_train

    job = shell_train.Job(
        model, data, steps, seed, out, tuple(settings or ()), tuple(data_settings or ()), device
    )
    return shell_train.train(job, json=json)


@app.command()
def evaluate(
    file: SavedRun,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    run: Run = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """How good a saved run is: held-out score, entropy floor, divergence from the truth."""
    from app import shell_files

    shell_files.evaluate(file, split, device, json=json)


@app.command()
def sample(
    file: SavedRun,
    *,
    n: Annotated[int, typer.Option("-n", min=1, max=1_000_000, help="How many.")],
    out: Annotated[Path, typer.Option(help="Where to put them: .npy, .npz or .csv.")],
    seed: Annotated[int, typer.Option(min=0, max=LARGEST, help="Same seed, same samples.")] = 0,
    run: Run = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Draw from a saved run into a file."""
    from app import shell_files

    shell_files.sample(file, n, out, seed, device, json=json)


@app.command()
def render(
    panel: Annotated[str, typer.Argument(help="A panel's name, such as density.")],
    file: SavedRun,
    *,
    out: Annotated[
        Path,
        typer.Option(
            help="Where to: .png, .svg, .pdf, its numbers as .npz, a film as .gif, .mp4."
        ),
    ],
    size: Annotated[str, typer.Option(help="Width and height in pixels.")] = "1280x720",
    theme: Annotated[str, typer.Option(help="dark or light.")] = "dark",
    scale: Annotated[float, typer.Option(help="Pixels for each of the size, 1 to 8.")] = 1.0,
    step: Annotated[
        int | None, typer.Option(help="A training step before the file's own.")
    ] = None,
    frames: Annotated[int, typer.Option(help="Of a film: how many at most.")] = 60,
    seconds: Annotated[float | None, typer.Option(help="Of a film: how long it takes.")] = None,
    run: Run = 1,
    json: Json = False,
) -> None:
    """Draw one panel of a saved run into a picture, its numbers or a film, without a window."""
    from app import shell_export
    from app.shell_files import parse_size

    sides = parse_size(size)
    wish = shell_export.Wish(panel, file, out, sides, theme, scale, step, frames, seconds)
    shell_export.render(wish, json=json)


@app.command()
def script(
    file: SavedRun,
    out: Annotated[Path, typer.Option(help="Where to put the program (.py).")],
    panel: Annotated[str, typer.Option(help="The panel whose numbers it makes.")] = "density",
    json: Json = False,
) -> None:
    """A saved run as a Python program that gives the numbers of a panel."""
    from app import shell_export

    shell_export.script(file, out, panel, json=json)


@app.command()
def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A saved run or session to examine.")
    ] = None,
    run: Run = 1,
    json: Json = False,
) -> int:
    """What this machine has; with a FILE: whether the laws hold for the model in it."""
    from app import doctor as doctor_

    return doctor_.examine(file, json=json) if file else doctor_.describe(json=json)


@app.command()
def tour(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A saved run to show.")
    ] = None,
    out: Annotated[Path, typer.Option(help="A folder for the pictures.")] = TOUR,
) -> int:
    """Every panel as a picture, and one animated picture, without a display."""
    from app.shell_inputs import readable_file
    from app.tour import run_tour

    return run_tour(readable_file(file) if file else None, out)


@app.command()
def shots(
    out: Annotated[Path, typer.Option(help="A folder for the pictures.")] = SHOTS,
) -> int:
    """Every panel with every model, both themes, two sizes."""
    from app.tour import run_shots

    return run_shots(out)
