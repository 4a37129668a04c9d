"""Puts records of every kind into all open shards of a stream, and prints where each went: a JSON object a line."""

import argparse
import base64
import json

import boto3
from botocore.config import Config

# What the service takes when nothing was raised: data and key together.
MEBIBYTE = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stream", required=True)
    parser.add_argument("--label", required=True, help="begins the data of most records")
    options = parser.parse_args()
    # Shards take 1 MiB a second: a record of that size is refused until there is room.
    retries = {"mode": "standard", "max_attempts": 20}
    kinesis = boto3.client(
        "kinesis",
        endpoint_url=options.endpoint,
        region_name="eu-west-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries=retries),
    )
    for shard in open_shards(kinesis, options.stream):
        for record in records(shard, options.label):
            put(kinesis, options.stream, record)


def open_shards(kinesis, stream: str) -> list[dict]:
    shards = kinesis.list_shards(StreamName=stream)["Shards"]
    return [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]


def records(shard: dict, label: str):
    first, last = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
    hashes = [first, last, (first + last) // 2]
    longest = "ü" * 256
    kinds = [
        ("empty", b""),
        ("bytes", bytes(range(256))),
        (longest, f"{label} under the longest key".encode()),
        ("looks like an aggregate", b"\xf3\x89\x9a\xc2" + b"but is none, whatever it says at its beginning"),
        ("large", bytes(MEBIBYTE - len("large"))),
    ]
    kinds += [(f"key-{number}", f"{label} {shard['ShardId']} {number}".encode()) for number in range(20)]
    for at, (key, data) in enumerate(kinds):
        yield {"PartitionKey": key, "Data": data, "ExplicitHashKey": str(hashes[at % len(hashes)])}
    # By their keys alone, to whatever shard.
    for number in range(10):
        yield {"PartitionKey": f"{label}-{shard['ShardId']}-{number}", "Data": f"{label} by key {number}".encode()}


def put(kinesis, stream: str, record: dict) -> None:
    answer = kinesis.put_record(StreamName=stream, **record)
    line = {
        "shard": answer["ShardId"],
        "sequenceNumber": answer["SequenceNumber"],
        "partitionKey": record["PartitionKey"],
        "data": base64.b64encode(record["Data"]).decode(),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
