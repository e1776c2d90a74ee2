"""The runs and their output in the dashboard, in a real browser, in front of a real server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

import runhouse as rh
from tests.integration import dashboard_sample, sample
from tests.rigs.dashboard import (
    api as api,
    browser as browser,
    open_run,
    open_runs,
    page as page,
    url as url,
    visit as visit,
    window as window,
)

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.rigs.browser import Visit
    from tests.rigs.http import Http

pytestmark = pytest.mark.timeout(60)


def test_it_shows_runs_with_who_when_and_how_long(api: Http, page: Page) -> None:
    options = open_runs(page).get_by_role("option")
    runs = api("GET", "/runs").json["runs"]
    expect(options.first).to_contain_text(runs[0]["name"])
    for run in runs[:6]:
        option = options.filter(has=page.get_by_text(run["name"], exact=True))
        expect(option).to_contain_text(run["status"])
        expect(option).to_contain_text(run["caller"])
        expect(option).to_contain_text(re.compile(r"\d:\d\d"))
        expect(option).to_contain_text(re.compile(r"\d+ (ms|s)$"))
    page.get_by_role("button", name="Failed").click()
    failed = [run for run in runs if run["status"] in {"failed", "lost"}]
    expect(options).to_have_count(len(failed))
    page.get_by_role("searchbox").fill("SampleError 7")
    expect(options).to_have_count(1)
    options.click(delay=300)  # as long as a finger takes, while the list is drawn anew
    shown = page.get_by_role("complementary", name="Run")
    expect(shown).to_contain_text("tests.integration.sample.SampleError: code 7")


def test_a_run_appears_and_its_log_is_followed_to_its_end(page: Page, tmp_path: Path) -> None:
    options = open_runs(page).get_by_role("option")
    speak = rh.function(dashboard_sample.say_and_wait).to(rh.here)
    run = speak.options(run_name="follow-me").run("hello there", str(tmp_path / "go"))
    option = options.filter(has_text="follow-me")
    expect(option).to_contain_text("running")
    option.click()
    log = page.get_by_role("region", name="Log")
    expect(log.locator(".stdout")).to_have_text(["hello there"])
    (tmp_path / "go").touch()
    expect(log.locator(".stdout")).to_have_text(["hello there", "hello there again"])
    expect(option).to_contain_text("done")
    assert run.result() is None


def test_a_slow_click_opens_the_run_that_was_pressed(page: Page, tmp_path: Path) -> None:
    options = open_runs(page).get_by_role("option")
    speak = rh.function(dashboard_sample.say_and_wait).to(rh.here)
    run = speak.options(run_name="pressed").run("hello there", str(tmp_path / "go"))
    lasted = options.filter(has_text="pressed").locator("span").last
    lasted.hover()
    before = lasted.text_content()
    page.mouse.down()  # on a text that changes, in a row into which another run is about to come
    expect(lasted).not_to_have_text(str(before))
    later = speak.options(run_name="later").run("hello again", str(tmp_path / "go"))
    expect(options.first).to_contain_text("later")
    page.mouse.up()
    shown = page.get_by_role("complementary", name="Run")
    expect(shown.get_by_role("heading", level=2)).to_contain_text("pressed")
    (tmp_path / "go").touch()
    assert [run.result(), later.result()] == [None, None]


def test_output_is_shown_as_a_terminal_would(page: Page) -> None:
    say = rh.function(dashboard_sample.say_all).to(rh.here)
    texts = [
        "one\ntw",
        "o\n",
        "10 %\r",
        "100 %\r\n",
        "\x1b[31mred\x1b[0m\n",
        "\n",
        f"ü\t{'end' * 200}",
    ]
    assert say.options(run_name="terminal").run(texts).result() == len(texts)
    lines = open_run(page, "terminal").locator(".stdout")
    expect(lines).to_have_count(6)
    texts = [text.replace("\u200b", "") for text in lines.all_text_contents()]
    assert texts == ["one", "two", "100 %", "red", "", f"ü\t{'end' * 200}"]
    log = page.get_by_role("region", name="Log")
    assert log.evaluate("box => box.scrollWidth > box.clientWidth"), "long lines are not wrapped"


def test_a_call_that_is_not_recorded_says_where_its_output_goes(visit: Visit) -> None:
    page = visit.page
    call: Any = rh.function(sample.count_to).to(rh.here)(10**9, pause_s=0.02)
    assert next(call) == 0
    options = open_runs(page).get_by_role("option")
    page.get_by_role("button", name="Going").click()
    options.first.click()
    expect(page.get_by_role("complementary")).to_contain_text("This call is not recorded")
    call.close()
    visit.refresh()
    expect(options).to_have_count(0)


def test_a_cancel_is_asked_back_and_cancels(page: Page) -> None:
    run = rh.function(sample.wait).to(rh.here).options(run_name="cancel-me").run(60)
    shown = open_run(page, "cancel-me")
    shown.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Leave it").click()
    assert run.status == "running"
    shown.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_have_text("The run was cancelled.")
    expect(shown.get_by_role("heading", level=2)).to_contain_text("cancelled")
    expect(shown.get_by_role("button", name="Cancel")).to_be_hidden()
    with pytest.raises(rh.RunCancelledError):
        run.result(timeout=10)


def test_a_thousand_runs_are_a_list_of_some_rows(page: Page) -> None:
    add = rh.function(sample.add).to(rh.here)
    calls = [add.options(run_name=f"many-{number}").run(number) for number in range(1000)]
    assert calls[-1].result() == 1000
    box = open_runs(page)
    expect(page.get_by_text("older ones that a search finds")).to_be_visible()
    options = box.get_by_role("option")
    expect(options.first).to_contain_text("many-999")
    assert 5 < options.count() < 40
    box.evaluate("box => { box.scrollTop = box.scrollHeight; }")
    expect(options.last).to_contain_text("many-")
    expect(options.last).to_have_attribute("aria-posinset", "1000")
    assert options.count() < 40
    page.get_by_role("searchbox").fill("sum-3")  # older than those
    expect(options).to_have_count(1)
    expect(options).to_contain_text("sum-3")


def test_fifty_thousand_lines_are_a_log_of_some_rows(page: Page) -> None:
    speak = rh.function(dashboard_sample.many_lines).to(rh.here)
    speak.options(run_name="lines").run(50_000).result()
    shown = open_run(page, "lines")
    log = shown.get_by_role("region", name="Log")
    lines = log.locator(".stdout")
    expect(shown).to_contain_text("50,000 lines")
    expect(lines.last).to_have_text("line 49999")
    assert lines.count() < 100
    log.evaluate("box => { box.scrollTop = 0; }")
    expect(lines.first).to_have_text("line 0")
    shown.get_by_role("searchbox", name="Filter lines").fill("line 4999")
    expect(shown).to_contain_text("11 of 50,000 lines")
    expect(lines.last).to_have_text("line 49999")
