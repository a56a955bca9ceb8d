"""What a check of labelled photos found, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from fsengine.terminal.messages import counted
from fsengine.terminal.tables import Block, Table


class FindingKind(str, Enum):
    """What can be wrong with labelled photos."""

    MISSING_FILE = "missing_file"
    UNREADABLE_PHOTO = "unreadable_photo"
    MALFORMED_NAME = "malformed_name"
    NEAR_MISS_LABEL = "near_miss_label"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    RATING_OUT_OF_RANGE = "rating_out_of_range"
    NO_LABELS = "no_labels"
    BAD_ROW = "bad_row"
    OTHER_SHEET = "other_sheet"
    NO_LABEL_WORD = "no_label_word"
    MANGLED_BUCKET = "mangled_bucket"
    UNKNOWN_LABEL = "unknown_label"
    DUPLICATE = "duplicate"
    RATING_OUTSIDE_SCALE = "rating_outside_scale"
    ONE_RATER = "one_rater"
    IMBALANCE = "imbalance"


PROBLEMS = frozenset(
    {
        FindingKind.MISSING_FILE,
        FindingKind.UNREADABLE_PHOTO,
        FindingKind.MALFORMED_NAME,
        FindingKind.NEAR_MISS_LABEL,
        FindingKind.CONFLICTING_DUPLICATE,
        FindingKind.RATING_OUT_OF_RANGE,
        FindingKind.NO_LABELS,
        FindingKind.BAD_ROW,
    }
)
"""Findings that need a correction; all others are warnings: repaired, harmless, or for a person to judge."""

_TITLES = {
    FindingKind.MISSING_FILE: "files that are missing",
    FindingKind.UNREADABLE_PHOTO: "files that are no readable photos",
    FindingKind.MALFORMED_NAME: "names without readable labels",
    FindingKind.NEAR_MISS_LABEL: "labels that look like typing errors",
    FindingKind.CONFLICTING_DUPLICATE: "same photos with different labels",
    FindingKind.RATING_OUT_OF_RANGE: "ratings out of range",
    FindingKind.NO_LABELS: "photos without any label",
    FindingKind.BAD_ROW: "rows that cannot be used, left out",
    FindingKind.OTHER_SHEET: "sheets without files and labels, left out",
    FindingKind.NO_LABEL_WORD: "values that say that there is no label, read as none",
    FindingKind.MANGLED_BUCKET: "age buckets that a spreadsheet turned into dates, read as what they were",
    FindingKind.UNKNOWN_LABEL: "labels that no known data set uses",
    FindingKind.DUPLICATE: "photos that are there more than once",
    FindingKind.RATING_OUTSIDE_SCALE: "ratings outside the scale of nearly all others",
    FindingKind.ONE_RATER: "ratings of one person alone",
    FindingKind.IMBALANCE: "attributes with rare classes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """All findings of one kind.

    Attributes:
        kind: What is wrong.
        count: How many photos, or classes of an imbalance, are concerned.
        examples: Sentences about the first of them.
    """

    kind: FindingKind
    count: int
    examples: tuple[str, ...]

    @property
    def is_problem(self) -> bool:
        """Return whether it needs a correction, and is no mere warning."""
        return self.kind in PROBLEMS


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found.

    Attributes:
        num_records: Photos that were checked.
        num_contents: Different contents of files among those that could be read.
        datasets: Data set to its photos.
        folds: The data sets' own split to its photos.
        classes: Attribute to label to photos, of labelled photos; ages by bucket, exact ages by ten years.
        findings: Problems first.
    """

    num_records: int
    num_contents: int
    datasets: Mapping[str, int]
    folds: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings that need a correction."""
        return tuple(finding for finding in self.findings if finding.is_problem)

    def finding(self, kind: FindingKind) -> Finding | None:
        """Return the findings of one kind, or None where there are none."""
        return next((finding for finding in self.findings if finding.kind is kind), None)

    def to_json(self) -> dict[str, Any]:
        """Return the report as what `json.dumps` takes."""
        content = asdict(self)
        content["findings"] = [
            {
                "kind": finding.kind.value,
                "severity": "problem" if finding.is_problem else "warning",
                "count": finding.count,
                "examples": list(finding.examples),
            }
            for finding in self.findings
        ]
        return content

    def to_blocks(self) -> list[Block]:
        """Return the report for people."""
        photos = counted(self.num_records, "photo")
        blocks: list[Block] = [f"{photos}, {self.num_contents:,} different: {_counts(self.datasets)}"]
        if self.folds:
            blocks.append(f"folds: {_counts(self.folds)}")
        for attribute, counts in self.classes.items():
            total = sum(counts.values())
            without = self.num_records - total
            blocks.append(f"{attribute}: {total} labelled" + (f", {without} without" if without else ""))
            rows = [(label, str(count), f"{count / total:.1%}") for label, count in counts.items()]
            blocks.append(Table(rows=rows, align="lrr", indent=2))
        for finding in self.findings:
            blocks.append(f"{'PROBLEM' if finding.is_problem else 'warning'}: {finding.count} {_TITLES[finding.kind]}")
            blocks += [f"  {example}" for example in finding.examples]
            if finding.count > len(finding.examples):
                blocks.append(f"  ... {finding.count - len(finding.examples)} more")
        if not self.findings:
            blocks.append("no problems, no warnings")
        return blocks


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
