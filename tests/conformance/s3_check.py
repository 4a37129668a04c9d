"""S3, asked by boto3: buckets, objects, ranges, conditions, checksums, lists, parts, copies, tags and presigned URLs."""

import base64
import datetime
import hashlib
import io
import itertools
import os
import threading
import time
import urllib.error
import urllib.request
import zlib

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from checks import REGION, check, client, options, refused, run, same, together

MIB = 1024 * 1024
PRECONDITION = "PreconditionFailed"
NO_KEY = "NoSuchKey"
NO_BUCKET = "NoSuchBucket"
NO_UPLOAD = "NoSuchUpload"


class World:
    def __init__(self, endpoint):
        self.s3 = client("s3", endpoint)
        self.strict = client("s3", endpoint, retries=False)
        self.bucket = "lake"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.keys = (f"key-{n}" for n in itertools.count())

    def put(self, key, body=b"body", **more):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def get(self, key, **more):
        return self.s3.get_object(Bucket=self.bucket, Key=key, **more)

    def read(self, key, **more):
        return self.get(key, **more)["Body"].read()

    def head(self, key, **more):
        return self.s3.head_object(Bucket=self.bucket, Key=key, **more)

    def new(self, body=b"body", **more):
        """The key of an object of its own for a check."""
        key = next(self.keys)
        self.put(key, body, **more)
        return key

    def at(self, key, **more):
        return {"Bucket": self.bucket, "Key": key, **more}

    def upload(self, key, parts, **more):
        """An upload with its parts, not completed."""
        upload = self.s3.create_multipart_upload(**self.at(key, **more))["UploadId"]
        done = []
        for number, body in parts.items():
            part = self.s3.upload_part(**self.at(key), UploadId=upload, PartNumber=number, Body=body)
            done.append({"PartNumber": number, "ETag": part["ETag"]})
        return upload, done

    def tags(self, key):
        return {tag["Key"]: tag["Value"] for tag in self.s3.get_object_tagging(**self.at(key))["TagSet"]}


def md5(body):
    return hashlib.md5(body).hexdigest()


def b64(data):
    return base64.b64encode(data).decode()


def crc32(body):
    return b64(zlib.crc32(body).to_bytes(4, "big"))


def tag_set(**tags):
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


# Buckets


@check
def a_bucket_is_created_found_listed_and_deleted_when_it_is_empty(world):
    here = {"LocationConstraint": REGION}
    world.s3.create_bucket(Bucket="short-lived", CreateBucketConfiguration=here)
    same(world.s3.head_bucket(Bucket="short-lived")["BucketRegion"], REGION)
    same(world.s3.get_bucket_location(Bucket="short-lived")["LocationConstraint"], REGION)
    assert "short-lived" in [bucket["Name"] for bucket in world.s3.list_buckets()["Buckets"]]
    refused(
        "BucketAlreadyOwnedByYou",
        world.strict.create_bucket,
        Bucket="short-lived",
        CreateBucketConfiguration=here,
    )
    world.s3.put_object(Bucket="short-lived", Key="a", Body=b"")
    refused("BucketNotEmpty", world.strict.delete_bucket, Bucket="short-lived")
    world.s3.delete_object(Bucket="short-lived", Key="a")
    world.s3.delete_bucket(Bucket="short-lived")
    refused("404", world.strict.head_bucket, Bucket="short-lived")
    refused(NO_BUCKET, world.strict.delete_bucket, Bucket="short-lived")


@check
def bucket_names_have_their_rules(world):
    here = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    for bad in ("UPPER", "a_b", "ab", "-ab", "ab-", "192.168.5.4", "a..b", "x" * 64):
        try:
            refused("InvalidBucketName", world.strict.create_bucket, Bucket=bad, **here)
        except AssertionError as error:
            raise AssertionError(f"{bad}: {error}") from None


@check
def what_is_in_a_missing_bucket_is_not_there(world):
    missing = {"Bucket": "not-here", "Key": "a"}
    refused(NO_BUCKET, world.strict.get_object, **missing)
    refused(NO_BUCKET, world.strict.put_object, **missing, Body=b"x")
    refused(NO_BUCKET, world.strict.delete_object, **missing)
    refused(NO_BUCKET, world.strict.list_objects_v2, Bucket="not-here")
    refused(NO_BUCKET, world.strict.create_multipart_upload, **missing)
    refused("404", world.strict.head_object, **missing)


