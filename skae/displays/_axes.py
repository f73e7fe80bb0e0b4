"""What all displays ask of matplotlib: axes to draw in, colors, titles that fit, images."""

import textwrap
from typing import Any

import numpy as np

# Ten colors that stay apart in all common forms of color blindness: M. Petroff, "Accessible Color
# Sequences for Data Visualization", 2021, arXiv:2107.02270.
COLORS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
# Differences below and above zero: a colormap that is white in the middle.
DIVERGING = "RdBu_r"
SMALL = 8  # points; the size of text beside the axes
CHARACTERS_PER_INCH = 12  # of a title in matplotlib's default font at TITLE points
TITLE = 11
LABEL_INCHES = 1.5  # of the labels of rows of images


def single(ax: Any, figsize: tuple[float, float], layout: str = "constrained") -> Any:
    """Return the axes to draw in, in a new figure if there are none."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout=layout)
    return ax


def grid(ax: Any, present: np.ndarray, figsize: tuple[float, float], **options: Any) -> tuple:
    """Return the axes that bound a grid, and the grid, with None where `present` is false.

    As in :class:`~sklearn.inspection.PartialDependenceDisplay`, a single Axes is divided, and an
    array of them is drawn into.
    """
    from matplotlib.axes import Axes
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    axes = np.full(present.shape, None, dtype=object)
    bounding = single(ax, figsize) if ax is None or isinstance(ax, Axes) else None
    if bounding is None:
        given = [one for one in np.asarray(ax, dtype=object).ravel() if one is not None]
        if len(given) != present.sum():
            raise ValueError(f"Expected ax to have {present.sum()} axes, got {len(given)}")
        axes[present] = given
        return None, axes
    if not bounding.axison:
        raise ValueError(
            "The ax was already used in another plot function, please set ax=display.axes_ instead"
        )
    bounding.set_axis_off()
    spec = bounding.get_subplotspec()
    if spec is None:
        raise ValueError("An ax that is to be divided must come from plt.subplots or add_subplot.")
    n_rows, n_columns = present.shape
    cells = GridSpecFromSubplotSpec(n_rows, n_columns, subplot_spec=spec, **options)
    for row, column in np.argwhere(present):
        axes[row, column] = bounding.figure.add_subplot(cells[row, column])
    return bounding, axes


def set_title(ax: Any, title: str, inches_left: float = 1.0) -> None:
    """Set a title, broken into lines where it would be wider than the axes.

    A layout is made when the figure is drawn, and leaves these inches for the labels.
    """
    width = ax.get_position(original=True).width * ax.figure.get_figwidth()
    if ax.figure.get_layout_engine() is not None:
        # Before the layout, axes take this part of their column.
        width = width / 0.775 - inches_left
    ax.set_title(_broken(title, width), loc="left", fontsize=TITLE)


def set_grid_title(axes: Any, title: str) -> None:
    """Set the title of a grid, over those of the panels in its first row.

    A layout reserves no space for a title of the axes around a grid, and would move the first
    column apart for a wide title of the first panel. So an empty title reserves the height.
    """
    first = axes[0, 0]
    boxes = [ax.get_position() for ax in axes.ravel() if ax is not None]
    width = max(box.x1 for box in boxes) - min(box.x0 for box in boxes)
    title = _broken(title, width * first.figure.get_figwidth())
    panels = bool(first.get_title())
    n_lines = title.count("\n") + panels
    first.set_title("\n" * n_lines + " ", loc="right", fontsize=TITLE)
    first.annotate(
        title,
        (0, 1),
        xytext=(0, (1.45 if panels else 0.5) * TITLE),
        xycoords="axes fraction",
        textcoords="offset points",
        verticalalignment="bottom",
        fontsize=TITLE,
        annotation_clip=False,
    ).set_in_layout(False)


def _broken(title, inches):
    width = max(20, int(inches * CHARACTERS_PER_INCH))
    return "\n".join(textwrap.fill(line, width) for line in title.split("\n"))


def despine(ax: Any) -> None:
    """Leave the two axes where numbers are read."""
    ax.spines[["top", "right"]].set_visible(False)


def shorten(names: Any, width: int = 24) -> list[str]:
    """Return names that fit beside bars."""
    return [name if len(name) <= width else f"{name[: width - 1]}…" for name in map(str, names)]


def limits(values: np.ndarray) -> tuple[float, float]:
    """Return the range of finite values, which is never empty."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


