"""The section of planted faults as it stands on the page."""

from collections.abc import Sequence

from ..drawing.languages import Text
from ..drawing.page import Alternatives, Block, Paragraph, Picture, Table
from .breaking import BATCH, FAULTS, RIGHT, SUSPICIOUS, BrokenNet, BrokenRun, learning
from .net_plots import plot_broken
from .run import Lesson, scientific

BOOK = "book"


def show_breaking(lesson: Lesson, found: Sequence[BrokenNet]) -> Sequence[Block]:
    names = {fault: lesson.text(f"break_it.fault.{fault}") for fault in FAULTS}
    alternatives = Alternatives(
        "fault",
        lesson.text("break_it.choose"),
        list(names.values()),
        [_readout(lesson, found, fault) for fault in FAULTS],
    )
    drawings = [
        lesson.panel(f"break_it.{name}", plot_broken, net, FAULTS, values={"faults": len(FAULTS)})
        for name, net in zip(("six", "digits"), found, strict=True)
    ]
    return (
        lesson.paragraph("break_it.text", batch=BATCH),
        Picture(drawings, lesson.text("break_it.curves"), alternatives),
        *(Paragraph(sentence) for sentence in _lessons(lesson, found)),
        *(_table(lesson, net) for net in found),
    )


def _readout(lesson: Lesson, found: Sequence[BrokenNet], fault: str) -> Text:
    """Say what the fault is, and what the net for digits came to."""
    net = found[-1]
    run, right = net.runs[fault], net.runs[RIGHT]
    noticed = [_name(lesson, checker) for checker, saw in _all_noticed(run).items() if saw]
    return lesson.text(
        "break_it.readout" if noticed else "break_it.readout_unnoticed",
        fault=lesson.text(f"break_it.fault.{fault}"),
        what=lesson.text(f"break_it.what.{fault}"),
        loss=f"{run.losses[-1]:.2f}",
        right_loss=f"{right.losses[-1]:.2f}",
        correct=f"{run.correct:.0%}",
        right_correct=f"{right.correct:.0%}",
        noticed=lesson.enumerate(noticed),
    )


def _all_noticed(run: BrokenRun) -> dict[str, bool]:
    return dict(run.noticed) | {BOOK: run.noticed_by_the_book}


def _name(lesson: Lesson, checker: str) -> Text:
    if checker == BOOK:
        return lesson.plain("break_it.book")
    name, _, kind = checker.partition(", ")
    return f"{name} ({kind})" if kind else name


def _lessons(lesson: Lesson, found: Sequence[BrokenNet]) -> list[Text]:
    """Return the sentences that the measurements bear out."""
    learn, worse, count = learning(found)
    if not learn:
        sentences = [lesson.text("break_it.none_learns", count=count)]
    else:
        key = "break_it.all_worse" if worse == learn else "break_it.some_worse"
        key = key if worse else "break_it.none_worse"
        sentences = [lesson.text(key, learn=learn, worse=worse, count=count)]
    if all(net.runs["twice"].learns for net in found):
        sentences.append(lesson.text("break_it.factor"))
    missed = missed_by(found)
    for faults in dict.fromkeys(missed.values()):
        checkers = [_name(lesson, checker) for checker in missed if missed[checker] == faults]
        named = [lesson.plain(f"break_it.fault.{fault}") for fault in faults]
        sentences.append(
            lesson.text(
                "break_it.missed",
                checkers=lesson.enumerate(checkers),
                faults=lesson.enumerate(named),
            )
        )
    if not missed:
        sentences.append(lesson.text("break_it.none_missed"))
    for checker in alarmed(found):
        sentences.append(lesson.text("break_it.alarm", checker=_name(lesson, checker)))
    return sentences


def missed_by(found: Sequence[BrokenNet]) -> dict[str, tuple[str, ...]]:
    """Return the faults that a checker let pass in one of the nets, by checker."""
    missed: dict[str, tuple[str, ...]] = {}
    for net in found:
        for fault, run in net.faulty.items():
            for checker, saw in _all_noticed(run).items():
                if not saw and fault not in missed.get(checker, ()):
                    missed[checker] = (*missed.get(checker, ()), fault)
    return missed


def alarmed(found: Sequence[BrokenNet]) -> list[str]:
    """Return the checkers that called a right gradient wrong."""
    rights = [_all_noticed(net.runs[RIGHT]) for net in found]
    return [checker for checker in rights[0] if any(saw[checker] for saw in rights)]


def _table(lesson: Lesson, net: BrokenNet) -> Table:
    checkers = list(net.runs[RIGHT].noticed)
    words = {saw: lesson.text(f"break_it.{word}") for saw, word in ((True, "yes"), (False, "no"))}
    rows = [
        (
            lesson.text(f"break_it.fault.{fault}"),
            f"{run.correct:.1%}",
            *(words[run.noticed[checker]] for checker in checkers),
            scientific(run.mean_difference),
        )
        for fault, run in net.runs.items()
    ]
    return Table(
        [
            *lesson.words("break_it", "fault", "correct"),
            *(_name(lesson, checker) for checker in checkers),
            lesson.text("break_it.mean"),
        ],
        rows,
        lesson.text("break_it.table", net=net.name, suspicious=scientific(SUSPICIOUS)),
    )