# Objects


@check
def an_object_comes_back_with_its_bytes_and_its_description(world):
    body = os.urandom(100_000)
    described = {
        "ContentType": "application/json",
        "ContentEncoding": "zstd",
        "ContentDisposition": 'attachment; filename="a.json"',
        "ContentLanguage": "de",
        "CacheControl": "no-cache",
        "Metadata": {"one": "1", "two-words": "a b"},
    }
    key, before = next(world.keys), time.time()
    same(world.put(key, body, **described)["ETag"], f'"{md5(body)}"')
    for answer in (world.get(key), world.head(key)):
        same({name: answer[name] for name in described}, described)
        same((answer["ContentLength"], answer["ETag"]), (len(body), f'"{md5(body)}"'))
        assert before - 2 <= answer["LastModified"].timestamp() <= time.time() + 2
        same(answer["AcceptRanges"], "bytes")
    same(world.read(key), body)


@check
def an_object_without_a_type_is_binary_and_may_be_empty(world):
    key = world.new(b"")
    answer = world.get(key)
    same((answer["ContentType"], answer["ContentLength"], answer["Body"].read()), ("binary/octet-stream", 0, b""))


@check
def a_later_put_replaces_the_whole_object(world):
    key = world.new(b"first", Metadata={"a": "1"}, ContentType="text/plain")
    world.put(key, b"second")
    answer = world.get(key)
    same((answer["Body"].read(), answer["Metadata"], answer["ContentType"]), (b"second", {}, "binary/octet-stream"))


@check
def what_is_not_there_is_not_found(world):
    refused(NO_KEY, world.strict.get_object, **world.at("missing"))
    refused("404", world.strict.head_object, **world.at("missing"))
    deleted = world.strict.delete_object(**world.at("missing"))
    same(deleted["ResponseMetadata"]["HTTPStatusCode"], 204)


@check
def keys_may_be_anything_up_to_1024_bytes(world):
    keys = ["a/b//c", "/lead", "trail/", "sp ace+plus%25", "ключ/\U0001f600", "a?b&c=d#e", "..", "./x", "k" * 1024, "q'\"<>&"]
    for key in keys:
        world.put(key, key.encode())
    for key in keys:
        same(world.read(key), key.encode(), key)
    listed = [e["Key"] for e in world.s3.list_objects_v2(Bucket=world.bucket)["Contents"]]
    same([key for key in listed if key in keys], sorted(keys, key=str.encode))
    for key in keys:
        world.s3.delete_object(**world.at(key))
    refused("KeyTooLongError", world.strict.put_object, **world.at("k" * 1025), Body=b"")


@check
def metadata_has_at_most_two_kilobytes(world):
    refused("MetadataTooLarge", world.strict.put_object, **world.at("meta"), Body=b"", Metadata={"a": "x" * 2048})


@check
def ranges_are_answered_in_part(world):
    key = world.new(bytes(range(100)))

    def part(range):
        answer = world.get(key, Range=range)
        same(answer["ResponseMetadata"]["HTTPStatusCode"], 206)
        return list(answer["Body"].read()), answer["ContentRange"]

    same(part("bytes=0-0"), ([0], "bytes 0-0/100"))
    same(part("bytes=10-19"), (list(range(10, 20)), "bytes 10-19/100"))
    same(part("bytes=95-"), ([95, 96, 97, 98, 99], "bytes 95-99/100"))
    same(part("bytes=-3"), ([97, 98, 99], "bytes 97-99/100"))
    same(part("bytes=-1000"), (list(range(100)), "bytes 0-99/100"))
    same(part("bytes=98-1000"), ([98, 99], "bytes 98-99/100"))
    answer = refused("InvalidRange", world.strict.get_object, **world.at(key), Range="bytes=100-")
    same(answer["ResponseMetadata"]["HTTPStatusCode"], 416)
    head = world.head(key, Range="bytes=10-19")
    same((head["ContentLength"], head["ContentRange"]), (10, "bytes 10-19/100"))


