"""The function behind API Gateway that most such pipelines have: one request, one record into the stream.

Shared by all invocations of one instance: the client. Everything else is per request.
"""

import json
import os
import uuid

import boto3

kinesis = boto3.client("kinesis")


def handler(event, context):
    try:
        row = json.loads(event["body"])
    except (KeyError, ValueError):
        return {"statusCode": 400, "body": json.dumps({"message": "the body is not JSON"})}
    for field in ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice"):
        if field not in row:
            return {"statusCode": 400, "body": json.dumps({"message": f"{field} is missing"})}
    row.setdefault("_id", str(uuid.uuid4()))
    answer = kinesis.put_record(
        StreamName=os.environ["STREAM"],
        Data=json.dumps(row).encode(),
        PartitionKey=str(row["InvoiceNo"]),
    )
    return {"statusCode": 200, "body": json.dumps({"sequenceNumber": answer["SequenceNumber"]})}
