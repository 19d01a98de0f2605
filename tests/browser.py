"""A headless Chromium, driven over the WebDriver protocol through Debian's chromedriver."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "GRADPARITY_REQUIRE_BROWSER"
STARTUP_SECONDS = 60


def programs() -> tuple[str, str]:
    """Return chromium and chromedriver, or skip; in CI their absence is a failure."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium and driver:
        return chromium, driver
    reason = "no chromium and chromedriver on PATH: apt-get install chromium chromium-driver"
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but {reason}")
    pytest.skip(reason)


@dataclass
class Browser:
    """One window; every method waits until the browser has done it."""

    session: str
    devtools_calls: int = field(default=0, repr=False)

    def open(self, page: Path) -> None:
        _call("POST", f"{self.session}/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *args: Any) -> Any:
        """Return what the script returns; its arguments are `arguments[0]` and so on."""
        return _call("POST", f"{self.session}/execute/sync", {"script": script, "args": list(args)})

    def press(self, keys: str) -> None:
        """Press keys on the focused element; WebDriver's code points stand for named keys."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        _call("POST", f"{self.session}/actions", {"actions": [source]})

    def devtools(self, command: str, **params: Any) -> Any:
        self.devtools_calls += 1
        return _call("POST", f"{self.session}/goog/cdp/execute", {"cmd": command, "params": params})

    def resize(self, width: int, height: int = 900, *, mobile: bool = False) -> None:
        """Give the page a screen of CSS pixels, however small a window may be."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if mobile else 1,
            mobile=mobile,
        )

    def prefer(self, scheme: str) -> None:
        """Have the reader prefer "light" or "dark" pages."""
        self.devtools(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def messages(self) -> list[str]:
        """Return what the console has said since the last call."""
        entries = _call("POST", f"{self.session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    def screenshot(self, path: Path) -> None:
        """Save the whole page, also what lies below the window, as PNG."""
        image = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(image["data"]))


# Names what reaches beyond the right edge; what may be scrolled within its own box does not.
OVERFLOW = """
const right = document.documentElement.clientWidth;
return [...document.querySelectorAll('body *')]
  .filter(e => !e.parentElement.closest('.scrolls, svg') && !e.matches('.skip'))
  .filter(e => e.getBoundingClientRect().right > right + 0.5)
  .map(e => e.outerHTML.slice(0, 80))
  .concat(document.documentElement.scrollWidth > right ? ['the page itself'] : []);
"""

# Names texts that are drawn smaller than so many CSS pixels, labels in figures included.
SMALL_TEXTS = """
const size = element => {
  const matrix = element.getScreenCTM ? element.getScreenCTM() : {a: 1, b: 0};
  return parseFloat(getComputedStyle(element).fontSize) * Math.hypot(matrix.a, matrix.b);
};
const written = element =>
  [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
return [...document.querySelectorAll('body *')]
  .filter(e => !e.matches('script, style, option, tspan, math *'))  // indices may be smaller
  .filter(e => written(e) || e.matches('text'))
  .filter(e => e.getClientRects().length && size(e) < arguments[0] - 0.01)
  .map(e => `${size(e).toFixed(1)}: ${e.textContent.slice(0, 40)}`);
"""

RIGHT, END, HOME, TAB = "\ue014", "\ue010", "\ue011", "\ue004"


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a browser of its own profile, and end exactly what was started."""
    chromium, driver = programs()
    port = _free_port()
    with tempfile.TemporaryDirectory() as profile, open(os.devnull, "wb") as silence:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=silence, stderr=silence)
        address = f"http://127.0.0.1:{port}"
        browser = None
        try:
            _wait_until_ready(address)
            answer = _call("POST", f"{address}/session", _capabilities(chromium, profile))
            browser = Browser(f"{address}/session/{answer['sessionId']}")
            yield browser
        finally:
            if browser is not None:
                _call("DELETE", browser.session)
            process.terminate()
            process.wait(timeout=30)


def _capabilities(chromium: str, profile: str) -> dict[str, Any]:
    arguments = ["--headless=new", f"--user-data-dir={profile}", "--disable-dev-shm-usage"]
    if os.name == "posix" and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's sandbox refuses to run as root
    options = {"binary": chromium, "args": arguments}
    return {
        "capabilities": {
            "alwaysMatch": {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
        }
    }


def _call(method: str, address: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        address,
        method=method,
        data=None if method in ("GET", "DELETE") else json.dumps(body or {}).encode(),
        headers={"Content-Type": "application/json"},
    )
    # A proxy from the environment must not see what is said on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        message = json.load(error)["value"]["message"]
        raise RuntimeError(f"{method} {address}: {message}") from error


def _wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        try:
            if _call("GET", f"{address}/status")["ready"]:
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"chromedriver at {address} was not ready in {STARTUP_SECONDS} s")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
