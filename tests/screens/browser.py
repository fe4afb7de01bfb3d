"""A headless Chromium of the machine, led by its DevTools protocol: as much of it as a screenshot takes."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

__all__ = ["Browser", "browser"]

_PATIENCE_SECONDS = 60.0
# Not more than a page needs: nothing that looks for updates or tells anybody anything.
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)


class Browser:
    """One page."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._last = 0
        self._send("Page.enable")

    def resize(self, width: int, height: int) -> None:
        """Give the page another size, in pixels."""
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def at_each_page(self, script: str) -> None:
        """Run JavaScript before anything else of each page that is opened from now on."""
        self._send("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url: str) -> None:
        """Go to a page; what it shows comes later."""
        self._send("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """Return what a JavaScript expression is worth."""
        answer = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """Return what a JavaScript expression is worth as soon as it is true.

        Raises:
            AssertionError: it never is; the message has what the page shows.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (value := self.evaluate(script)):
            assert time.monotonic() < deadline, f"{script}: {self.evaluate('document.body.innerText')}"
            time.sleep(0.2)
        return value

    def shows(self, *texts: str) -> None:
        """Wait until all of ``texts`` can be read on the page."""
        for text in texts:
            self.until(f"document.body.innerText.includes({json.dumps(text)})")

    def click(self, selector: str, text: str = "") -> None:
        """Click the first element that ``selector`` finds and that reads ``text``, if given, once there is one."""
        every = f"[...document.querySelectorAll({json.dumps(selector)})]"
        one = f"{every}.find(e => {json.dumps(text)} === '' || e.innerText.trim() === {json.dumps(text)})"
        place = self.until(f"(e => e && (e.scrollIntoView(), e.getBoundingClientRect().toJSON()))({one})")
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        self._mouse("mousePressed", x, y)
        self._mouse("mouseReleased", x, y)

    def drag(self, selector: str, x: float) -> None:
        """Take the first element that ``selector`` finds to another place of its line."""
        place = self.until(f"document.querySelector({json.dumps(selector)})?.getBoundingClientRect().toJSON()")
        y = place["y"] + place["height"] / 4
        self._mouse("mousePressed", place["x"] + place["width"] / 2, y)
        self._mouse("mouseMoved", x, y)
        self._mouse("mouseReleased", x, y)

    def type(self, text: str) -> None:
        """Write into what has the focus, and press Enter."""
        self._send("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13)

    def shoot(self, file: Path) -> None:
        """Write the page as it is seen, as PNG."""
        time.sleep(1.0)  # the end of the page's own movements cannot be asked for
        file.write_bytes(base64.b64decode(self._send("Page.captureScreenshot")["data"]))

    def _mouse(self, kind: str, x: float, y: float) -> None:
        self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def _send(self, method: str, **params: Any) -> Any:
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            answer = json.loads(self._connection.recv(timeout=_PATIENCE_SECONDS))
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer)
                return answer["result"]


@contextmanager
def browser(program: str, folder: Path) -> Iterator[Browser]:
    """Run Chromium with a profile of its own in ``folder``, and end it in any case."""
    command = [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
    with (folder / "chromium.log").open("wb") as log, subprocess.Popen(command, stderr=log) as running:
        try:
            with connect(_page(folder), max_size=None, proxy=None) as connection:
                yield Browser(connection)
        finally:
            running.terminate()


def _page(folder: Path) -> str:
    """Return the address of the first page, once Chromium has written where it listens."""
    import requests

    deadline = time.monotonic() + _PATIENCE_SECONDS
    port_file = folder / "DevToolsActivePort"
    while not port_file.exists() or not port_file.read_text().count("\n"):
        assert time.monotonic() < deadline, (folder / "chromium.log").read_text()
        time.sleep(0.1)
    port = port_file.read_text().splitlines()[0]
    with requests.Session() as session:
        session.trust_env = False
        pages = session.get(f"http://127.0.0.1:{port}/json", timeout=_PATIENCE_SECONDS).json()
    return next(str(page["webSocketDebuggerUrl"]) for page in pages if page["type"] == "page")
