"""Pictures of the MLflow pages of an output folder, taken with a headless Chromium, for the README.

    python -m tests.screenshot OUT SWEEP PICTURES [--browser PATH]

writes into PICTURES: `sweep.png` (parent expanded, children nested), `charts.png` (the runs' metrics as charts),
`overview.png` and `run.png` (one run and its metrics), `figure.png` (its figure artefact), `parent.png` (the sweep's
own metrics) and `sweep_figure.png` (its figure artefact). Needs `websocket-client`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import itertools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raycon.history import SweepHistory, read_sweep
from raycon.tracking.server import UiServer, deep_link, sweep_link
from raycon.tracking.tail import Cursor

BROWSERS = ("/usr/lib/chromium/chromium", "/usr/bin/chromium", "/usr/bin/google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-allow-origins=*")


# Without a pointer the charts' toolbars, which should be seen on hovering only, cover the charts.
HIDE_TOOLBARS = "document.head.insertAdjacentHTML('beforeend', '<style>.modebar {display: none}</style>')"


class Page:
    """One tab of a browser, driven over its debugging protocol. Waits for text, not for time."""

    def __init__(self, address: str):
        import websocket

        self.socket = websocket.create_connection(address, timeout=60)
        self.numbers = itertools.count(1)
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a protocol command; events in between are passed over."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def open(self, address: str, text: str, seconds: float = 60.0) -> None:
        """Load a page afresh (a change of the hash alone loads nothing) and wait until it shows `text`."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        self.wait(f"document.body && document.body.innerText.includes({json.dumps(text)})", seconds)

    def wait(self, condition: str, seconds: float = 30.0) -> None:
        """Wait until a JavaScript condition holds."""
        deadline = time.monotonic() + seconds
        while not self.run(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{condition}; the page shows: {str(self.run('document.body.innerText'))[:600]}")
            time.sleep(0.2)

    def click(self, selector: str) -> bool:
        """Click the first element of a CSS selector; False where there is none."""
        return bool(self.run(f"(e => e ? (e.click(), true) : false)(document.querySelector({json.dumps(selector)}))"))

    def store(self, name: str, value: str) -> None:
        """Set an item of the page's local storage, where MLflow keeps its settings."""
        self.run(f"localStorage.setItem({json.dumps(name)}, {json.dumps(value)})")

    def picture(self, path: Path, settle: float = 2.5) -> None:
        """Save what is seen, after `settle` seconds for charts to be drawn."""
        time.sleep(settle)
        self.run(HIDE_TOOLBARS)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        print(path)


@contextlib.contextmanager
def browser(program: str, width: int = 1500, height: int = 1150) -> Iterator[Page]:
    """A browser with a fresh profile and one page; ended with all its processes."""
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *(program, *FLAGS, f"--remote-debugging-port={port}", f"--user-data-dir={profile}"),
                *(f"--window-size={width},{height}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield Page(_debugging_address(port))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _debugging_address(port: int) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=2) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
                if pages:
                    return str(pages[0]["webSocketDebuggerUrl"])
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def take_pictures(out: Path, sweep: str, pictures: Path, program: str) -> None:
    """All pictures of one sweep; the run shown alone is the best one."""
    pictures.mkdir(parents=True, exist_ok=True)
    cursor, history = Cursor.load(out / sweep), read_sweep(out / sweep)
    if cursor is None:
        raise SystemExit(f"{out / sweep}: nothing was delivered to MLflow yet; run `raycon sync` first")
    child, key = _best_child(out / "mlflow.db", cursor.parent)
    with UiServer(out, port=free_port()) as server, browser(program) as page:
        page.open(f"{server.url}/#/experiments", sweep)
        page.store("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true")
        page.store("mlflow.assistant.panelOpen_v1", "false")
        page.open(deep_link(server.url, cursor.experiment, charts=False), sweep)
        state = f'MLflowLocalStorage-1.1-ExperimentPage-["{cursor.experiment}"]-ReactComponentState'
        stored = json.loads(page.run(f"localStorage.getItem({json.dumps(state)})") or "{}")
        page.store(state, json.dumps({**stored, "selectedColumns": _columns(history)}))
        page.open(deep_link(server.url, cursor.experiment, charts=False), sweep)
        page.wait(f"document.querySelector({json.dumps(EXPANDER)}) !== null")
        page.click(EXPANDER)
        page.wait(f"document.body.innerText.includes({json.dumps(key)})")
        page.picture(pictures / "sweep.png")
        page.open(sweep_link(history, out / sweep, server.url) or "", key)
        page.picture(pictures / "charts.png", 8.0)
        run = f"{server.url}/#/experiments/{cursor.experiment}/runs"
        for path, text, name in (
            (child, key, "overview"),
            (f"{child}/model-metrics", key, "run"),
            (f"{child}/artifacts/figure.png", "figure.png", "figure"),
            (f"{cursor.parent}/model-metrics", sweep, "parent"),
            (f"{cursor.parent}/artifacts/figure.png", "figure.png", "sweep_figure"),
        ):
            page.open(f"{run}/{path}?workflowType=machine_learning", text)
            page.picture(pictures / f"{name}.png", 4.0)


# The arrow that opens a parent in the list of runs. Components of MLflow's page are named after its source files.
EXPANDER = '[data-component-id*="cells_runnamecellrenderer"]'


def _columns(history: SweepHistory) -> list[str]:
    scores = [f"metrics.`{name}`" for name in (*history.maximize, *history.minimize)]
    return ["tags.`raycon.state`", *scores, *(f"params.`{path}`" for path in sorted(history.logarithmic_paths()))]


def _best_child(database: Path, parent: str) -> tuple[str, str]:
    """(id, name) of the sweep's best run, from its tag `raycon.best`; the first child where there is none."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        best = connection.execute(
            "select value from tags where run_uuid = ? and key = 'raycon.best'", (parent,)
        ).fetchone()
        children = connection.execute(
            "select runs.run_uuid, runs.name from runs join tags on tags.run_uuid = runs.run_uuid "
            "where tags.key = 'mlflow.parentRunId' and tags.value = ? order by runs.start_time",
            (parent,),
        ).fetchall()
    if not children:
        raise SystemExit("the sweep has no runs")
    found = next((child for child in children if best and child[1] == best[0]), children[0])
    return str(found[0]), str(found[1])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("sweep")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--browser", default=next((path for path in BROWSERS if Path(path).is_file()), None))
    options = parser.parse_args()
    if options.browser is None:
        sys.exit("no Chromium found; name it with --browser")
    take_pictures(options.out, options.sweep, options.pictures, options.browser)


if __name__ == "__main__":
    main()
