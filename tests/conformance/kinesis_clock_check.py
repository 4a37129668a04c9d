"""Kinesis, asked by boto3, over a day: the engine's clock is set ahead by `clock_ahead.c`, and never back."""

import pathlib
import struct
import threading

from checks import check, client, options, refused, run, same, until

EXPIRED_ITERATOR = "ExpiredIteratorException"
EXPIRED_TOKEN = "ExpiredNextTokenException"
MISSING = "ResourceNotFoundException"
IN_USE = "ResourceInUseException"
LIMIT = "LimitExceededException"
MINUTE, DAY = 60, 86_400
MIDDLE = str(2**127)


def shard_id(index):
    return f"shardId-{index:012}"


class World:
    def __init__(self, endpoint, clock):
        self.kinesis = client("kinesis", endpoint)
        self.strict = client("kinesis", endpoint, retries=False)
        self.clock = pathlib.Path(clock)

    def wait(self, seconds):
        """Lets time pass for the engine."""
        with self.clock.open("r+b") as file:
            (ahead,) = struct.unpack("<q", file.read(8))
            file.seek(0)
            file.write(struct.pack("<q", ahead + seconds))

    def stream(self, name, shards=1):
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        self.active(name)
        return name

    def active(self, stream):
        summary = lambda: self.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        until(lambda: summary()["StreamStatus"] == "ACTIVE", f"{stream} to be active")

    def put(self, stream, text):
        return self.kinesis.put_record(StreamName=stream, Data=text.encode(), PartitionKey="k")["SequenceNumber"]

    def iterator(self, stream, kind="TRIM_HORIZON", **more):
        return self.kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard_id(0), ShardIteratorType=kind, **more
        )["ShardIterator"]

    def texts(self, iterator):
        return [record["Data"].decode() for record in self.kinesis.get_records(ShardIterator=iterator)["Records"]]

    def consumer(self, stream):
        arn = self.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
        consumer = self.kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="fan")["Consumer"]["ConsumerARN"]
        described = lambda: self.kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]
        until(lambda: described()["ConsumerStatus"] == "ACTIVE", "an active consumer")
        return consumer

    def subscribe(self, consumer, **position):
        position = position or {"Type": "TRIM_HORIZON"}
        return Pushed(
            self.strict.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard_id(0), StartingPosition=position)
        )


class Pushed:
    """Reads a subscription to its end beside the check."""

    def __init__(self, answer):
        self.texts, self.continuation, self.error = [], None, None
        self.thread = threading.Thread(target=self.read, args=(answer["EventStream"],), daemon=True)
        self.thread.start()

    def read(self, events):
        try:
            for event in events:
                event = event["SubscribeToShardEvent"]
                self.texts += [record["Data"].decode() for record in event["Records"]]
                self.continuation = event["ContinuationSequenceNumber"]
        except Exception as error:  # noqa: BLE001 the check looks at it
            self.error = error

    def has(self, texts):
        until(lambda: self.texts == texts, f"{texts} to be pushed (there are {self.texts}, {self.error})")

    def ended(self):
        until(lambda: not self.thread.is_alive(), "the end of a subscription")
        assert self.error is None, f"a subscription ended with {self.error!r}"


@check
def iterators_and_tokens_live_five_minutes(world):
    name = world.stream("iterators", 2)
    iterator = world.iterator(name)
    token = world.kinesis.list_shards(StreamName=name, MaxResults=1)["NextToken"]
    world.wait(4 * MINUTE)
    same(world.texts(iterator), [])
    same(len(world.kinesis.list_shards(NextToken=token)["Shards"]), 1)
    world.wait(MINUTE + 1)
    refused(EXPIRED_ITERATOR, world.strict.get_records, ShardIterator=iterator)
    refused(EXPIRED_TOKEN, world.strict.list_shards, NextToken=token)


@check
def a_reader_that_comes_later_is_as_far_behind_as_its_records_are_old(world):
    name = world.stream("behind")
    world.put(name, "first")
    world.put(name, "second")
    world.wait(10 * MINUTE)
    answer = world.kinesis.get_records(ShardIterator=world.iterator(name), Limit=1)
    assert 600_000 <= answer["MillisBehindLatest"] < 700_000, answer["MillisBehindLatest"]
    same(world.texts(answer["NextShardIterator"]), ["second"])


