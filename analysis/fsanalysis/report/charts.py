"""The charts of a report, each an SVG element with a text for those who do not see it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from fsanalysis.report.gathered import Gathered, Histogram
from fsdata.pictures.chart_style import COLOURS, GREY, drawn_chart
from fsdata.pictures.html_page import PageFigure


def figures(found: Gathered, classes: Mapping[str, Sequence[str]]) -> list[PageFigure]:
    """Return the charts that results allow, in the order of a page.

    Args:
        found: What the results hold.
        classes: Class labels of each head.
    """
    made = [_faces_a_photo(found)]
    if not found.num_faces:
        return made
    made.append(_sizes(found.sizes))
    made.append(_bars_between("Score of the detector", "score", found.scores, "faces", ticks=5))
    if found.ages is not None:
        note = "how old a face looks, with an interval of many years"
        made.append(_bars_between("Age", "years", found.ages, "faces", note=note, ticks=4))
    if found.genders:
        made.append(_classes("Gender, as annotators would see it", found.genders, "gender", found, classes))
    if found.age_by_gender:
        made.append(_age_by_gender(found))
    if found.ethnicities:
        made.append(_classes("Ethnicity, as annotators would see it", found.ethnicities, "ethnicity", found, classes))
    if found.attractiveness is not None:
        note = "a percentile is a place among the faces of one data set, by the taste of a few raters"
        made.append(_bars_between("Attractiveness", "percentile", found.attractiveness, "faces", note=note, ticks=4))
    if found.places is not None:
        made.append(_map(found))
    return made


def _faces_a_photo(found: Gathered) -> PageFigure:
    most = max(found.faces_a_photo, default=0)
    numbers = [found.faces_a_photo[number] for number in range(most + 1)]
    labels = [f"{number}{'+' if number == 10 else ''}" for number in range(most + 1)]
    with drawn_chart() as chart:
        chart.axes.bar(labels, numbers, color=COLOURS[0])
        chart.axes.set(xlabel="faces in a photo", ylabel=f"photos (n = {sum(numbers):,})")
        chart.axes.grid(False, axis="x")
    listed = ", ".join(f"{number} with {label}" for label, number in zip(labels, numbers, strict=True) if number)
    table = [("faces", "photos"), *((label, f"{number:,}") for label, number in zip(labels, numbers, strict=True))]
    return PageFigure("Faces a photo", chart.svg, f"Photos by number of faces: {listed or 'none'}", numbers=table)


def _sizes(sizes: Histogram) -> PageFigure:
    labels = [f"{low:.0f}" for low in sizes.edges[:-1]]
    with drawn_chart() as chart:
        places = np.arange(len(labels))
        chart.axes.bar(places, sizes.counts, width=0.95, color=COLOURS[0])
        chart.axes.set_xticks(places - 0.5, labels, fontsize=6.5)
        chart.axes.set(xlabel="longer side of the box, from ... pixels", ylabel=_faces(sizes))
        chart.axes.grid(False, axis="x")
    largest = int(np.argmax(sizes.counts))
    text = f"Most faces have a longer side of {sizes.edges[largest]:.0f} to {sizes.edges[largest + 1]:.0f} pixels"
    return PageFigure("Size of faces", chart.svg, text, numbers=_counts(sizes, "pixels"))


def _bars_between(title: str, unit: str, histogram: Histogram, noun: str, *, ticks: int, note: str = "") -> PageFigure:
    edges = histogram.edges
    with drawn_chart() as chart:
        chart.axes.bar(edges[:-1], histogram.counts, width=np.diff(edges) * 0.95, align="edge", color=COLOURS[0])
        chart.axes.set_xticks(edges[::ticks])
        chart.axes.set(xlabel=unit, ylabel=_faces(histogram))
        chart.axes.grid(False, axis="x")
    number = int(histogram.counts.sum())
    mean = histogram.mean
    text = f"{title}: {number} {noun}" + ("" if mean is None else f", mean {mean:.2f} {unit}")
    if histogram.missing:
        note = "; ".join(filter(None, [note, f"{histogram.missing} {noun} without a number"]))
    return PageFigure(title, chart.svg, text, note, _counts(histogram, unit))


def _faces(histogram: Histogram) -> str:
    return f"faces (n = {int(histogram.counts.sum()):,})"


def _counts(histogram: Histogram, unit: str) -> list[tuple[str, str]]:
    """Return a histogram as a table."""
    edges = histogram.edges
    rows = [
        (f"{low:g} or more" if np.isinf(high) else f"{low:g} to {high:g}", f"{number:,}")
        for low, high, number in zip(edges[:-1], edges[1:], histogram.counts, strict=True)
    ]
    return [(unit, "faces"), *rows, *([("none", f"{histogram.missing:,}")] if histogram.missing else [])]


def _classes(
    title: str, counts: Mapping[str, int], head: str, found: Gathered, classes: Mapping[str, Sequence[str]]
) -> PageFigure:
    known = [name for name in classes.get(head, ()) if name in counts or head in found.probabilities]
    names = [*known, *sorted(set(counts) - set(known))]
    total = max(sum(counts.values()), 1)
    shares = [100 * counts.get(name, 0) / total for name in names]
    probable = found.probabilities.get(head)
    with drawn_chart(height=1.2 + 0.32 * len(names)) as chart:
        places = np.arange(len(names))
        chart.axes.barh(places, shares, height=0.62, color=COLOURS[0], label="named")
        if probable is not None and len(probable) == len(known):
            chart.axes.plot(
                100 * probable, places[: len(known)], "D", color=COLOURS[1], markersize=5, label="mean probability"
            )
            chart.axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        chart.axes.set_yticks(places, names)
        chart.axes.invert_yaxis()
        chart.axes.set(xlabel=f"per cent of the faces (n = {sum(counts.values()):,})", xlim=(0, None))
        chart.axes.grid(False, axis="y")
    listed = ", ".join(f"{name} {share:.1f} %" for name, share in zip(names, shares, strict=True))
    note = "uncertain: no class reaches the threshold of the pack" if "uncertain" in counts else ""
    table = [("class", "faces", "mean probability")]
    for place, name in enumerate(names):
        mean = "" if probable is None or place >= len(probable) else f"{probable[place]:.3f}"
        table.append((name, f"{counts.get(name, 0):,}", mean))
    return PageFigure(title, chart.svg, f"{title}: {listed}", note, table)


def _age_by_gender(found: Gathered) -> PageFigure:
    with drawn_chart() as chart:
        for colour, (name, histogram) in zip(COLOURS, sorted(found.age_by_gender.items()), strict=False):
            number = int(histogram.counts.sum())
            share = 100 * histogram.counts / max(number, 1)
            chart.axes.stairs(share, histogram.edges, color=colour, linewidth=1.6, label=f"{name} (n = {number:,})")
        chart.axes.set(xlabel="years", ylabel="per cent of the class", ylim=(0, None))
        chart.axes.legend()
    means = ", ".join(
        f"{name} {histogram.mean:.1f}" for name, histogram in sorted(found.age_by_gender.items()) if histogram.mean
    )
    names = sorted(found.age_by_gender)
    edges = found.age_by_gender[names[0]].edges
    table = [("years", *names)]
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        table.append((f"{low:g} to {high:g}", *(f"{found.age_by_gender[name].counts[place]:,}" for name in names)))
    return PageFigure("Age by gender", chart.svg, f"Mean age by gender: {means}", numbers=table)


def _map(found: Gathered) -> PageFigure:
    assert found.places is not None
    classes = np.array(found.place_classes, dtype=object)
    with drawn_chart(height=3.6) as chart:
        for colour, name in zip((*COLOURS, GREY), sorted(set(found.place_classes)), strict=False):
            here = found.places[classes == name]
            chart.axes.scatter(
                here[:, 0], here[:, 1], s=4, linewidths=0, alpha=0.6, color=colour, label=name or None, rasterized=True
            )
        first, second = (100 * share for share in found.place_shares)
        chart.axes.set(
            xlabel=f"first component, {first:.0f} % of the variance",
            ylabel=f"second component, {second:.0f} % of the variance",
        )
        if any(found.place_classes):
            chart.axes.legend(markerscale=3)
    number = len(found.places)
    note = f"{number:,} of {found.num_faces:,} faces, drawn with a fixed seed; near means alike to the encoder"
    return PageFigure(
        "Map of the embeddings", chart.svg, "Faces on the first two principal components of their embeddings", note
    )
