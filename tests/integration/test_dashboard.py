"""The dashboard in a real browser, in front of a real server that works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error, expect

import runhouse as rh
from runhouse.clusters import calls
from runhouse.server.control import start_server, stop_server
from runhouse.server.paths import ServerPaths
from tests.integration import dashboard_sample, sample
from tests.rigs.dashboard import (
    alone as alone,
    api as api,
    browser as browser,
    open_run,
    page as page,
    running_server_path,
    show,
    url as url,
    visit as visit,
    window as window,
)
from tests.rigs.http import Http
from tests.waiting import is_running

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from runhouse.server.info import ServerConfig
    from tests.rigs.browser import Scheme, Visit

pytestmark = pytest.mark.timeout(60)

MARKUP = "<img src=x onerror=\"window.hacked='{}'\"><b>bold</b>"


# -- what is shown is what is ---------------------------------------------------------------------


def test_it_shows_what_the_server_tells(api: Http, page: Page) -> None:
    status = api("GET", "/status").json
    facts = page.locator(".facts").first
    for name, value in (("Objects", status["objects"]), ("runhouse", status["version"])):
        fact = facts.locator("div", has=page.get_by_text(name, exact=True))
        expect(fact).to_contain_text(str(value))
    expect(page.get_by_role("heading", level=3)).to_have_text(status["nodes"][0]["hostname"])
    charts = page.get_by_role("img")
    expect(charts).to_have_count(2)
    expect(charts.first).to_have_attribute("aria-label", re.compile(r"^CPU, last \d+ min; now \d+"))
    expect(charts.first.locator("polyline")).to_have_attribute("points", re.compile(r"\d+,\d+"))
    rows = page.get_by_role("region", name="Workers").get_by_role("row")
    expect(rows).to_have_count(1 + len(status["workers"]))
    for worker in status["workers"]:
        row = rows.filter(has_text=str(worker["pid"]))
        expect(row).to_contain_text(worker["env"])
        expect(row).to_contain_text(worker["python"])


def test_it_shows_objects_with_their_sizes(api: Http, page: Page) -> None:
    page.get_by_role("link", name="Objects").click()
    entries = api("GET", "/keys?sizes=true").json["keys"]
    expect(page.get_by_role("listitem")).to_have_count(len(entries))
    weights = page.get_by_role("listitem").filter(has_text="weights")
    expect(weights).to_contain_text("numpy.ndarray")
    expect(weights).to_contain_text("800 kB")
    page.get_by_role("searchbox").fill("dict sett")
    expect(page.get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("listitem")).to_contain_text("settings")


# -- what is done there ---------------------------------------------------------------------------


def test_a_worker_is_restarted(visit: Visit) -> None:
    rh.function(sample.pid).to(rh.here, env="restart-me")()
    visit.refresh()
    page = visit.page
    [worker] = [each for each in rh.here.status().workers if each.env == "restart-me"]
    page.get_by_role("button", name=f"Restart worker {worker.pid}").click()
    expect(page.get_by_role("dialog")).to_contain_text("Restart the worker of restart-me?")
    page.get_by_role("dialog").get_by_role("button", name="Restart").click()
    expect(page.get_by_role("alert")).to_contain_text(f"The worker {worker.pid} was ended")
    assert not is_running(worker.pid)
    [other] = [each for each in rh.here.status().workers if each.env == "restart-me"]
    visit.refresh()
    row = page.get_by_role("row").filter(has_text="restart-me")
    expect(row).to_contain_text(str(other.pid))


# -- strangers ------------------------------------------------------------------------------------


def test_markup_is_text_wherever_it_comes_from(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_caller", lambda: MARKUP.format("who"))
    fail = rh.function(dashboard_sample.fail_with).to(rh.here).options(run_name="markup-error")
    with pytest.raises(ValueError, match="onerror"):
        fail.run(MARKUP.format("error")).result()
    say = rh.function(dashboard_sample.say_all).to(rh.here).options(run_name="markup-log")
    say.run([MARKUP.format("log"), "\n</div><script>window.hacked='script'</script>\n"]).result()
    shown = open_run(page, "markup-error")
    expect(shown.locator(".error")).to_contain_text(MARKUP.format("error"))
    expect(shown).to_contain_text(MARKUP.format("who"))
    options = page.get_by_role("listbox", name="Runs").get_by_role("option")
    expect(options.first).to_contain_text(MARKUP.format("who"))
    shown = open_run(page, "markup-log")
    expect(shown.locator(".stdout").first).to_have_text(MARKUP.format("log"))
    expect(shown.locator(".stdout").last).to_contain_text("<script>window.hacked")
    assert page.locator("main img, main b:text-is('bold'), main script").count() == 0
    assert page.evaluate("window.hacked") is None


def test_nothing_that_is_put_into_the_page_is_run(window: Visit, url: str) -> None:
    window.begin()
    page = window.page
    page.goto(url)
    expect(page.locator("#state")).to_have_text("live")
    scripts = (
        "document.body.innerHTML = '<img src=x onerror=window.hacked=1>'",
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'window.hacked=1'}))",
        "document.body.append(Object.assign(document.createElement('script'),"
        " {src: 'data:text/javascript,window.hacked=1'}))",
        "document.body.setAttribute('onclick', 'window.hacked=1'), document.body.click()",
        "setTimeout('window.hacked=1', 0)",
        "eval('window.hacked=1')",
        "import('data:text/javascript,window.hacked=1')",
    )
    for script in scripts:
        later = f"setTimeout(() => {{ {script}; done(); }}, 0); setTimeout(done, 100);"
        page.evaluate(f"new Promise((done) => {{ {later} }})")
        assert page.evaluate("window.hacked") is None, script
    page.evaluate("document.body.setAttribute('style', 'color: rgb(255, 0, 0)')")
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    with pytest.raises(Error, match="Failed to fetch|Content Security Policy"):
        page.evaluate("fetch('http://localhost:9/')")
    assert len(window.errors) > len(scripts)  # the browser has said so each time


def test_the_token_is_in_no_address_and_no_cookie(api: Http, visit: Visit, url: str) -> None:
    token = url.partition("#token=")[2]
    assert len(token) > 30
    open_run(visit.page, "broken")
    assert not [each for each in visit.urls if token in each.partition("#")[0]]
    assert token not in visit.page.url
    assert visit.cookies == []
    assert api.token not in visit.page.content()
    assert token not in rh.here.logs()
    arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [each for each in arguments if token.encode() in each]
    visit.page.reload()
    expect(visit.page.locator("#state")).to_have_text("live")


# -- for everybody --------------------------------------------------------------------------------


def test_it_can_be_used_without_a_mouse(page: Page) -> None:
    run = rh.function(sample.wait).to(rh.here).options(run_name="by-keyboard").run(60)

    def focused() -> str:
        script = "document.activeElement.ariaLabel || document.activeElement.textContent"
        return str(page.evaluate(script)).strip()

    def tab_to(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if focused() == name:
                return
        pytest.fail(f"{name} was not reached")

    page.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    tab_to("Runs")
    page.keyboard.press("Enter")
    tab_to("Runs")  # the list
    options = page.get_by_role("listbox", name="Runs").get_by_role("option")
    expect(options.first).to_contain_text("by-keyboard")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_class(re.compile("active"))
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_contain_text("by-keyboard")
    tab_to("Cancel")
    page.keyboard.press("Enter")
    assert focused() == "Leave it"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert focused() == "Cancel"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The run was cancelled.")
    with pytest.raises(rh.RunCancelledError):
        run.result(timeout=10)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_each_view_is_fit_for_everybody(visit: Visit, scheme: Scheme, width: int) -> None:
    page = visit.page
    visit.set_look(width, scheme)
    for view in ("Overview", "Runs", "Objects", "Clusters"):
        page.get_by_role("link", name=view, exact=True).click()
        expect(page.get_by_role("link", name=view, exact=True)).to_have_attribute(
            "aria-current", "page"
        )
        expect(page.locator("main :is(td, [role=option], [role=listitem])").first).to_be_visible()
        show(visit, view.lower())
        assert visit.violations() == []
        assert not visit.is_wider_than_window()
    open_run(page, "broken")
    show(visit, "run")
    assert visit.violations() == []
    assert not visit.is_wider_than_window()


def test_a_cluster_is_stopped_and_told_to_be_down(page: Page) -> None:
    assert rh.here.is_up()
    page.get_by_role("link", name="Clusters").click()
    row = page.get_by_role("row").filter(has_text="localhost")
    expect(row).to_contain_text("up")
    row.get_by_role("button", name="Stop local").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert")).to_have_text("local was stopped.")
    expect(row).to_contain_text("down")
    expect(page.get_by_role("button", name="Stop local")).to_have_count(0)
    assert not rh.here.is_up()
    page.get_by_role("button", name="Open local").click()
    expect(page.locator(".facts").first).to_contain_text("Workers")


# -- without `rh dashboard` -----------------------------------------------------------------------


def test_a_server_shows_itself_to_those_with_a_token(window: Visit, alone: ServerConfig) -> None:
    root = Path(alone.root)
    http = Http(running_server_path(alone), (root / "token").read_text())
    look = http("POST", "/tokens", {"name": "look", "read_only": True}).json["token"]
    window.begin()
    page = window.page
    page.goto(f"http://127.0.0.1:{alone.port}/")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("alert")).to_have_text("The token is not valid.")
    assert [error for error in window.errors if "401" not in error] == []
    page.get_by_label("Token").fill(look)
    page.get_by_role("button", name="Look").click()
    expect(page.locator("#host")).to_contain_text("(read only)")
    expect(page.locator(".facts").first).to_contain_text("1.2.3")
    http("PUT", "/objects/a", 1)
    window.refresh()
    expect(page.get_by_role("region", name="Workers").get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("button", name="Restart")).to_have_count(0)
    expect(page.get_by_role("link", name="Clusters")).to_be_hidden()
    http("DELETE", "/tokens/look")
    window.refresh()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_server_that_goes_away_is_found_again(window: Visit, alone: ServerConfig) -> None:
    window.begin()
    token = (Path(alone.root) / "token").read_text()
    window.page.goto(f"http://127.0.0.1:{alone.port}/#token={token}")
    state = window.page.locator("#state")
    expect(state).to_have_text("live")
    stop_server(ServerPaths(Path(alone.root)))
    window.refresh()
    expect(state).to_have_text("out of reach; trying again")
    start_server(alone)
    expect(state).to_have_text("live")
