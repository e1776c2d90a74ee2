"""The region in which the tests of clouds run; scripts/test-cloud.sh makes it, and runs them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cloud.fleet import DEFINITIONS, Fleet
from tests.rigs.cloudbox.box import DIR_VARIABLE, Box
from tests.rigs.cloudbox.inside import Region
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import runhouse as rh

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SkyPilot is not as strict as these tests
    import sky

ANYWHERE = "0.0.0.0"  # noqa: S104 - of a network of its own
_TIMEOUT_S = 300
_LOG_TAIL = 4000


def pytest_configure(config: pytest.Config) -> None:
    """Let warnings be errors only where they are about what is ours."""
    for line in ("ignore", "error:::runhouse", "error:::tests", "error::pytest.PytestWarning"):
        config.addinivalue_line("filterwarnings", line)
    # Those lines are for tests only. In the end SkyPilot's server still runs, as a process of ours.
    warnings.simplefilter("ignore")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time that launching takes; put those last that wait for long."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what the region and SkyPilot have said last."""
    report = yield
    if report.failed:
        logs = [
            *sorted(Box.chosen().logs.glob("*.log")),
            Path("~/.sky/api_server/server.log").expanduser(),
            *sorted(Path("~/sky_logs").expanduser().glob("*/provision.log"))[-1:],
        ]
        for log in logs:
            if log.is_file():
                report.sections.append((str(log), log.read_text(errors="replace")[-_LOG_TAIL:]))
    return report


@pytest.fixture(scope="session")
def region() -> Iterator[Region]:
    """Give the region, and check in the end that nothing is left in it."""
    if DIR_VARIABLE not in os.environ:
        pytest.exit("These tests run in a region of their own: make test-cloud", returncode=2)
    made = Region(Box.chosen())
    sky.api_start(host=ANYWHERE)  # other users' machines reach it, too
    yield made
    try:
        wait_until(lambda: not made.leftovers(), timeout_s=10)
    except AssertionError:
        pytest.fail("left in the region: " + "; ".join(made.leftovers()))


@pytest.fixture(scope="session")
def fleet(region: Region, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Launch all clusters that the chosen tests need, at once; each is waited for when needed."""
    del region  # which looks at what is left after the clusters are gone
    needed = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    chosen = sorted(needed & DEFINITIONS.keys())
    made = Fleet(chosen, skypilot_s_own="skypilot_s_own" in needed)
    yield made
    made.close()


@pytest.fixture(scope="session")
def held(fleet: Fleet) -> rh.OnDemandCluster:
    """Give a cluster that stops after a minute in which nothing was computed."""
    return fleet.get("held")


@pytest.fixture(scope="session")
def life(fleet: Fleet) -> rh.OnDemandCluster:
    """Give a cluster of one machine."""
    return fleet.get("life")


@pytest.fixture(scope="session")
def pair(fleet: Fleet) -> rh.OnDemandCluster:
    """Give a cluster of two machines."""
    return fleet.get("pair")


@pytest.fixture(scope="session")
def spot(fleet: Fleet) -> rh.OnDemandCluster:
    """Give a cluster of a spot machine."""
    return fleet.get("spot")


@pytest.fixture(scope="session")
def skypilot_s_own(fleet: Fleet) -> str:
    """Give the name of a cluster of one host, which SkyPilot has launched by itself."""
    return fleet.wait_for_skypilot_s_own()