@check
def headers_of_an_answer_are_what_the_request_asks_for(world):
    key = world.new(b"x", ContentType="text/plain")
    answer = world.get(
        key,
        ResponseContentType="text/csv",
        ResponseContentDisposition="inline",
        ResponseCacheControl="max-age=1",
        ResponseContentEncoding="identity",
        ResponseContentLanguage="en",
    )
    names = ("ContentType", "ContentDisposition", "CacheControl", "ContentEncoding", "ContentLanguage")
    same([answer[name] for name in names], ["text/csv", "inline", "max-age=1", "identity", "en"])
    same(world.get(key)["ContentType"], "text/plain")


# Conditions


@check
def reads_have_conditions(world):
    key = world.new(b"conditional")
    tag, at = f'"{md5(b"conditional")}"', world.at(key)
    hour = datetime.timedelta(hours=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    for call in (world.strict.get_object, world.strict.head_object):
        call(**at, IfMatch=tag)
        call(**at, IfNoneMatch='"other"')
        call(**at, IfModifiedSince=now - hour)
        call(**at, IfUnmodifiedSince=now + hour)
        refused({PRECONDITION, "412"}, call, **at, IfMatch='"other"')
        refused("304", call, **at, IfNoneMatch=tag)
        refused("304", call, **at, IfModifiedSince=now)
        refused({PRECONDITION, "412"}, call, **at, IfUnmodifiedSince=now - hour)
        # An ETag that is given decides over the time beside it.
        call(**at, IfMatch=tag, IfUnmodifiedSince=now - hour)
        refused("304", call, **at, IfNoneMatch=tag, IfModifiedSince=now - hour)


@check
def a_key_is_written_only_once_with_if_none_match(world):
    key = next(world.keys)
    world.strict.put_object(**world.at(key), Body=b"first", IfNoneMatch="*")
    answer = refused(PRECONDITION, world.strict.put_object, **world.at(key), Body=b"second", IfNoneMatch="*")
    same(answer["ResponseMetadata"]["HTTPStatusCode"], 412)
    same(world.read(key), b"first")
    world.s3.delete_object(**world.at(key))
    world.strict.put_object(**world.at(key), Body=b"third", IfNoneMatch="*")
    same(world.read(key), b"third")


@check
def of_many_writers_of_one_key_exactly_one_wins(world):
    key = next(world.keys)
    write = lambda n: lambda: world.strict.put_object(**world.at(key), Body=f"writer {n}".encode(), IfNoneMatch="*")
    results = together([write(n) for n in range(24)])
    winners = [n for n, result in enumerate(results) if isinstance(result, dict)]
    same(len(winners), 1, "winners")
    codes = {r.response["Error"]["Code"] for r in results if isinstance(r, ClientError)}
    assert codes <= {PRECONDITION, "ConditionalRequestConflict"}, codes
    same(world.read(key), f"writer {winners[0]}".encode())


@check
def an_object_is_replaced_only_when_it_is_the_one_that_was_read(world):
    key = world.new(b"first")
    tag = world.head(key)["ETag"]
    second = world.strict.put_object(**world.at(key), Body=b"second", IfMatch=tag)["ETag"]
    refused(PRECONDITION, world.strict.put_object, **world.at(key), Body=b"third", IfMatch=tag)
    same((world.read(key), world.head(key)["ETag"]), (b"second", second))
    refused(NO_KEY, world.strict.put_object, **world.at("missing"), Body=b"x", IfMatch=tag)


@check
def an_object_is_deleted_only_when_it_is_the_one_that_was_read(world):
    key = world.new(b"first")
    refused(PRECONDITION, world.strict.delete_object, **world.at(key), IfMatch='"00000000000000000000000000000000"')
    same(world.read(key), b"first")
    world.strict.delete_object(**world.at(key), IfMatch=world.head(key)["ETag"])
    refused(NO_KEY, world.strict.get_object, **world.at(key))
    key = world.new(b"any")
    world.strict.delete_object(**world.at(key), IfMatch="*")
    refused("404", world.strict.head_object, **world.at(key))


# Checksums


@check
def a_checksum_is_computed_kept_and_shown_on_demand(world):
    body = b"checked" * 1000
    sums = {
        "CRC32": crc32(body),
        "SHA1": b64(hashlib.sha1(body).digest()),
        "SHA256": b64(hashlib.sha256(body).digest()),
    }
    for name, value in sums.items():
        key = next(world.keys)
        same(world.put(key, body, ChecksumAlgorithm=name)[f"Checksum{name}"], value)
        answer = world.get(key, ChecksumMode="ENABLED")
        same((answer[f"Checksum{name}"], answer["ChecksumType"]), (value, "FULL_OBJECT"))
        answer["Body"].read()
        assert f"Checksum{name}" not in world.head(key)
        same(world.head(key, ChecksumMode="ENABLED")[f"Checksum{name}"], value)


@check
def a_body_that_is_not_what_was_announced_is_refused_and_leaves_nothing(world):
    wrong = {
        "ChecksumCRC32": crc32(b"other"),
        "ChecksumSHA256": b64(hashlib.sha256(b"other").digest()),
        "ContentMD5": b64(hashlib.md5(b"other").digest()),
    }
    for name, value in wrong.items():
        refused("BadDigest", world.strict.put_object, **world.at("wrong"), Body=b"body", **{name: value})
        refused("404", world.strict.head_object, **world.at("wrong"))
    refused("InvalidDigest", world.strict.put_object, **world.at("wrong"), Body=b"body", ContentMD5="bm9uZQ==")
    key = world.new(b"kept")
    refused("BadDigest", world.strict.put_object, **world.at(key), Body=b"body", ChecksumCRC32=crc32(b"other"))
    same(world.read(key), b"kept")


# Lists


@check
def a_list_has_pages_of_at_most_a_thousand_in_the_order_of_bytes(world):
    world.s3.create_bucket(Bucket="many", CreateBucketConfiguration={"LocationConstraint": REGION})
    names = [f"a/{n:04}" for n in range(1005)] + ["B", "a-b", "a", "z/é", "z/\U0001f600", "z/\uffee"]

    def write(part):
        return lambda: [world.s3.put_object(Bucket="many", Key=name, Body=b"1") and None for name in part]

    same([r for r in together([write(names[at::16]) for at in range(16)]) if isinstance(r, Exception)], [])
    expected = sorted(names, key=str.encode)
    first = world.s3.list_objects_v2(Bucket="many", MaxKeys=5000)
    same((first["KeyCount"], len(first["Contents"]), first["IsTruncated"], first["MaxKeys"]), (1000, 1000, True, 1000))
    rest = world.s3.list_objects_v2(Bucket="many", ContinuationToken=first["NextContinuationToken"])
    same((rest["IsTruncated"], "NextContinuationToken" in rest), (False, False))
    same([entry["Key"] for entry in first["Contents"] + rest["Contents"]], expected)
    for size in (7, 250):
        pages = world.s3.get_paginator("list_objects_v2").paginate(Bucket="many", PaginationConfig={"PageSize": size})
        same([entry["Key"] for page in pages for entry in page["Contents"]], expected, f"pages of {size}")
    pages = world.s3.get_paginator("list_objects").paginate(Bucket="many", PaginationConfig={"PageSize": 250})
    same([entry["Key"] for page in pages for entry in page["Contents"]], expected, "the first version's pages")
    entry = first["Contents"][0]
    same((entry["Size"], entry["ETag"], entry["StorageClass"]), (1, f'"{md5(b"1")}"', "STANDARD"))


@check
def a_list_has_prefixes_delimiters_and_a_start(world):
    listed = lambda **more: [
        entry["Key"] for entry in world.s3.list_objects_v2(Bucket="many", **more).get("Contents", [])
    ]
    grouped = world.s3.list_objects_v2(Bucket="many", Delimiter="/")
    same([entry["Key"] for entry in grouped["Contents"]], ["B", "a", "a-b"])
    same([common["Prefix"] for common in grouped["CommonPrefixes"]], ["a/", "z/"])
    same(grouped["KeyCount"], 5)
    same(listed(Prefix="a/", StartAfter="a/1001"), ["a/1002", "a/1003", "a/1004"])
    same(listed(Prefix="a/100", Delimiter="/"), ["a/1000", "a/1001", "a/1002", "a/1003", "a/1004"])
    same(listed(Prefix="nothing"), [])
    same(listed(MaxKeys=0), [])
    pages = world.s3.get_paginator("list_objects_v2").paginate(
        Bucket="many", Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    names = [
        name
        for page in pages
        for name in [entry["Key"] for entry in page.get("Contents", [])]
        + [common["Prefix"] for common in page.get("CommonPrefixes", [])]
    ]
    same(names, ["B", "a", "a-b", "a/", "z/"])
    refused("InvalidArgument", world.strict.list_objects_v2, Bucket="many", ContinuationToken="not one of yours!")


@check
def objects_are_deleted_by_the_thousand(world):
    every = [f"a/{n:04}" for n in range(1005)]
    delete = lambda keys, **more: {"Bucket": "many", "Delete": {"Objects": [{"Key": key} for key in keys], **more}}
    refused("MalformedXML", world.strict.delete_objects, **delete(every))
    answer = world.strict.delete_objects(**delete(every[:999] + ["missing"]))
    same(sorted(deleted["Key"] for deleted in answer["Deleted"]), sorted(every[:999] + ["missing"]))
    same("Errors" in answer, False)
    quiet = world.strict.delete_objects(**delete(every[999:], Quiet=True))
    same(("Deleted" in quiet, "Errors" in quiet), (False, False))
    same(world.s3.list_objects_v2(Bucket="many", Prefix="a/")["KeyCount"], 0)


@check
def one_delete_of_many_has_conditions_of_its_own(world):
    keep, go = world.new(b"keep"), world.new(b"go")
    objects = [
        {"Key": keep, "ETag": '"00000000000000000000000000000000"'},
        {"Key": go, "ETag": world.head(go)["ETag"]},
    ]
    answer = world.strict.delete_objects(Bucket=world.bucket, Delete={"Objects": objects})
    same([deleted["Key"] for deleted in answer["Deleted"]], [go])
    same([(error["Key"], error["Code"]) for error in answer["Errors"]], [(keep, PRECONDITION)])
    same(world.read(keep), b"keep")


# Uploads in parts


@check
def an_upload_in_parts_becomes_one_object_when_it_is_completed(world):
    key = next(world.keys)
    parts = {1: os.urandom(5 * MIB), 2: os.urandom(5 * MIB + 1), 7: b"the end"}
    upload, done = world.upload(key, parts, ContentType="text/plain", Metadata={"a": "b"})
    refused("404", world.strict.head_object, **world.at(key))
    listed = world.s3.list_parts(**world.at(key), UploadId=upload)
    same([(part["PartNumber"], part["Size"], part["ETag"]) for part in listed["Parts"]],
         [(number, len(body), f'"{md5(body)}"') for number, body in parts.items()])  # fmt: skip
    page = world.s3.list_parts(**world.at(key), UploadId=upload, MaxParts=1, PartNumberMarker=1)
    same(([part["PartNumber"] for part in page["Parts"]], page["IsTruncated"], page["NextPartNumberMarker"]), ([2], True, 2))
    answer = world.s3.complete_multipart_upload(**world.at(key), UploadId=upload, MultipartUpload={"Parts": done})
    etag = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in parts.values())).hexdigest()
    same((answer["ETag"], answer["Bucket"], answer["Key"]), (f'"{etag}-3"', world.bucket, key))
    body = b"".join(parts.values())
    whole = world.get(key)
    same((whole["ContentType"], whole["Metadata"], whole["ETag"]), ("text/plain", {"a": "b"}, f'"{etag}-3"'))
    assert whole["Body"].read() == body
    edge = 5 * MIB
    assert world.read(key, Range=f"bytes={edge - 2}-{edge + 1}") == body[edge - 2 : edge + 2], "over the edge of two parts"
    third = world.get(key, PartNumber=3)
    same((third["Body"].read(), third["PartsCount"]), (b"the end", 3))
    refused(NO_UPLOAD, world.strict.list_parts, **world.at(key), UploadId=upload)


