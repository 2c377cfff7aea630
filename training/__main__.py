"""The steps: `prepare` lessons, `teach` a student, `export` it, `separate`: measure."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from training.export import export as write
from training.lessons import Basis, Preparation, Views, load
from training.loop import Course, Stage, Teaching, basis_of
from training.pictures import Pictures
from training.separation import separation

app = typer.Typer(no_args_is_help=True, add_completion=False)

Views_ = Annotated[Path, typer.Argument(help="folder that `prepare` wrote")]
Run = Annotated[Path, typer.Argument(help="folder of the checkpoint")]


@app.command()
def prepare(
    pictures: Annotated[Path, typer.Argument(help="folder or pack of pictures")],
    folder: Annotated[Path, typer.Argument(help="where lessons go")],
    size: Annotated[int, typer.Option(help="pixels that the student sees")] = 128,
    views: Annotated[int, typer.Option(help="of each picture")] = 6,
    seed: Annotated[int, typer.Option(help="of the crops")] = 0,
) -> None:
    """Draw views of pictures, and keep what the teacher makes of them."""
    device = _device()
    work = Preparation(Pictures(pictures), folder, size, views, seed)
    work.run(device)


@app.command()
def teach(
    lessons: Views_,
    run: Run,
    stage: Annotated[str, typer.Option(help="a name; the same goes on")] = "first",
    size: Annotated[int, typer.Option(help="pixels that the student sees")] = 96,
    steps: Annotated[int, typer.Option(help="of 192 views")] = 6000,
    rate: Annotated[float, typer.Option(help="the highest learning rate")] = 1e-3,
) -> None:
    """Take a student through a stage; what was cut off is gone on with."""
    run.mkdir(parents=True, exist_ok=True)
    views = load(lessons)
    course = Course.begin(run, _device())
    teaching = Teaching(views, _basis(run, views), run)
    teaching.run(course, Stage(stage, size, steps, rate=rate))
    typer.echo(f"{course.stage}: step {course.step} of {steps}, {course.seen} views")


@app.command()
def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="where the model goes")],
    size: Annotated[int, typer.Option(help="pixels that pictures are shown at")] = 160,
) -> None:
    """Write the averaged student in Hugging Face's layout."""
    least = write(Course.begin(run, torch.device("cpu")).average, folder, size)
    typer.echo(f"{folder}: least cosine of float16 and float32 {least:.6f}")


@app.command()
def separate(
    model: Annotated[Path, typer.Argument(help="folder of a model")],
    objects: Annotated[Path, typer.Argument(help="pictures of objects on white")],
    backgrounds: Annotated[Path, typer.Argument(help="any other pictures")],
) -> None:
    """Measure whether patches of an object are found again elsewhere."""
    found = separation(model, Pictures(objects), Pictures(backgrounds))
    typer.echo(f"area under the ROC curve, chance is 0.5: {found:.3f}")


def _basis(run: Path, views: Views) -> Basis:
    """Return the basis of the first lessons: all stages learn in the same."""
    path = run / "basis.npz"
    if not path.exists():
        basis_of(views).save(path)
    return Basis.load(path)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    app()
