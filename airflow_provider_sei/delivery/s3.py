"""An object on S3: a multipart upload that runs during the download and is completed once everything is verified.

s3fs's own writer waits for each part before it accepts more, and uses a multipart upload for small files too.
"""

from __future__ import annotations

import errno
import io
import logging
from contextlib import suppress
from typing import Any

from airflow_provider_sei.delivery.remote import RemoteObject
from airflow_provider_sei.delivery.sinks import Worker

# bytes. Two parts are in memory: one being filled, one being sent. S3 takes at most 10,000 parts of at least 5 MiB;
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_PART = 6 * 1024 * 1024
_MAX_PARTS = 10_000

log = logging.getLogger("airflow_provider_sei")


class S3Sink(RemoteObject):
    """Write one object; a successful delivery aborts the uploads that killed ones of the same object left behind."""

    def __init__(self, path: Any) -> None:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        super().__init__(path)
        bucket, key, _ = self._fs.split_path(self._name)
        # Called as S3Hook's own argument is, which a connection cannot set. s3fs sends what a method knows of them.
        extra_args = S3Hook(aws_conn_id=path.conn_id).service_config.get("extra_args", {})
        self._object = {**extra_args, "Bucket": bucket, "Key": key}
        self._unfinished = self._list_unfinished()
        self._upload: dict[str, Any] = {}
        self._parts: list[dict[str, Any]] = []
        self._sender = Worker("sei-s3", max_pending=1)
        self._part = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Write the next bytes; send each full part."""
        view = memoryview(data)
        while view:
            view = view[self._part.write(view[: _PART - self._part.tell()]) :]
            if self._part.tell() == _PART:
                self._send()

    def commit(self, *, replace: bool) -> None:
        """Complete the upload, which makes the object visible; a small object is sent in one call."""
        # S3 answers 412 if another writer was faster; stores without conditions ignore the header or answer 501.
        condition = {} if replace else {"IfNoneMatch": "*"}
        if not self._parts:
            self._call("put_object", Body=self._part, **condition)
        else:
            if self._part.tell():
                self._send()
            self._sender.finish()
            parts = {"Parts": self._parts}
            self._call("complete_multipart_upload", **self._upload, MultipartUpload=parts, **condition)
            self._upload = {}
        self._fs.invalidate_cache()
        self.close()
        for upload_id in self._unfinished:
            log.info("Aborting an unfinished upload to %s that an earlier delivery left behind", self.uri)
            self._abort(upload_id)

    def close(self) -> None:
        """Abort the upload."""
        self._sender.shutdown(cancel_futures=True)
        if self._upload:
            self._abort(self._upload["UploadId"])
            self._upload = {}

    def _send(self) -> None:
        number = len(self._parts) + 1
        if number > _MAX_PARTS:
            msg = f"more than {_MAX_PARTS} parts of {_PART} bytes, the maximum of S3"
            raise OSError(msg)
        part: dict[str, Any] = {"PartNumber": number}
        self._parts.append(part)
        self._sender.add(self._send_part, part, self._part)
        self._part = io.BytesIO()

    def _send_part(self, part: dict[str, Any], body: io.BytesIO) -> None:
        # Created in this thread: a signal interrupts the main thread only, so it cannot come before the id is known.
        if not self._upload:
            self._upload = {"UploadId": self._call("create_multipart_upload")["UploadId"]}
        part["ETag"] = self._call("upload_part", **self._upload, **part, Body=body)["ETag"]

    def _call(self, method: str, **arguments: Any) -> Any:
        if body := arguments.get("Body"):
            body.seek(0)
        try:
            return self._fs.call_s3(method, **self._object, **arguments)
        except OSError as error:
            if error.errno != errno.ENOSYS or not arguments.pop("IfNoneMatch", None):
                raise
        return self._call(method, **arguments)

    def _abort(self, upload_id: str) -> None:
        # If that fails, the bucket's lifecycle rule for incomplete uploads remains.
        with suppress(Exception):
            self._call("abort_multipart_upload", UploadId=upload_id)

    def _list_unfinished(self) -> list[str]:
        """Return the ids of multipart uploads to exactly this object."""
        key = self._object["Key"]
        try:
            response = self._fs.call_s3("list_multipart_uploads", Bucket=self._object["Bucket"], Prefix=key)
        except OSError as error:  # usually a key without the permission, which nothing else needs
            log.debug("Unfinished uploads to %s cannot be listed: %s", self.uri, error)
            return []
        return [upload["UploadId"] for upload in response.get("Uploads") or () if upload["Key"] == key]
