"""What readers left out or read as no label, in a few lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from fsdata.labels.record import LabelledPhoto, NoteKind, ReaderNote
from fsengine.terminal.messages import counted

MOST_EXAMPLES = 5


def told_notes(records: Sequence[LabelledPhoto], notes: Iterable[ReaderNote]) -> Iterator[str]:
    """Yield lines about what was left out or read as something else.

    Args:
        records: What a reader returned.
        notes: What it was told beside them.
    """
    by_kind: dict[NoteKind, list[str]] = {}
    for note in (*notes, *(note for record in records for note in record.notes)):
        by_kind.setdefault(note.kind, []).append(note.text)
    yield from by_kind.get(NoteKind.OTHER_SHEET, [])
    for kind, said in (
        (NoteKind.BAD_ROW, "left out as unusable"),
        (NoteKind.MANGLED_BUCKET, "with an age bucket that a spreadsheet turned into a date, read as what it was"),
        (NoteKind.MALFORMED_NAME, "with a name that holds no readable labels"),
    ):
        texts = by_kind.get(kind, [])
        if texts:
            yield f"{counted(len(texts), 'row' if kind is NoteKind.BAD_ROW else 'photo')} {said}:"
            yield from (f"  {text}" for text in texts[:MOST_EXAMPLES])
            if len(texts) > MOST_EXAMPLES:
                yield f"  ... {len(texts) - MOST_EXAMPLES} more"
    words = Counter(by_kind.get(NoteKind.NO_LABEL_WORD, []))
    yield from (f"{text}: {counted(count, 'photo')}" for text, count in sorted(words.items()))
