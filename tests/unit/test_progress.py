"""
Progress, reports and tables: what they show, and that nothing in them is taken for markup.
"""

from __future__ import annotations

import io
import os
from html.parser import HTMLParser

import pytest
from rich.console import Console

from kina import notebook
from kina.calls import Call
from kina.progress import _Live, with_progress
from kina.status import Check, ProgressEvent, Report
from kina.system import Doctor

EVENTS = (
    b'{"action":"pull","item":"sha256:aaaaaaaaaaaaaaaa","state":"downloading","current":1,"total":9}\n'
    b'{"action":"pull","item":"sha256:aaaaaaaaaaaaaaaa","state":"downloading","current":5,"total":9}\n'
    b'{"action":"pull","item":"sha256:aaaaaaaaaaaaaaaa","state":"done","current":9,"total":9}\n'
)
REPORT = Doctor(
    (
        Report(
            backend="oci",
            usable=False,
            checks=(
                Check(name="runc", state="ok", reason="1.1.5"),
                Check(name="<b>", state="failed", reason="[red]no", fix="apt install x"),
            ),
        ),
    )
)


def pull(call: Call) -> str:
    os.write(call.progress_fd, EVENTS)
    return "pulled"


def test_a_callback_gets_every_event_and_the_result_comes_through() -> None:
    events: list[ProgressEvent] = []
    assert with_progress(pull, "pull x", events.append, None) == "pulled"
    assert [event.current for event in events] == [1, 5, 9]


def test_a_callback_that_fails_ends_the_call() -> None:
    def fail(event: ProgressEvent) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        with_progress(pull, "pull x", fail, None)


def test_without_a_terminal_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with_progress(pull, "pull x", True, None)
    assert capsys.readouterr().err == (
        "pull x: aaaaaaaaaaaa downloading 9 B\npull x: aaaaaaaaaaaa done 9 B\n"
    )


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert with_progress(lambda call: call.progress_fd, "pull x", False, None) == -1
    assert capsys.readouterr().err == ""


def test_a_live_display_has_a_bar_for_each_part() -> None:
    display = _Live("pull x")
    with display as report:
        for item in ("one", "two", "[bold]", None):
            report(ProgressEvent(action="pull", item=item, state="[red]", current=1, total=2))
        assert len(display._progress.tasks) == 4


def test_a_report_reads_as_text_rich_and_html() -> None:
    assert repr(REPORT) == (
        "oci: not usable\n  ✓ runc  1.1.5\n  ✗ <b>   [red]no\n          → apt install x"
    )
    out = io.StringIO()
    Console(file=out, width=100).print(REPORT)
    assert "[red]no" in out.getvalue()
    html = REPORT._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


@pytest.mark.parametrize(
    "html",
    [
        notebook.card("<script>", {"<i>": "<img src=x>", "none": None}),
        notebook.table("<script>", ["<i>"], [["<img src=x>"]]),
    ],
)
def test_tables_escape_everything(html: str) -> None:
    tags: set[str] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _: tags.add(tag)  # type: ignore[method-assign]
    parser.feed(html)
    assert tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
