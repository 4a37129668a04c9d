"""One instance of a function, as Lambda runs it: one event after the other, for a while. Prints rows and CPU seconds.

Lambda's own work (the event's way in and out) is left out, in the functions' favour.
"""

import argparse
import base64
import importlib
import itertools
import json
import resource
import time

parser = argparse.ArgumentParser()
parser.add_argument("function", choices=["ingest", "items"])
parser.add_argument("--rows", required=True, help="a file with a row of JSON a line")
parser.add_argument("--batch", type=int, default=500, help="records of an event from the stream")
parser.add_argument("--seconds", type=float, default=10)
parser.add_argument("--warm-up", type=float, default=3)
args = parser.parse_args()

with open(args.rows, encoding="utf-8") as file:
    rows = file.read().splitlines()


def requests():
    for row in itertools.cycle(rows):
        yield {"httpMethod": "POST", "path": "/orders", "body": row}, 1


def batches():
    def record(row):
        return {"eventSource": "aws:kinesis", "kinesis": {"data": base64.b64encode(row.encode()).decode()}}

    events = [{"Records": [record(row) for row in rows[at : at + args.batch]]} for at in range(0, len(rows), args.batch)]
    for event in itertools.cycle(events):
        yield event, len(event["Records"])


handler = importlib.import_module(args.function).handler
events = requests() if args.function == "ingest" else batches()


def work(seconds):
    done, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        event, count = next(events)
        answer = handler(event, None)
        assert answer.get("statusCode", 200) == 200, answer
        done += count
    return done


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


work(args.warm_up)
before, began = cpu(), time.monotonic()
done = work(args.seconds)
print(json.dumps({
    "rows": done,
    "seconds": time.monotonic() - began,
    "cpuSeconds": cpu() - before,
    "peakRssMib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
