"""The function at the stream's other end: a batch of records, each into an item, by the table's batch writer.

boto3's documentation has the batch writer for this; failures are left to the event source mapping, which repeats the
batch.
"""

import base64
import json
import os
from decimal import Decimal

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, context):
    with table.batch_writer() as batch:
        for record in event["Records"]:
            row = json.loads(base64.b64decode(record["kinesis"]["data"]), parse_float=Decimal)
            row["sort"] = f"{row['StockCode']}#{row['_id']}"
            batch.put_item(Item=row)
    return {"batchItemFailures": []}
