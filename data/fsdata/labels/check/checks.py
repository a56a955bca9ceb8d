"""Check labelled photos before anything is trained or measured on them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence

from fsdata.labels.check.check_report import PROBLEMS, CheckReport, Finding, FindingKind
from fsdata.labels.check.suspect_labels import Told, class_counts, imbalances, near_misses, ratings_outside
from fsdata.labels.photo_content import PhotoContent, read_contents
from fsdata.labels.record import LabelledPhoto, NoteKind, ReaderNote
from fsengine.errors import InvalidInputError

MOST_EXAMPLES = 5

_NOTE_FINDINGS = {
    NoteKind.MANGLED_BUCKET: FindingKind.MANGLED_BUCKET,
    NoteKind.MALFORMED_NAME: FindingKind.MALFORMED_NAME,
    NoteKind.NO_LABEL_WORD: FindingKind.NO_LABEL_WORD,
    NoteKind.BAD_ROW: FindingKind.BAD_ROW,
    NoteKind.OTHER_SHEET: FindingKind.OTHER_SHEET,
}


def check_records(
    records: Sequence[LabelledPhoto],
    *,
    rating_range: tuple[float, float] | None = None,
    notes: Sequence[ReaderNote] = (),
    on_photo: Callable[[], object] | None = None,
) -> CheckReport:
    """Check labelled photos: their files, their labels, and whether copies agree.

    Every file is read once, for its hash and its header; photos are not decoded.

    Args:
        records: What a reader returned; several data sets may be joined.
        rating_range: Lowest and highest rating; by default known of the data set, or told by the other ratings.
        notes: What the reader left out, beside the records.
        on_photo: Called after each different file.

    Returns:
        Counts and findings.

    Raises:
        InvalidInputError: The rating range is empty.
    """
    if rating_range is not None and not rating_range[0] < rating_range[1]:
        raise InvalidInputError(f"the rating range is {rating_range}, expected the lowest rating first")
    contents = read_contents([record.path for record in records], on_photo)
    classes = class_counts(records)
    found: dict[FindingKind, list[str]] = {kind: [] for kind in FindingKind}
    for note in notes:
        found[_NOTE_FINDINGS[note.kind]].append(note.text)
    for record, content in zip(records, contents, strict=True):
        _check_photo(record, content, found)
    _check_copies(records, contents, found)
    told: dict[FindingKind, list[Told]] = {}
    told[FindingKind.NEAR_MISS_LABEL], told[FindingKind.UNKNOWN_LABEL] = near_misses(records)
    told[FindingKind.RATING_OUT_OF_RANGE], told[FindingKind.RATING_OUTSIDE_SCALE] = ratings_outside(
        records, rating_range
    )
    for kind, photos in told.items():
        found[kind] += [f"{record.path}: {text}" for record, text in photos]
    found[FindingKind.IMBALANCE] += imbalances(classes)
    return CheckReport(
        num_records=len(records),
        num_contents=len({content.sha256 for content in contents} - {None}),
        datasets=dict(sorted(Counter(record.dataset for record in records).items())),
        folds=dict(sorted(Counter(record.fold for record in records if record.fold is not None).items())),
        classes=classes,
        findings=_findings(found),
    )


def _check_photo(record: LabelledPhoto, content: PhotoContent, found: dict[FindingKind, list[str]]) -> None:
    if content.missing:
        found[FindingKind.MISSING_FILE].append(os.fspath(record.path))
    elif content.fault is not None:
        found[FindingKind.UNREADABLE_PHOTO].append(f"{record.path}: {content.fault}")
    for note in record.notes:
        found[_NOTE_FINDINGS[note.kind]].append(f"{record.path}: {note.text}")
    if record.num_raters == 1:
        found[FindingKind.ONE_RATER].append(f"{record.path}: rating {record.rating:g}")
    labels = (record.identity, record.gender, record.age_low_years, record.ethnicity, record.rating)
    told = any(note.kind is not NoteKind.NO_LABEL_WORD for note in record.notes)
    if labels == (None,) * len(labels) and not told:
        found[FindingKind.NO_LABELS].append(os.fspath(record.path))


def _check_copies(
    records: Sequence[LabelledPhoto], contents: Sequence[PhotoContent], found: dict[FindingKind, list[str]]
) -> None:
    copies: dict[str, list[LabelledPhoto]] = {}
    for record, content in zip(records, contents, strict=True):
        if content.sha256 is not None:
            copies.setdefault(content.sha256, []).append(record)
    for first, *others in copies.values():
        for other in others:
            conflicts = _conflicts(first, other)
            kind = FindingKind.CONFLICTING_DUPLICATE if conflicts else FindingKind.DUPLICATE
            found[kind].append(f"{other.path} is {first.path}" + (f": {'; '.join(conflicts)}" if conflicts else ""))


def _conflicts(first: LabelledPhoto, other: LabelledPhoto) -> list[str]:
    """Return the labels that two records of one photo disagree on; no label disagrees with nothing."""
    conflicts = []
    if None not in (first.gender, other.gender) and first.gender != other.gender:
        conflicts.append(f"gender {other.gender!r} and {first.gender!r}")
    if first.dataset == other.dataset:
        # Other data sets have other classes, other scales and other names of people.
        for name in ("ethnicity", "identity", "rating"):
            one, two = getattr(first, name), getattr(other, name)
            if None not in (one, two) and one != two:
                conflicts.append(f"{name} {two!r} and {one!r}")
    if first.age_low_years is not None and other.age_low_years is not None:
        assert first.age_high_years is not None
        assert other.age_high_years is not None
        if first.age_high_years <= other.age_low_years or other.age_high_years <= first.age_low_years:
            conflicts.append(f"age {other.age_years:g} and {first.age_years:g}")
    return conflicts


def _findings(found: dict[FindingKind, list[str]]) -> tuple[Finding, ...]:
    findings = [
        Finding(kind=kind, count=len(texts), examples=tuple(texts[:MOST_EXAMPLES]))
        for kind, texts in found.items()
        if texts
    ]
    return tuple(sorted(findings, key=lambda finding: finding.kind not in PROBLEMS))
