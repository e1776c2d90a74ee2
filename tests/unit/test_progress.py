"""What SkyPilot says is shown as it is, and the reasons of clouds are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runhouse.clusters.progress import Progress, is_quota, is_race, plain

if TYPE_CHECKING:
    from pytest import CaptureFixture

FULL = (
    "An error occurred (InsufficientInstanceCapacity) when calling the RunInstances operation: "
    "We currently do not have sufficient capacity"
)
LIMIT = (
    "An error occurred (VcpuLimitExceeded) when calling the RunInstances operation: "
    "You have requested more vCPU capacity than your current vCPU limit of 0 allows"
)


def test_what_is_written_goes_to_standard_error_as_it_is(capsys: CaptureFixture[str]) -> None:
    progress = Progress()
    for piece in ("\x1b[2mLaun", "ching\x1b[0m\n", "⚙︎ on AWS"):
        assert progress.write(piece) == len(piece)
    progress.flush()
    out, err = capsys.readouterr()
    assert (out, err) == ("", "\x1b[2mLaunching\x1b[0m\n⚙︎ on AWS")
    assert progress.writable()
    assert progress.reasons == []


def test_each_reason_is_kept_once_however_it_is_cut_into_pieces() -> None:
    progress = Progress()
    print(f"\x1b[2mW 11-25 instance.py] Attempt failed with {FULL}\x1b[0m", file=progress)
    for letter in f"again {FULL}\nand {LIMIT}\nInstances are up.\nnot whole: quota":
        progress.write(letter)
    assert progress.reasons == [FULL, LIMIT]


def test_only_the_last_reasons_are_kept() -> None:
    progress = Progress()
    for number in range(20):
        print(f"Quota 'CPUS' exceeded in region {number}", file=progress)
    assert progress.reasons == [f"Quota 'CPUS' exceeded in region {n}" for n in range(15, 20)]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (LIMIT, True),
        ("An error occurred (MaxSpotInstanceCountExceeded) when calling", True),
        ("Quota 'NVIDIA_A100_GPUS' exceeded.  Limit: 0.0 in region us-central1.", True),
        ("QuotaExceeded: Operation could not be completed", True),
        (FULL, False),
        ("ZONE_RESOURCE_POOL_EXHAUSTED", False),
    ],
)
def test_quota_is_told_from_capacity(reason: str, expected: bool) -> None:
    assert is_quota(reason) is expected


def test_a_race_is_told_from_a_full_cloud() -> None:
    race = "An error occurred (InvalidPermission.Duplicate) when calling the Authorize"
    assert (is_race(race), is_race(FULL), is_race(LIMIT)) == (True, False, False)


def test_plain() -> None:
    assert plain("\x1b[?25h \x1b[1;32m✓\x1b[0m  two\nlines\t") == "✓ two lines"