@check
def a_subscription_ends_after_five_minutes_without_an_error_and_the_next_one_goes_on(world):
    name = world.stream("pushed")
    consumer = world.consumer(name)
    world.put(name, "one")
    first = world.subscribe(consumer)
    first.has(["one"])
    world.wait(5 * MINUTE - 30)
    world.put(name, "two")
    first.has(["one", "two"])
    world.wait(30)
    first.ended()
    world.put(name, "three")
    position = {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": first.continuation}
    second = world.subscribe(consumer, **position)
    second.has(["three"])
    refused(IN_USE, world.subscribe, consumer, **position)
    world.wait(5)
    third = world.subscribe(consumer, **position)
    third.has(["three"])
    second.ended()
    world.put(name, "four")
    third.has(["three", "four"])
    same(second.texts, ["three"])


@check
def records_are_gone_after_their_retention_and_newer_ones_are_not(world):
    name = world.stream("trimmed")
    old = world.put(name, "old")
    world.wait(DAY - 60)
    same(world.texts(world.iterator(name)), ["old"])
    world.put(name, "newer")
    world.wait(60)
    same(world.texts(world.iterator(name)), ["newer"])
    same(world.texts(world.iterator(name, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=old)), ["newer"])
    same(world.texts(world.iterator(name, "AT_TIMESTAMP", Timestamp=0)), ["newer"])
    assert int(world.put(name, "newest")) > int(old)


@check
def a_longer_retention_keeps_records_and_does_not_bring_back_expired_ones(world):
    name = world.stream("kept")
    world.put(name, "expired")
    world.wait(DAY)
    world.put(name, "kept")
    world.kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    same(world.texts(world.iterator(name)), ["kept"])
    world.wait(2 * DAY - 60)
    same(world.texts(world.iterator(name)), ["kept"])
    world.kinesis.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=24)
    same(world.texts(world.iterator(name)), [])


@check
def a_closed_shard_is_gone_when_its_records_are_and_its_children_stay(world):
    name = world.stream("split")
    world.put(name, "before")
    world.kinesis.split_shard(StreamName=name, ShardToSplit=shard_id(0), NewStartingHashKey=MIDDLE)
    world.active(name)
    shards = lambda: [shard["ShardId"] for shard in world.kinesis.list_shards(StreamName=name)["Shards"]]
    world.wait(DAY - 60)
    same(shards(), [shard_id(0), shard_id(1), shard_id(2)])
    world.wait(61)
    same(shards(), [shard_id(1), shard_id(2)])
    children = world.kinesis.list_shards(StreamName=name)["Shards"]
    same({child["ParentShardId"] for child in children}, {shard_id(0)})
    gone = {"StreamName": name, "ShardId": shard_id(0), "ShardIteratorType": "TRIM_HORIZON"}
    refused(MISSING, world.strict.get_shard_iterator, **gone)


@check
def scaling_and_switching_the_mode_are_allowed_again_after_a_day(world):
    name = world.stream("scaled")
    scale = lambda target: {"StreamName": name, "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}
    for n in range(10):
        world.kinesis.update_shard_count(**scale(2 - n % 2))
        world.active(name)
    refused(LIMIT, world.strict.update_shard_count, **scale(2))
    arn = world.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    switch = lambda mode: {"StreamARN": arn, "StreamModeDetails": {"StreamMode": mode}}
    for mode in ("ON_DEMAND", "PROVISIONED"):
        world.kinesis.update_stream_mode(**switch(mode))
        world.active(name)
    refused(LIMIT, world.strict.update_stream_mode, **switch("ON_DEMAND"))
    world.wait(DAY)
    world.kinesis.update_shard_count(**scale(2))
    world.active(name)
    world.kinesis.update_stream_mode(**switch("ON_DEMAND"))


if __name__ == "__main__":
    args = options(clock="the file that says how far the engine's clock is ahead")
    run(World(args.endpoint, args.clock), args.only)
