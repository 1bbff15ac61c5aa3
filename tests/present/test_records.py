"""What is kept in files comes back as what it was."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from actbench.catalog.errors import InputFileError
from actbench.present import audits, records
from tests.present.conftest import synthetic_run
from tests.present.test_audits import made
from tests.present.test_gating import SLOW, report

RECORDS = {
    "a benchmark run": synthetic_run(),
    "audits": audits.session([made()], "actbench audit silu", {}),
    "a gate": report(SLOW),
}


@pytest.mark.parametrize("kind", records.KINDS, ids=lambda kind: kind.name)
def test_a_record_is_known_by_its_file(kind: records.Kind, tmp_path: Path) -> None:
    record = RECORDS[kind.name]
    assert records.kind_of(record) is kind
    content = kind.texts["json"](record).encode()
    for number, packed in enumerate((content, gzip.compress(content))):
        file = tmp_path / str(number)
        file.write_bytes(packed)
        assert records.load(file) == record


@pytest.mark.parametrize("kind", records.KINDS, ids=lambda kind: kind.name)
def test_no_other_kind_has_its_field(kind: records.Kind) -> None:
    others = [k.texts["json"](RECORDS[k.name]) for k in records.KINDS if k is not kind]
    assert not any(f'"{kind.field}":' in text for text in others)


def test_what_is_no_record_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    with pytest.raises(InputFileError, match="is not a run"):
        records.load(file)
