"""The two servers of the download benchmark, each a process of its own: one gives a file, one takes an S3 upload.

``python servers.py files FOLDER`` or ``python servers.py s3``; the first line printed is the address. Both do as little
as they can for a byte, so that what is measured is the client.
"""

from __future__ import annotations

import os
import re
import socketserver
import sys
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

_ETAG = '"00000000000000000000000000000000"'
_SPACE = bytearray(1 << 20)


class Handler(BaseHTTPRequestHandler):
    """What both servers share."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Send a small answer in one packet."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "ETag": _ETAG, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class FileHandler(Handler):
    """Gives the files of a folder, by sendfile."""

    folder = Path()

    def do_GET(self) -> None:
        """Send the file that the last part of the path names."""
        name = self.path.partition("?")[0].rpartition("/")[2]
        with (self.folder / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.send_response(200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.flush()
            sent = 0
            while sent < size:
                sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, size - sent)


class NullS3Handler(Handler):
    """Takes objects, whole or in parts, and keeps nothing of them."""

    def do_PUT(self) -> None:
        """Take an object or a part."""
        if self.headers.get("Expect", "").casefold() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        left = int(self.headers.get("Content-Length", 0))
        view = memoryview(_SPACE)
        while left:
            left -= self.rfile.readinto(view[: min(left, len(view))])
        self.answer()

    def do_POST(self) -> None:
        """Begin or complete a multipart upload."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if re.search(r"[?&]uploads\b", self.path):
            self.answer(_xml("InitiateMultipartUploadResult", "<UploadId>u</UploadId>"))
        else:
            self.answer(_xml("CompleteMultipartUploadResult", f"<ETag>{_ETAG}</ETag>"))

    def do_GET(self) -> None:
        """List nothing."""
        if re.search(r"[?&]uploads\b", self.path):
            self.answer(_xml("ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>"))
        else:
            self.answer(_xml("ListBucketResult", "<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>"))

    def do_HEAD(self) -> None:
        """Know the bucket, and no object."""
        is_bucket = self.path.strip("/").count("/") == 0
        self.answer(status=200 if is_bucket else 404, Last_Modified=formatdate(usegmt=True))

    def do_DELETE(self) -> None:
        """Abort."""
        self.answer(status=204)


def _xml(root: str, content: str) -> bytes:
    return f'<?xml version="1.0"?><{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{root}>'.encode()


class Server(socketserver.ThreadingTCPServer):
    """Answers each connection in a thread."""

    daemon_threads = True
    allow_reuse_address = True


def main() -> None:
    """Serve until killed."""
    handler: type[Handler] = NullS3Handler
    if sys.argv[1] == "files":
        handler = FileHandler
        FileHandler.folder = Path(sys.argv[2])
    with Server(("127.0.0.1", 0), handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
