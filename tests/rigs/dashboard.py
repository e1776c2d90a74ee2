"""The dashboard as the tests look at it: `rh dashboard` of this machine's cluster, in a browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect

import runhouse as rh
from runhouse.server.control import running_server, start_server, stop_server
from runhouse.server.info import ServerConfig
from runhouse.server.paths import ServerPaths
from tests.integration import sample
from tests.rigs.browser import Visit, running_browser
from tests.rigs.cli import environment
from tests.rigs.gateway import dashboard_url
from tests.rigs.http import Http, http_of
from tests.rigs.sshd import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

SCREENSHOTS = Path(__file__).parents[2] / "build" / "dashboard"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give the browser."""
    with running_browser() as made:
        yield made


@pytest.fixture(scope="module")
def api(browser: Browser, session_home: Path) -> Iterator[Http]:
    """Give the API of this machine's cluster, with some runs and objects."""
    assert browser.is_connected()
    rh.here.put("weights", np.zeros(100_000))
    rh.here.put("settings", {"size": 3})
    add = rh.function(sample.add).to(rh.here)
    for number in range(5):
        assert add.options(run_name=f"sum-{number}").run(number).result() == number + 1
    with pytest.raises(sample.SampleError):
        rh.function(sample.fail).to(rh.here).options(run_name="broken").run(7).result()
    yield http_of(rh.here)
    rh.here.clear()
    rh.here.disconnect()
    rh.here.stop()
    for recorded in session_home.glob("local/*/runs"):
        shutil.rmtree(recorded)  # the next module makes them anew


@pytest.fixture(scope="module")
def url(api: Http, session_home: Path) -> Iterator[str]:
    """Give the address of the dashboard of this machine's cluster."""
    assert api.token
    with dashboard_url(environment(session_home)) as address:
        yield address


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Visit]:
    """Give the window of all tests here."""
    made = Visit(browser)
    yield made
    made.close()


@pytest.fixture
def visit(window: Visit, url: str) -> Iterator[Visit]:
    """Give the dashboard as it was just opened; nothing may go wrong in it."""
    window.begin()
    window.page.goto(url)
    expect(window.page.locator("#state")).to_have_text("live")
    yield window
    assert window.errors == []


@pytest.fixture
def page(visit: Visit) -> Page:
    """Give the page of the dashboard."""
    return visit.page


def open_runs(page: Page) -> Locator:
    """Go to the runs, and return their list."""
    page.get_by_role("link", name="Runs", exact=True).click()
    return page.get_by_role("listbox", name="Runs")


def open_run(page: Page, name: str) -> Locator:
    """Go to a run, and return what is shown about it."""
    open_runs(page)
    page.get_by_role("searchbox", name="Search all runs").fill(name)
    options = page.get_by_role("listbox", name="Runs").get_by_role("option")
    options.filter(has=page.get_by_text(name, exact=True)).first.click()
    shown = page.get_by_role("complementary", name="Run")
    expect(shown.get_by_role("heading", level=2)).to_contain_text(name)
    return shown


def show(visit: Visit, name: str) -> None:
    """Keep what is shown, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    width, scheme = visit.look
    visit.page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}-{width}.png")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerConfig]:
    """Give a server that is reached by its own port."""
    root = tmp_path_factory.mktemp("alone") / "server"
    config = ServerConfig(root=str(root), version="1.2.3", port=free_port())
    start_server(config)
    yield config
    stop_server(ServerPaths(root))


def running_server_path(config: ServerConfig) -> str:
    """Return the socket of a server."""
    info = running_server(ServerPaths(Path(config.root)))
    assert info is not None
    return info.http
