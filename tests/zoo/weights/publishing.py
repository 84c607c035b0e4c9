"""A publisher of one small weight file, on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading

from weight_files import GOOD

from zoo.weights.sources import SOURCES

CONTENT = GOOD["th"]
OTHER = GOOD["pth"]  # good weights, but not those that were asked for
DIGEST = hashlib.sha256(CONTENT).hexdigest()
# how much the publisher says of a file
KNOWN = {
    "all digits": {"sha256": DIGEST},
    "eight digits": {"sha256": DIGEST[:8]},
    "size": {"sha256": None, "size": len(CONTENT)},
}


class Publisher:
    """A server of one file, which remembers what it was asked for.

    Attributes:
        manner: "whole"; "short": it says how much comes, and sends half of it; "unsaid": the same without saying how
            much; or a status such as "404".
        content: what it sends.
    """

    def __init__(self):
        self.requests = []
        self.manner = "whole"
        self.content = CONTENT
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.requests.append(self.path)
                if publisher.manner.isdigit():
                    self.send_error(int(publisher.manner))
                    return
                content = publisher.content
                self.send_response(200)
                if publisher.manner != "unsaid":
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content if publisher.manner == "whole" else content[: len(content) // 2])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def publish(monkeypatch, url, known="all digits", **parts):
    """Makes `find_weights("resnet20", "tiny")` one that finds the file of this address."""
    source = dataclasses.replace(SOURCES["resnet20"]["cifar10"], url=f"{url}/tiny.th", **KNOWN[known], **parts)
    monkeypatch.setitem(SOURCES, "resnet20", {"tiny": source, "cifar10": SOURCES["resnet20"]["cifar10"]})
    return source


def one_line(error):
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message
