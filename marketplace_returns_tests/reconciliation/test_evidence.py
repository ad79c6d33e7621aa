"""The kept pack of a month: after a crash at any point of a step it is whole, and of the state the month is in."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.evidence import coming_pack, kept_pack, kept_proofs, settle

OCTOBER = Month.parse("2026-10")
REVIEW = Period("asos_uk", OCTOBER, PeriodState.REVIEW, lake_snapshot="7")
SIGNED = dataclasses.replace(REVIEW, state=PeriodState.SIGNED)


def _write(folder: Path, said: str) -> None:
    folder.mkdir(parents=True)
    proof = f'{{"shop": "asos_uk", "id": "I1", "result": "PROVEN", "message": "{said}"}}'
    (folder / "manifest.json").write_text(f'{{"proofs": [{proof}]}}')
    (folder / "sign_off.csv").write_text(said)


def _said(data_dir: Path, period: Period) -> str:
    (proof,) = kept_proofs(data_dir, period)
    return proof.message


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The pack of a month in review, with the one of its signature beside it."""
    folder = kept_pack(tmp_path, "asos_uk", OCTOBER)
    _write(folder, "review")
    _write(coming_pack(tmp_path, SIGNED), "signed")
    return folder


@pytest.mark.proves("R111")
@pytest.mark.parametrize("broken_at", [1, 2, 3])
def test_a_swap_that_stops_anywhere_is_read_right_and_ended_later(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_at: int
) -> None:
    """Before the first rename, between the two, and before what was replaced is removed."""
    calls: list[Path] = []
    real: Callable[[Path, Path], Path] = Path.rename

    def rename(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == broken_at:
            raise KeyboardInterrupt
        return real(self, target)

    def removed(*_: object, **__: object) -> None:
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(Path, "rename", rename)
        stopped.setattr("marketplace_returns.reconciliation.evidence.shutil.rmtree", removed)
        with pytest.raises(KeyboardInterrupt):
            settle(tmp_path, SIGNED)
    assert _said(tmp_path, SIGNED) == "signed"
    settle(tmp_path, SIGNED)
    assert (kept / "sign_off.csv").read_text() == "signed"
    assert [path.name for path in kept.parent.iterdir()] == ["2026-10"]


@pytest.mark.proves("R111")
def test_a_pack_whose_step_never_came_is_not_the_evidence(kept: Path, tmp_path: Path) -> None:
    assert _said(tmp_path, REVIEW) == "review"
    settle(tmp_path, REVIEW)
    assert (kept / "sign_off.csv").read_text() == "review"
    assert [path.name for path in kept.parent.iterdir()] == ["2026-10"]


def test_a_month_that_was_locked_after_the_crash_has_the_pack_of_its_signature(kept: Path, tmp_path: Path) -> None:
    locked = dataclasses.replace(SIGNED, state=PeriodState.LOCKED)
    assert _said(tmp_path, locked) == "signed"
    settle(tmp_path, locked)
    assert (kept / "sign_off.csv").read_text() == "signed"


def test_the_pack_of_one_close_is_not_that_of_the_next(kept: Path, tmp_path: Path) -> None:
    again = dataclasses.replace(REVIEW, lake_snapshot="9")
    _write(coming_pack(tmp_path, dataclasses.replace(REVIEW, lake_snapshot="8")), "a close between")
    assert _said(tmp_path, again) == "review"
    settle(tmp_path, again)
    assert (kept / "sign_off.csv").read_text() == "review"
