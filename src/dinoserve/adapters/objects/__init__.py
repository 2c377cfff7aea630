"""The object store: in a folder on a disk, or in a bucket behind the S3 protocol."""

from dinoserve.adapters.objects.bucket import Bucket
from dinoserve.adapters.objects.local import LocalObjects
from dinoserve.adapters.objects.opening import open_pictures, open_place, secret_key
from dinoserve.adapters.objects.pictures import BucketPictures
from dinoserve.adapters.objects.s3 import S3Objects

__all__ = [
    "Bucket",
    "BucketPictures",
    "LocalObjects",
    "S3Objects",
    "open_pictures",
    "open_place",
    "secret_key",
]
