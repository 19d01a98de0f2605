"""What the sections of the lesson share: backends, digits, texts, and a way to draw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gradparity.backends import Backend, available_backends, get_backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.pytrees import PyTree
from gradparity.models import Dataset, TrainingRun, TwoLayerNet, load_mnist, shrink, train

from ..drawing.drawing import Drawing, draw
from ..drawing.house_style import power_of_ten
from ..drawing.languages import Markup, Text, Words, every_language, in_language, to_markup
from ..drawing.page import Notice, Paragraph, Picture
from .formulas import FORMULAS
from .texts import Language, read_language, read_languages

LESSON_BACKENDS = ("numerical", "jax", "torch")
# The race of all backends: digits of 7x7 pixels, so that differences can keep up.
POCKET_SIDE = 7
POCKET_NET = TwoLayerNet(POCKET_SIDE**2, 10, 10, weight_init_std=0.3)
BOOK_NET = TwoLayerNet()
BOOK_STEPS = 10_000

# Steps of a training that only tells how fast it is.
PROBE_STEPS = 5

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Budget:
    """The steps of a training; fewer where all backends together would exceed the seconds."""

    steps: int
    seconds: float | None = None

    def steps_at(self, pace: float) -> int:
        """Return how many steps there are, where one takes `pace` seconds."""
        if self.seconds is None or pace * self.steps <= self.seconds:
            return self.steps
        return max(PROBE_STEPS, int(self.seconds / pace))


@dataclass(frozen=True, eq=False)
class Lesson:
    """One making of the lesson.

    backends: those at hand, in float64; missing: why the others are not, by name
    data: as `load_mnist` takes it; quick: cut trainings short
    languages: of the page, the one to begin with first
    progress: told what is being done
    """

    backends: Mapping[str, Backend]
    missing: Mapping[str, str] = field(default_factory=dict)
    data: str = "embedded"
    quick: bool = False
    languages: Sequence[Language] = field(default_factory=lambda: read_languages("en"))
    progress: Progress = lambda doing: None

    @classmethod
    def with_what_is_here(cls, **settings: Any) -> "Lesson":
        """Return a lesson with every backend of the lesson that can be loaded."""
        known = {info.name: info for info in available_backends() if info.name in LESSON_BACKENDS}
        missing = {name: info.unavailable for name, info in known.items() if info.unavailable}
        return cls(
            backends={name: get_backend(name) for name in LESSON_BACKENDS if name not in missing},
            missing=missing,
            **settings,
        )

    # What is computed once and used in several sections.

    @property
    def autodiff(self) -> dict[str, Backend]:
        """The backends that can train a net of full size."""
        return {name: backend for name, backend in self.backends.items() if name != "numerical"}

    def gradients(
        self,
        f: ModelFunction,
        params: PyTree,
        *args: PyTree,
        backends: Mapping[str, Backend] | None = None,
    ) -> dict[str, PyTree]:
        """Return the gradient of f by the backends, all of them by default, in NumPy arrays."""
        engines = self.differentiators(f, backends)
        return {name: engine(params, *args) for name, engine in engines.items()}

    def differentiators(
        self, f: ModelFunction, backends: Mapping[str, Backend] | None = None
    ) -> dict[str, Callable[..., PyTree]]:
        """Return what gives the gradient of f by each backend, for several points of one shape."""

        def by(backend: Backend) -> Callable[..., PyTree]:
            compiled = backend.compile(backend.value_and_gradient(f))
            return lambda *args: backend.to_numpy(compiled(*args)[1])

        return {name: by(backend) for name, backend in (backends or self.backends).items()}

    @cached_property
    def digits(self) -> Dataset:
        return load_mnist(self.data)

    @cached_property
    def pocket_digits(self) -> Dataset:
        """The digits shrunk to 7x7 pixels."""
        return shrink(self.digits, POCKET_SIDE)

    @cached_property
    def race(self) -> dict[str, TrainingRun]:
        """The small net, trained by every backend on the same batches."""
        budget = Budget(10) if self.quick else Budget(200, seconds=20.0)
        return self._train(POCKET_NET, self.pocket_digits, self.backends, 2.0, budget)

    @cached_property
    def book_training(self) -> dict[str, TrainingRun]:
        """The book's training, float32, by every backend that can."""
        budget = Budget(250) if self.quick else Budget(BOOK_STEPS, seconds=80.0)
        backends = {name: get_backend(name, dtype="float32") for name in self.autodiff}
        return self._train(BOOK_NET, self.digits, backends, 0.1, budget)

    def _train(
        self,
        net: TwoLayerNet,
        digits: Dataset,
        backends: Mapping[str, Backend],
        learning_rate: float,
        budget: Budget,
    ) -> dict[str, TrainingRun]:
        """Train with each backend, as many steps as the budget has for all of them."""

        def trained(backend: Backend, steps: int) -> TrainingRun:
            shape = f"{net.input_size}-{net.hidden_size}-{net.output_size}"
            self.progress(f"{backend.name}: {steps:,} steps of {shape}")
            return train(net, digits, backend, steps=steps, learning_rate=learning_rate)

        pace = 0.0
        for backend in backends.values() if budget.seconds is not None else ():
            # The first training may compile; the second one tells how long a step takes.
            trial = [trained(backend, PROBE_STEPS) for _ in range(2)][-1]
            pace += float(trial.epoch_seconds.sum()) / trial.steps
        steps = budget.steps_at(pace)
        return {name: trained(backend, steps) for name, backend in backends.items()}

    # Words and figures.

    def text(self, key: str, **values: object) -> Text:
        """Return a text with its formulas and values set in, as markup, in every language."""

        def filled(language: Language) -> Markup:
            escaped = {
                name: to_markup(in_language(as_text(value), language.code))
                for name, value in values.items()
            }
            return Markup(language.texts[key].format_map({**FORMULAS, **escaped}))

        return self._every_language(filled)

    def plain(self, key: str, **values: object) -> Text:
        """Return a text that is no HTML, such as one for a screen reader, in every language."""

        def filled(language: Language) -> str:
            said = {
                name: in_language(as_text(value), language.code) for name, value in values.items()
            }
            return language.texts[key].format_map(said)

        return self._every_language(filled)

    def unfilled(self, section: str, *names: str) -> dict[str, Text]:
        """Return texts of a section by their names, for a script to set its values in."""

        def of(key: str) -> Text:
            return self._every_language(lambda language: language.texts[key])

        return {name: of(f"{section}.{name}") for name in names}

    def label(self, key: str) -> Text:
        """Return a label of figures, or of the page's frame, in every language."""
        return self._every_language(lambda language: language.labels[key])

    def _every_language(self, write: Callable[[Language], str]) -> Text:
        languages = {language.code: language for language in self.languages}
        return every_language(lambda code: write(languages[code]), *languages)

    def paragraph(self, key: str, **values: object) -> Paragraph:
        return Paragraph(self.text(key, **values))

    def notice(self, key: str, **values: object) -> Notice:
        return Notice(self.text(key, **values))

    def panel(
        self,
        key: str,
        plot: Callable[..., Axes],
        *args: Any,
        values: Mapping[str, object] | None = None,
        **settings: Any,
    ) -> Drawing:
        """Draw `plot(ax, *args, **settings)`; `values` are set into its alt text."""
        alt = self.plain(f"{key}.alt", **(values or {}))
        name = key.replace(".", "-").replace("_", "-")
        return draw(
            name, alt, plot, *args, labels=self.english.labels, words=self._labels, **settings
        )

    @cached_property
    def english(self) -> Language:
        """The language that figures are drawn in."""
        (english,) = (language for language in self.languages if language.code == "en")
        return english

    @cached_property
    def _labels(self) -> list[Words]:
        labels = (self.label(key) for key in read_language("en").labels)
        return [label for label in labels if isinstance(label, Words)]

    def picture(
        self,
        key: str,
        *drawings: Drawing,
        values: Mapping[str, object] | None = None,
    ) -> Picture:
        """Put drawings side by side; `values` are set into the caption."""
        return Picture(drawings, self.text(key, **(values or {})))

    def words(self, key: str, *names: str) -> list[Text]:
        """Return the short texts `key.name`, such as the header of a table."""
        return [self.text(f"{key}.{name}") for name in names]

    def enumerate(self, words: Sequence[Text]) -> Text:
        """Return "a, b and c", plain text of plain texts."""
        if len(words) < 2:
            return words[0] if words else ""

        def listed(language: Language) -> str:
            *first, last = (in_language(word, language.code) for word in words)
            return language.texts["list.comma"].join(first) + language.texts["list.and"] + last

        return self._every_language(listed)


def as_text(value: object) -> Text:
    return value if isinstance(value, str | Words) else str(value)


def count_parameters(net: TwoLayerNet) -> int:
    return sum(leaf.size for leaf in net.init(0).values())


def scientific(value: float, digits: int = 2) -> str:
    """Return a size for a reader: "3.2·10⁻⁵", "0.0821", "0"."""
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.{digits}g}".replace("-", "−")
    return power_of_ten(float(f"{value:.{digits - 1}e}"))


def decimals(value: float, digits: int = 15) -> str:
    """Return a number with all the digits that are asked for: "5.99999999999978"."""
    return f"{value:.{digits}g}".replace("-", "−").replace("nan", "NaN")


def spread(values: Sequence[Any]) -> float:
    """Return the largest difference between any two arrays, entry by entry."""
    arrays = np.stack([np.asarray(value, np.float64) for value in values])
    return float((arrays.max(axis=0) - arrays.min(axis=0)).max())
