"""Objects of a Google Cloud Storage bucket, by its JSON API.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list (items, nextPageToken; md5Hash in base64, which composed
objects lack).
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from scprint2.data.sources.listing import field
from scprint2.data.sources.web import Web

PAGE = 1000  # the most that the service gives at once


@dataclass(frozen=True)
class StoredObject:
    """A file in a bucket.

    Attributes
    ----------
    md5
        In hexadecimal; empty where the service does not know it.
    """

    bucket: str
    name: str
    bytes: int
    md5: str

    def url(self, endpoint: str) -> str:
        """Return where it can be downloaded."""
        return object_url(endpoint, self.bucket, self.name)


def object_url(endpoint: str, bucket: str, name: str) -> str:
    """Return where an object of a bucket can be downloaded."""
    return f"{endpoint.rstrip('/')}/{bucket}/{quote(name)}"


def split_location(location: str) -> tuple[str, str]:
    """Split gs://bucket/prefix.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not location.startswith("gs://") or "/" not in location[len("gs://") :]:
        raise ValueError(f"location is {location!r}; it must be gs://bucket/prefix/")
    bucket, prefix = location[len("gs://") :].split("/", 1)
    return bucket, prefix.rstrip("/") + "/"


def list_objects(web: Web, endpoint: str, bucket: str, prefix: str) -> Iterator[StoredObject]:
    """List every object whose name starts with a prefix, page after page.

    Raises
    ------
    ValueError
        If the service does not answer, or not as documented.
    """
    url = f"{endpoint.rstrip('/')}/storage/v1/b/{bucket}/o"
    page = ""
    while True:
        parameters: dict[str, str | int] = {"prefix": prefix, "maxResults": PAGE}
        answer = web.get_json(url, parameters | ({"pageToken": page} if page else {}))
        for item in answer.get("items", ()):
            yield StoredObject(
                bucket,
                str(field(item, "name", where=url)),
                int(str(field(item, "size", where=url))),
                base64.b64decode(item.get("md5Hash", "")).hex(),
            )
        page = answer.get("nextPageToken", "")
        if not page:
            return
