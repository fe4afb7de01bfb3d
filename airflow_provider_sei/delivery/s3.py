"""An object on S3: a multipart upload, completed once everything is verified, while the download goes on meanwhile.

s3fs's own writer waits for each part before it takes in more, and makes a multipart upload of the smallest file too.
"""

from __future__ import annotations

import io
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.delivery.background import Background
from airflow_provider_sei.delivery.remote import RemoteObject

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["S3Sink"]

# bytes. Two parts are held, one being filled and one being sent, whatever the file's size. S3 takes
# 10,000 parts at most, of 5 MiB at least; https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_PART = 6 * 1024 * 1024
_MOST_PARTS = 10_000

log = logging.getLogger("airflow_provider_sei")


class S3Sink(RemoteObject):
    """Writes one object; see :class:`airflow_provider_sei.delivery.stores.Sink`.

    What killed deliveries of the same object have left behind is aborted once this one has succeeded.
    """

    def __init__(self, path: ObjectStoragePath) -> None:
        super().__init__(path)
        bucket, key, _ = self._fs.split_path(self._name)
        self._object = {"Bucket": bucket, "Key": key}
        self._abandoned = self._unfinished_uploads()
        self._upload: dict[str, Any] = {}
        self._parts: list[dict[str, Any]] = []
        self._sending = Background("sei-s3", ahead=1)
        self._part = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Take in the next bytes; send them when they make a part."""
        view = memoryview(data)
        while view:
            taken = self._part.write(view[: _PART - self._part.tell()])
            view = view[taken:]
            if self._part.tell() == _PART:
                self._send()

    def commit(self, *, replace: bool) -> None:
        """Complete the upload, which makes the object visible; a small one is sent in one call."""
        # S3 refuses with 412 when somebody else was faster; stores that know no conditions ignore the header.
        condition = {} if replace else {"IfNoneMatch": "*"}
        if not replace:
            self._refuse_existing()
        if not self._parts:
            self._part.seek(0)
            self._call("put_object", Body=self._part, **condition)
        else:
            if self._part.tell():
                self._send()
            self._sending.finish()
            parts = {"Parts": self._parts}
            self._call("complete_multipart_upload", **self._upload, MultipartUpload=parts, **condition)
            self._upload = {}
        self._fs.invalidate_cache()
        self.close()
        for upload_id in self._abandoned:
            log.info("Aborting an upload to %s that an earlier delivery has left behind", self.uri)
            self._abort(upload_id)

    def close(self) -> None:
        """Abort the upload."""
        self._sending.abandon()
        if self._upload:
            self._abort(self._upload["UploadId"])
            self._upload = {}

    def _send(self) -> None:
        number = len(self._parts) + 1
        if number > _MOST_PARTS:
            msg = f"more than {_MOST_PARTS} parts of {_PART} bytes, the most that S3 takes"
            raise OSError(msg)
        part: dict[str, Any] = {"PartNumber": number}
        self._parts.append(part)
        self._sending.submit(self._send_part, part, self._part)
        self._part = io.BytesIO()

    def _send_part(self, part: dict[str, Any], body: io.BytesIO) -> None:
        # Begun here, too: a signal, which interrupts the main thread only, can't come before its id is known.
        if not self._upload:
            self._upload = {"UploadId": self._call("create_multipart_upload")["UploadId"]}
        body.seek(0)
        part["ETag"] = self._call("upload_part", **self._upload, **part, Body=body)["ETag"]

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._fs.call_s3(method, **self._object, **arguments)
        return answer

    def _abort(self, upload_id: str) -> None:
        # Where that fails, the bucket's lifecycle rule for incomplete uploads remains.
        with suppress(Exception):
            self._call("abort_multipart_upload", UploadId=upload_id)

    def _unfinished_uploads(self) -> list[str]:
        """Return the ids of multipart uploads to exactly this object."""
        try:
            answer = self._fs.call_s3(
                "list_multipart_uploads", Bucket=self._object["Bucket"], Prefix=self._object["Key"]
            )
        except OSError as error:  # most often a key without the right to list them, which is not needed otherwise
            log.debug("Unfinished uploads to %s cannot be listed: %s", self.uri, error)
            return []
        uploads = answer.get("Uploads") or ()
        return [upload["UploadId"] for upload in uploads if upload["Key"] == self._object["Key"]]
