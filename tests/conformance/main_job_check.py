"""Checks the main job by independent means: boto3, the csv module and decimal arithmetic.

Reads the CSV that was sent, the Kinesis stream, the S3 objects and the two DynamoDB tables, and compares
them record by record. Prints a JSON document; exits with 1 when anything differs.

What must hold, also after any number of crashes:
- every row of the file is in the stream, in S3 and among the invoice items;
- each id of the stream is in exactly one S3 object, and counted exactly once in the customers' table;
- a row that was sent again is twice in the stream, and once in the stores: that is counted, and allowed only with --repeats.
"""

import argparse
import collections
import csv
import decimal
import gzip
import hashlib
import io
import json
import sys

import boto3
import zstandard

D = decimal.Decimal


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--csv", required=True)
    parser.add_argument("--stream", required=True)
    parser.add_argument("--bucket", default="acme-lake")
    parser.add_argument("--prefix", default="raw/")
    parser.add_argument("--dead-letters", default="dead-letters/")
    parser.add_argument("--invoices", default="ecommerce-invoices")
    parser.add_argument("--customers", default="ecommerce-customers")
    parser.add_argument("--repeats", action="store_true")
    return parser.parse_args()


def client(service, args):
    return boto3.client(
        service,
        endpoint_url=args.endpoint,
        region_name=args.region,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        else:
            length, at = varint(data, at)
            value = data[at : at + length]
            at += length
        yield tag >> 3, value


def deaggregate(shard, record):
    """The members of a KPL aggregate, or the record itself."""
    data = record["Data"]
    body, digest = data[4:-16], data[-16:]
    if data[:4] != b"\xf3\x89\x9a\xc2" or hashlib.md5(body).digest() != digest:
        return [data]
    keys = [value for number, value in fields(body) if number == 1]
    records = [value for number, value in fields(body) if number == 3]
    # Made for another shard, and with a key that this one does not take: it counts for nothing.
    made_for = record["PartitionKey"].removeprefix("penstock-for/")
    if made_for not in (record["PartitionKey"], shard["ShardId"]) and not all(takes(shard, key) for key in keys):
        return []
    return [next(v for n, v in fields(record) if n == 3) for record in records]


def takes(shard, key):
    taken = shard["HashKeyRange"]
    return int(taken["StartingHashKey"]) <= int(hashlib.md5(key).hexdigest(), 16) <= int(taken["EndingHashKey"])


def stream_records(args):
    kinesis = client("kinesis", args)
    shards = kinesis.list_shards(StreamName=args.stream)["Shards"]
    for shard in shards:
        iterator = kinesis.get_shard_iterator(
            StreamName=args.stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            answer = kinesis.get_records(ShardIterator=iterator, Limit=10000)
            for record in answer["Records"]:
                for member in deaggregate(shard, record):
                    yield json.loads(member, parse_float=D)
            if not answer["Records"] and answer["MillisBehindLatest"] == 0:
                break
            iterator = answer.get("NextShardIterator")


def objects(args, prefix):
    s3 = client("s3", args)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=args.bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            data = s3.get_object(Bucket=args.bucket, Key=entry["Key"])["Body"].read()
            if entry["Key"].endswith(".zst"):
                data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
            elif entry["Key"].endswith(".gz"):
                data = gzip.decompress(data)
            yield entry["Key"], [json.loads(line, parse_float=D) for line in data.splitlines()]


def scan(args, table):
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=args.endpoint,
        region_name=args.region,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    ).Table(table)
    start = {}
    while True:
        page = resource.scan(**start)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def amount(row):
    return D(row["Quantity"]) * D(row["UnitPrice"])


def main():
    args = arguments()
    problems = []

    def same(what, found, expected):
        if found != expected:
            problems.append(f"{what}: found {found}, expected {expected}")

    opener = gzip.open if args.csv.endswith(".gz") else open
    with opener(args.csv, "rt", encoding="iso-8859-1", newline="") as file:
        sent = list(csv.DictReader(file))
    revenue = sum(map(amount, sent))

    def key(row):
        """A row as it was in the file, whatever store it comes from."""
        return (
            row["InvoiceNo"],
            row["StockCode"],
            row.get("Description") or "",
            int(row["Quantity"]),
            row["InvoiceDate"],
            D(row["UnitPrice"]).normalize(),
            row.get("CustomerID") or "",
            row.get("Country") or "",
        )

    expected = collections.Counter(map(key, sent))
    buffered, buffered_ids = collections.Counter(), collections.Counter()
    by_customer = collections.defaultdict(lambda: [D(0), 0])
    first_by_id = {}
    for record in stream_records(args):
        buffered[key(record)] += 1
        buffered_ids[record["_id"]] += 1
        if record["_id"] in first_by_id:
            continue
        first_by_id[record["_id"]] = key(record)
        if record.get("CustomerID"):
            entry = by_customer[record["CustomerID"], record["InvoiceNo"]]
            entry[0] += amount(record)
            entry[1] += 1
    repeats = sum(buffered_ids.values()) - len(buffered_ids)
    if collections.Counter(first_by_id.values()) != expected:
        problems.append("the rows in the stream, repeats left out, differ from the file")
    if repeats and not args.repeats:
        problems.append(f"{repeats} rows are twice in the stream")

    stored, stored_ids, count_objects, object_revenue = collections.Counter(), collections.Counter(), 0, D(0)
    for _, rows in objects(args, args.prefix):
        count_objects += 1
        for row in rows:
            stored[key(row)] += 1
            stored_ids[row["_id"]] += 1
            object_revenue += amount(row)
    ids = collections.Counter(first_by_id.keys())
    if stored_ids != ids:
        missing, extra = ids - stored_ids, stored_ids - ids
        problems.append(f"S3 differs from the stream: {sum(missing.values())} missing, {sum(extra.values())} too many")
    if stored != expected:
        problems.append("the rows in S3 differ from the file")
    same("revenue in S3", object_revenue, revenue)

    items, item_revenue = collections.Counter(), D(0)
    for item in scan(args, args.invoices):
        items[key(item)] += 1
        item_revenue += item["Amount"]
    if items != expected:
        problems.append(
            f"the invoice items differ from the file: {sum((expected - items).values())} missing, "
            f"{sum((items - expected).values())} too many"
        )
    same("revenue of the invoice items", item_revenue, revenue)

    customers = {(i["CustomerID"], i["InvoiceNo"]): [i["Amount"], int(i["Lines"])] for i in scan(args, args.customers)}
    if customers != dict(by_customer):
        wrong = [k for k in set(customers) | set(by_customer) if customers.get(k) != by_customer.get(k)]
        problems.append(f"{len(wrong)} items of the customers' table differ from the stream, such as {sorted(wrong)[:3]}")
    dead = sum(len(rows) for _, rows in objects(args, args.dead_letters))
    same("dead letters", dead, 0)

    print(
        json.dumps(
            {
                "rows": len(sent),
                "revenue": str(revenue),
                "invoices": len({row["InvoiceNo"] for row in sent}),
                "buffered": sum(buffered_ids.values()),
                "repeats": repeats,
                "objects": count_objects,
                "objectRows": sum(stored_ids.values()),
                "objectRevenue": str(object_revenue),
                "invoiceItems": sum(items.values()),
                "invoiceRevenue": str(item_revenue),
                "customerItems": len(customers),
                "customerLines": sum(lines for _, lines in customers.values()),
                "customerRevenue": str(sum(total for total, _ in customers.values())),
                "problems": problems,
            },
            indent=2,
        )
    )
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