@check
def a_part_that_is_sent_again_replaces_the_first_one(world):
    key = next(world.keys)
    upload, _ = world.upload(key, {1: b"first"})
    part = world.s3.upload_part(**world.at(key), UploadId=upload, PartNumber=1, Body=b"second")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    world.s3.complete_multipart_upload(**world.at(key), UploadId=upload, MultipartUpload=parts)
    same(world.read(key), b"second")


@check
def an_upload_is_completed_only_with_its_parts_in_their_order(world):
    key = next(world.keys)
    upload, done = world.upload(key, {1: b"x" * 5 * MIB, 2: b"y"})
    complete = lambda parts: {**world.at(key), "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    refused("InvalidPartOrder", world.strict.complete_multipart_upload, **complete(done[::-1]))
    wrong = [done[0], {"PartNumber": 2, "ETag": '"00000000000000000000000000000000"'}]
    refused("InvalidPart", world.strict.complete_multipart_upload, **complete(wrong))
    missing = [*done, {"PartNumber": 3, "ETag": done[0]["ETag"]}]
    refused("InvalidPart", world.strict.complete_multipart_upload, **complete(missing))
    small, parts = world.upload(key, {1: b"x" * (5 * MIB - 1), 2: b"y"})
    refused(
        "EntityTooSmall",
        world.strict.complete_multipart_upload,
        **{**complete(parts), "UploadId": small},
    )
    refused("404", world.strict.head_object, **world.at(key))
    world.strict.complete_multipart_upload(**complete(done))
    refused(
        "InvalidArgument", world.strict.upload_part, **world.at(key), UploadId=small, PartNumber=10_001, Body=b""
    )


@check
def an_upload_is_listed_until_it_is_given_up(world):
    key = "uploads/" + next(world.keys)
    first, _ = world.upload(key, {1: b"x"})
    second, _ = world.upload(key + "-2", {})
    listed = world.s3.list_multipart_uploads(Bucket=world.bucket, Prefix="uploads/")["Uploads"]
    same([(entry["Key"], entry["UploadId"]) for entry in listed], [(key, first), (key + "-2", second)])
    page = world.s3.list_multipart_uploads(Bucket=world.bucket, Prefix="uploads/", MaxUploads=1)
    same((page["IsTruncated"], page["NextKeyMarker"], page["NextUploadIdMarker"]), (True, key, first))
    world.s3.abort_multipart_upload(**world.at(key), UploadId=first)
    refused(NO_UPLOAD, world.strict.abort_multipart_upload, **world.at(key), UploadId=first)
    refused(NO_UPLOAD, world.strict.upload_part, **world.at(key), UploadId=first, PartNumber=1, Body=b"x")
    listed = world.s3.list_multipart_uploads(Bucket=world.bucket, Prefix="uploads/")["Uploads"]
    same([entry["UploadId"] for entry in listed], [second])
    world.s3.abort_multipart_upload(**world.at(key + "-2"), UploadId=second)


@check
def an_upload_is_completed_only_once_with_if_none_match(world):
    key = next(world.keys)
    (first, one), (second, two) = world.upload(key, {1: b"first"}), world.upload(key, {1: b"second"})
    complete = lambda upload, parts: {
        **world.at(key), "UploadId": upload, "MultipartUpload": {"Parts": parts}, "IfNoneMatch": "*",
    }  # fmt: skip
    world.strict.complete_multipart_upload(**complete(first, one))
    refused(PRECONDITION, world.strict.complete_multipart_upload, **complete(second, two))
    same(world.read(key), b"first")


@check
def an_upload_has_a_checksum_of_its_parts_checksums(world):
    key = next(world.keys)
    bodies = [b"x" * 5 * MIB, b"y"]
    upload = world.s3.create_multipart_upload(**world.at(key), ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = world.s3.upload_part(
            **world.at(key), UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
        )
        same(part["ChecksumSHA256"], b64(hashlib.sha256(body).digest()))
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    answer = world.s3.complete_multipart_upload(**world.at(key), UploadId=upload, MultipartUpload={"Parts": parts})
    of_parts = hashlib.sha256(b"".join(hashlib.sha256(body).digest() for body in bodies)).digest()
    same((answer["ChecksumSHA256"], answer["ChecksumType"]), (f"{b64(of_parts)}-2", "COMPOSITE"))


@check
def boto3_sends_and_fetches_large_files_in_parts_by_itself(world):
    body, key = os.urandom(21 * MIB + 3), next(world.keys)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    world.s3.upload_fileobj(io.BytesIO(body), world.bucket, key, Config=config)
    fetched = io.BytesIO()
    world.s3.download_fileobj(world.bucket, key, fetched, Config=config)
    assert fetched.getvalue() == body
    assert world.head(key)["ETag"].endswith('-3"')


@check
def a_part_is_copied_from_an_object_or_a_range_of_it(world):
    source = world.new(os.urandom(11 * MIB))
    body, key = world.read(source), next(world.keys)
    upload = world.s3.create_multipart_upload(**world.at(key))["UploadId"]
    copy = lambda number, **more: world.strict.upload_part_copy(
        **world.at(key),
        UploadId=upload,
        PartNumber=number,
        CopySource={"Bucket": world.bucket, "Key": source},
        **more,
    )["CopyPartResult"]
    copied = [copy(1, CopySourceRange=f"bytes=0-{6 * MIB - 1}"), copy(2)]
    same([part["ETag"] for part in copied], [f'"{md5(body[: 6 * MIB])}"', f'"{md5(body)}"'])
    parts = [{"PartNumber": number, "ETag": part["ETag"]} for number, part in enumerate(copied, 1)]
    refused({"InvalidArgument", "InvalidRange"}, copy, 3, CopySourceRange=f"bytes=0-{11 * MIB}")
    refused(PRECONDITION, copy, 3, CopySourceIfMatch='"other"')
    world.s3.complete_multipart_upload(**world.at(key), UploadId=upload, MultipartUpload={"Parts": parts})
    assert world.read(key) == body[: 6 * MIB] + body
    missing = {"Bucket": world.bucket, "Key": "missing"}
    other = world.s3.create_multipart_upload(**world.at(key))["UploadId"]
    at = {**world.at(key), "PartNumber": 1}
    refused(NO_KEY, world.strict.upload_part_copy, **at, UploadId=other, CopySource=missing)
    there = {"Bucket": world.bucket, "Key": source}
    refused(NO_UPLOAD, world.strict.upload_part_copy, **at, UploadId=upload, CopySource=there)


# Copies


@check
def a_copy_keeps_the_description_or_gets_a_new_one(world):
    source = world.new(b"copied", ContentType="text/plain", Metadata={"a": "1"})
    key, there = "copy of/" + source + " é", {"Bucket": world.bucket, "Key": source}
    answer = world.s3.copy_object(**world.at(key), CopySource=there)
    same(answer["CopyObjectResult"]["ETag"], f'"{md5(b"copied")}"')
    copy = world.get(key)
    same((copy["Body"].read(), copy["ContentType"], copy["Metadata"]), (b"copied", "text/plain", {"a": "1"}))
    back = {"Bucket": world.bucket, "Key": key}
    world.s3.copy_object(
        **world.at(source), CopySource=back, MetadataDirective="REPLACE", Metadata={"b": "2"}, ContentType="text/csv"
    )
    copy = world.get(source)
    same((copy["ContentType"], copy["Metadata"]), ("text/csv", {"b": "2"}))
    itself = {"Bucket": world.bucket, "Key": key}
    refused("InvalidRequest", world.strict.copy_object, **world.at(key), CopySource=itself)
    world.strict.copy_object(**world.at(key), CopySource=itself, MetadataDirective="REPLACE", Metadata={"c": "3"})
    same(world.head(key)["Metadata"], {"c": "3"})


@check
def a_copy_has_conditions_on_its_source(world):
    source = world.new(b"copied")
    there = {"CopySource": {"Bucket": world.bucket, "Key": source}, **world.at(next(world.keys))}
    tag = world.head(source)["ETag"]
    world.strict.copy_object(**there, CopySourceIfMatch=tag)
    refused(PRECONDITION, world.strict.copy_object, **there, CopySourceIfMatch='"other"')
    refused(PRECONDITION, world.strict.copy_object, **there, CopySourceIfNoneMatch=tag)
    missing = {"Bucket": world.bucket, "Key": "missing"}
    refused(NO_KEY, world.strict.copy_object, **world.at("x"), CopySource=missing)
    nowhere = {"Bucket": "not-here", "Key": "missing"}
    refused(NO_BUCKET, world.strict.copy_object, **world.at("x"), CopySource=nowhere)


@check
def a_copy_is_written_only_once_with_if_none_match(world):
    source, key = world.new(b"copied"), next(world.keys)
    copy = {"CopySource": {"Bucket": world.bucket, "Key": source}, **world.at(key), "IfNoneMatch": "*"}
    world.strict.copy_object(**copy)
    refused(PRECONDITION, world.strict.copy_object, **copy)


# Tags


@check
def tags_are_put_read_replaced_and_deleted(world):
    key = world.new(b"tagged")
    same(world.tags(key), {})
    assert "TagCount" not in world.get(key)
    world.s3.put_object_tagging(**world.at(key), Tagging=tag_set(a="1", b="two words"))
    same(world.tags(key), {"a": "1", "b": "two words"})
    same(world.get(key)["TagCount"], 2)
    before = world.head(key)
    world.s3.put_object_tagging(**world.at(key), Tagging=tag_set(c=""))
    same(world.tags(key), {"c": ""})
    same((world.head(key)["LastModified"], world.read(key)), (before["LastModified"], b"tagged"))
    world.s3.delete_object_tagging(**world.at(key))
    same(world.tags(key), {})


@check
def tags_come_with_a_put_an_upload_and_a_copy(world):
    key = world.new(b"tagged", Tagging="a=1&b=two%20words")
    same(world.tags(key), {"a": "1", "b": "two words"})
    copy, there = next(world.keys), {"Bucket": world.bucket, "Key": key}
    world.s3.copy_object(**world.at(copy), CopySource=there)
    same(world.tags(copy), {"a": "1", "b": "two words"})
    world.s3.copy_object(**world.at(copy), CopySource=there, TaggingDirective="REPLACE", Tagging="c=3")
    same(world.tags(copy), {"c": "3"})
    world.put(key, b"again")
    same(world.tags(key), {}, "an object that is replaced loses its tags")
    upload, parts = world.upload(key, {1: b"x"}, Tagging="d=4")
    world.s3.complete_multipart_upload(**world.at(key), UploadId=upload, MultipartUpload={"Parts": parts})
    same(world.tags(key), {"d": "4"})


@check
def an_object_has_at_most_ten_tags_within_their_lengths(world):
    key = world.new(b"tagged")
    put = lambda **tags: {**world.at(key), "Tagging": tag_set(**tags)}
    world.strict.put_object_tagging(**put(**{f"tag{n}": "" for n in range(10)}))
    refused("BadRequest", world.strict.put_object_tagging, **put(**{f"tag{n}": "" for n in range(11)}))
    refused("InvalidTag", world.strict.put_object_tagging, **put(**{"x" * 129: ""}))
    refused("InvalidTag", world.strict.put_object_tagging, **put(x="y" * 257))
    twice = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
    refused("InvalidTag", world.strict.put_object_tagging, **world.at(key), Tagging=twice)
    same(len(world.tags(key)), 10)
    refused(NO_KEY, world.strict.put_object_tagging, **world.at("missing"), Tagging=tag_set(a="1"))
    refused(NO_KEY, world.strict.get_object_tagging, **world.at("missing"))


# Presigned URLs, concurrent reads


@check
def presigned_urls_work_without_credentials_until_they_expire(world):
    key = next(world.keys)
    sign = lambda call, seconds=60, **more: world.s3.generate_presigned_url(
        call, Params=world.at(key, **more), ExpiresIn=seconds
    )
    put = urllib.request.Request(sign("put_object"), data=b"by url", method="PUT")
    put.add_header("Content-Type", "")
    same(urllib.request.urlopen(put, timeout=10).status, 200)
    same(urllib.request.urlopen(sign("get_object"), timeout=10).read(), b"by url")
    named = urllib.request.urlopen(sign("get_object", ResponseContentType="text/csv"), timeout=10)
    same(named.headers["Content-Type"], "text/csv")
    url = sign("get_object", seconds=1)
    time.sleep(2.1)
    try:
        urllib.request.urlopen(url, timeout=10)
        raise AssertionError("a presigned URL lives on after its end")
    except urllib.error.HTTPError as error:
        same((error.code, b"AccessDenied" in error.read()), (403, True))


@check
def a_reader_sees_one_whole_object_while_writers_replace_it(world):
    key = world.new(b"0" * MIB)
    stop = threading.Event()

    def write(digit):
        def run():
            while not stop.is_set():
                world.s3.put_object(**world.at(key), Body=digit * MIB)

        return run

    writers = [threading.Thread(target=write(digit)) for digit in (b"1", b"2")]
    for writer in writers:
        writer.start()
    try:
        for _ in range(40):
            answer = world.get(key)
            body = answer["Body"].read()
            same((len(body), len(set(body))), (MIB, 1), "one writer's bytes")
            same(answer["ETag"], f'"{md5(body)}"')
    finally:
        stop.set()
        for writer in writers:
            writer.join()


if __name__ == "__main__":
    args = options()
    run(World(args.endpoint), args.only)