class Mosaic:
    """Rows of images of the same size, drawn as a single image with gaps.

    Axes for each image would take a second for 40 components, and layouts would move them apart.
    """

    def __init__(self, image_shape: tuple, n_columns: int) -> None:
        self.shape = image_shape
        self.n_columns = n_columns
        self.height, self.width = image_shape[:2]
        self.gap = max(1, round(0.08 * max(self.height, self.width)))

    def assemble(self, rows: np.ndarray, *, signed: bool = False) -> np.ndarray:
        """Return an image of images, given (n_rows, n_columns, n_features) values.

        Gaps are NaN, and transparent in images with three channels. Signed values of channels are
        averaged, since there is no color for a negative channel.
        """
        n_rows = len(rows)
        images = rows.reshape(n_rows, self.n_columns, self.height, self.width, -1).astype(float)
        if signed or images.shape[-1] == 1:
            images = images.mean(axis=-1, keepdims=True)
        margins = ((0, 0), (0, 0), (0, self.gap), (0, self.gap), (0, 0))
        images = np.pad(images, margins, constant_values=np.nan)
        tiles = images.transpose(0, 2, 1, 3, 4).reshape(
            n_rows * self.pitch[0], self.n_columns * self.pitch[1], -1
        )[: -self.gap, : -self.gap]
        return tiles[..., 0] if tiles.shape[-1] == 1 else tiles

    @property
    def pitch(self) -> tuple[int, int]:
        """The distances between the upper left corners of neighbors."""
        return self.height + self.gap, self.width + self.gap

    def draw(self, ax: Any, rows: np.ndarray, first: int, scale: tuple, **options: Any) -> Any:
        """Draw rows of images below the first ones, and return the artist."""
        low, high = scale
        image = self.assemble(rows, signed=options.get("cmap") == DIVERGING)
        if image.ndim == 3:
            image = np.clip((image - low) / (high - low), 0, 1)
            image = np.dstack([np.nan_to_num(image), ~np.isnan(image[..., :1])])
        top = first * self.pitch[0]
        extent = (0, image.shape[1], top + image.shape[0], top)
        drawn = ax.imshow(
            image, vmin=low, vmax=high, extent=extent, interpolation="nearest", **options
        )
        ax.set(xlim=(0, image.shape[1]), ylim=(top + image.shape[0], 0))
        return drawn

    def label(self, ax: Any, rows: list[str], columns: list[str]) -> None:
        """Label the rows and columns, in place of numbers of pixels."""
        ax.set_yticks(np.arange(len(rows)) * self.pitch[0] + self.height / 2, rows)
        ax.set_xticks(np.arange(len(columns)) * self.pitch[1] + self.width / 2, columns)
        ax.tick_params(length=0, labelsize=SMALL)
        ax.spines[:].set_visible(False)

    def figsize(self, n_rows: int, inches: float, above: float = 0.9) -> tuple[float, float]:
        """Return the size of a figure with images of some inches, and some above and below."""
        ratio = self.pitch[0] / self.pitch[1]
        width = 1.7 + inches * self.n_columns + 2 * self.spare(inches)
        return width, above + inches * ratio * n_rows

    def spare(self, inches: float) -> float:
        """Return the inches on each side of few columns, which leave room for a title."""
        return max(0.0, 3.3 - inches * self.n_columns) / 2
