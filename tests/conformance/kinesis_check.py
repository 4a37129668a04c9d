"""Kinesis, asked by boto3: streams, records, rates, iterators, resharding, modes, tags and pushed records.

What takes minutes and days on the service is in `kinesis_clock_check.py`.
"""

import datetime
import hashlib
import itertools
import time

from botocore.exceptions import ClientError

from checks import ACCOUNT, PATIENCE, REGION, check, client, options, refused, run, same, together, until

KEYS = 2**128
MIB = 1024 * 1024
INVALID = "InvalidArgumentException"
VALIDATION = "ValidationException"
MISSING = "ResourceNotFoundException"
IN_USE = "ResourceInUseException"
LIMIT = "LimitExceededException"
THROTTLED = "ProvisionedThroughputExceededException"


class World:
    """Two engines: one with all limits, as is the default, and one with `--limits sizes`."""

    def __init__(self, endpoint, without_rates):
        self.kinesis = client("kinesis", endpoint)
        self.strict = client("kinesis", endpoint, retries=False, parameter_validation=False)
        self.free = client("kinesis", without_rates)
        self.free_strict = client("kinesis", without_rates, retries=False, parameter_validation=False)
        self.names = (f"stream-{n}" for n in itertools.count())

    def stream(self, shards=1, kinesis=None, **parameters):
        """An active stream of its own for a check."""
        kinesis, name = kinesis or self.kinesis, next(self.names)
        if shards:
            parameters["ShardCount"] = shards
        kinesis.create_stream(StreamName=name, **parameters)
        self.active(name, kinesis)
        return name

    def active(self, stream, kinesis=None):
        until(lambda: self.summary(stream, kinesis)["StreamStatus"] == "ACTIVE", f"{stream} to be active")

    def summary(self, stream, kinesis=None):
        return (kinesis or self.kinesis).describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]

    def shards(self, stream, **parameters):
        return self.kinesis.list_shards(StreamName=stream, **parameters)["Shards"]

    def put(self, stream, data, key="k", **parameters):
        data = data.encode() if isinstance(data, str) else data
        return self.kinesis.put_record(StreamName=stream, Data=data, PartitionKey=key, **parameters)

    def iterator(self, stream, kind="TRIM_HORIZON", shard=0, **parameters):
        shard = shard if isinstance(shard, str) else shard_id(shard)
        answer = self.kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard, ShardIteratorType=kind, **parameters
        )
        return answer["ShardIterator"]

    def texts(self, iterator):
        return [record["Data"].decode() for record in self.kinesis.get_records(ShardIterator=iterator)["Records"]]

    def read(self, stream, kind="TRIM_HORIZON", shard=0, **parameters):
        return self.texts(self.iterator(stream, kind, shard, **parameters))

    def drain(self, stream, shard):
        """All records of a shard, and the last answer: the end of a closed shard, or the tip of an open one."""
        iterator, records = self.iterator(stream, shard=shard), []
        while True:
            answer = self.kinesis.get_records(ShardIterator=iterator)
            records += answer["Records"]
            iterator = answer.get("NextShardIterator")
            if not iterator or answer["MillisBehindLatest"] == 0:
                return records, answer

    def consumer(self, stream, name="fan"):
        """An active consumer's ARN."""
        arn = self.summary(stream)["StreamARN"]
        consumer = self.kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=name)["Consumer"]["ConsumerARN"]
        described = lambda: self.kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]
        until(lambda: described()["ConsumerStatus"] == "ACTIVE", "an active consumer")
        return consumer

    def subscribe(self, consumer, kinesis=None, shard=0, **position):
        return (kinesis or self.strict).subscribe_to_shard(
            ConsumerARN=consumer, ShardId=shard_id(shard), StartingPosition=position or {"Type": "TRIM_HORIZON"}
        )["EventStream"]


def shard_id(index):
    return f"shardId-{index:012}"


def entries(count, size=10, key="k", **parameters):
    return [{"Data": b"x" * size, "PartitionKey": key, **parameters} for _ in range(count)]


def hash_of(key):
    return int.from_bytes(hashlib.md5(key.encode()).digest(), "big")


def hashes(shard):
    return int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"])


def is_open(shard):
    return "EndingSequenceNumber" not in shard["SequenceNumberRange"]


# Streams


@check
def a_new_stream_has_the_services_defaults(world):
    before = time.time()
    name = world.stream(2)
    summary = world.summary(name)
    same(summary["StreamARN"], f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}")
    same(summary["StreamName"], name)
    same(summary["RetentionPeriodHours"], 24)
    same(summary["OpenShardCount"], 2)
    same(summary["ConsumerCount"], 0)
    same(summary["EncryptionType"], "NONE")
    same(summary["StreamModeDetails"], {"StreamMode": "PROVISIONED"})
    same(summary["MaxRecordSizeInKiB"], 1024)
    assert before - 1 <= summary["StreamCreationTimestamp"].timestamp() <= time.time() + 1


@check
def a_stream_is_first_creating_and_then_active_for_the_waiter(world):
    name = next(world.names)
    world.kinesis.create_stream(StreamName=name, ShardCount=1)
    assert world.summary(name)["StreamStatus"] in ("CREATING", "ACTIVE")
    world.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})


@check
def a_stream_that_exists_is_not_created_again(world):
    refused(IN_USE, world.strict.create_stream, StreamName=world.stream(), ShardCount=1)


@check
def names_and_shard_counts_have_their_patterns(world):
    for name in ("a b", "a/b", "", "x" * 129):
        refused(VALIDATION, world.strict.create_stream, StreamName=name, ShardCount=1)
    time.sleep(1)
    refused({VALIDATION, INVALID}, world.strict.create_stream, StreamName="fine", ShardCount=0)
    refused({VALIDATION, INVALID}, world.strict.create_stream, StreamName="fine")


@check
def what_is_not_there_is_not_found(world):
    refused(MISSING, world.strict.describe_stream, StreamName="missing")
    refused(MISSING, world.strict.describe_stream_summary, StreamName="missing")
    refused(MISSING, world.strict.list_shards, StreamName="missing")
    refused(MISSING, world.strict.put_record, StreamName="missing", Data=b"", PartitionKey="k")
    refused(MISSING, world.strict.delete_stream, StreamName="missing")
    refused(MISSING, world.strict.list_tags_for_stream, StreamName="missing")
    shard = {"ShardId": shard_id(7), "ShardIteratorType": "LATEST"}
    refused(MISSING, world.strict.get_shard_iterator, StreamName=world.stream(), **shard)


@check
def shards_share_the_hash_keys_evenly_and_without_gaps(world):
    shards = world.shards(world.stream(4))
    same([shard["ShardId"] for shard in shards], [shard_id(n) for n in range(4)])
    ranges = [hashes(shard) for shard in shards]
    same(ranges[0][0], 0)
    same(ranges[-1][1], KEYS - 1)
    for (_, end), (start, _) in itertools.pairwise(ranges):
        same(start, end + 1)
    same(ranges[1][0], KEYS // 4)
    assert all(is_open(shard) and "ParentShardId" not in shard for shard in shards)


@check
def a_stream_is_also_named_by_its_arn(world):
    name = world.stream()
    arn = world.summary(name)["StreamARN"]
    put = world.kinesis.put_record(StreamARN=arn, Data=b"by arn", PartitionKey="k")
    same(put["ShardId"], shard_id(0))
    iterator = world.kinesis.get_shard_iterator(StreamARN=arn, ShardId=shard_id(0), ShardIteratorType="TRIM_HORIZON")
    same(world.texts(iterator["ShardIterator"]), ["by arn"])
    refused({VALIDATION, INVALID}, world.strict.describe_stream_summary, StreamARN="arn:aws:s3:::bucket")


@check
def describe_stream_shows_at_most_a_hundred_shards_and_goes_on(world):
    name = world.stream(120, world.free)
    first = world.free.describe_stream(StreamName=name)["StreamDescription"]
    same((len(first["Shards"]), first["HasMoreShards"]), (100, True))
    at_most = world.free.describe_stream(StreamName=name, Limit=1000)["StreamDescription"]
    same((len(at_most["Shards"]), at_most["HasMoreShards"]), (100, True))
    rest = world.free.describe_stream(StreamName=name, ExclusiveStartShardId=shard_id(99))["StreamDescription"]
    same((len(rest["Shards"]), rest["HasMoreShards"]), (20, False))
    pages = world.free.get_paginator("describe_stream").paginate(StreamName=name, PaginationConfig={"PageSize": 7})
    ids = [shard["ShardId"] for page in pages for shard in page["StreamDescription"]["Shards"]]
    same(ids, [shard_id(n) for n in range(120)])


@check
def list_shards_has_pages_whose_tokens_stand_alone(world):
    name = world.stream(5)
    page = world.kinesis.list_shards(StreamName=name, MaxResults=2)
    same([shard["ShardId"] for shard in page["Shards"]], [shard_id(0), shard_id(1)])
    token = page["NextToken"]
    refused(INVALID, world.strict.list_shards, StreamName=name, NextToken=token)
    refused(INVALID, world.strict.list_shards, NextToken=token, ShardFilter={"Type": "AT_LATEST"})
    refused(INVALID, world.strict.list_shards, NextToken="bm90IG9uZSBvZiB5b3Vycw==")
    ids = [shard["ShardId"] for shard in page["Shards"]]
    while "NextToken" in page:
        page = world.kinesis.list_shards(NextToken=page["NextToken"], MaxResults=2)
        ids += [shard["ShardId"] for shard in page["Shards"]]
    same(ids, [shard_id(n) for n in range(5)])
    same([shard["ShardId"] for shard in world.shards(name, ExclusiveStartShardId=shard_id(3))], [shard_id(4)])


@check
def list_shards_shows_at_most_a_thousand(world):
    name = world.stream(1005, world.free)
    page = world.free.list_shards(StreamName=name, MaxResults=10_000)
    same(len(page["Shards"]), 1000)
    same(len(world.free.list_shards(NextToken=page["NextToken"])["Shards"]), 5)
    world.free.delete_stream(StreamName=name)


@check
def list_streams_shows_at_most_a_hundred_in_the_order_of_names(world):
    names = [f"many-{n:03}" for n in range(105)]
    for name in names:
        world.free.create_stream(StreamName=name, ShardCount=1)
    for limit in ({}, {"Limit": 1000}):
        page = world.free.list_streams(**limit)
        same((len(page["StreamNames"]), page["HasMoreStreams"]), (100, True))
    paged = world.free.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 10})
    listed = [name for page in paged for name in page["StreamNames"]]
    same([name for name in listed if name.startswith("many-")], names)
    same(listed, sorted(listed))
    after = world.free.list_streams(ExclusiveStartStreamName="many-100", Limit=4)
    same(after["StreamNames"], names[101:105])
    same({summary["StreamModeDetails"]["StreamMode"] for summary in after["StreamSummaries"]}, {"PROVISIONED"})


@check
def a_deleted_stream_is_deleting_and_then_gone_with_its_records(world):
    name = world.stream()
    old = world.put(name, "old")["SequenceNumber"]
    world.kinesis.delete_stream(StreamName=name)
    world.kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    assert name not in world.kinesis.list_streams(Limit=100)["StreamNames"]
    world.kinesis.create_stream(StreamName=name, ShardCount=1)
    world.active(name)
    same(world.read(name), [])
    refused(
        INVALID,
        world.strict.get_shard_iterator,
        StreamName=name,
        ShardId=shard_id(0),
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=old,
    )


# Writing


@check
def a_record_comes_back_as_it_was_sent_with_the_millisecond_of_its_arrival(world):
    name = world.stream()
    before = datetime.datetime.now(datetime.timezone.utc)
    datas = [bytes(range(256)), b"", "né \U0001f600".encode(), b"x" * 1000]
    keys = ["a", "b", "ключ \U0001f600", "x" * 256]
    puts = [world.put(name, data, key) for data, key in zip(datas, keys)]
    after = datetime.datetime.now(datetime.timezone.utc)
    records, _ = world.drain(name, 0)
    same([record["Data"] for record in records], datas)
    same([record["PartitionKey"] for record in records], keys)
    same([record["SequenceNumber"] for record in records], [put["SequenceNumber"] for put in puts])
    millisecond = datetime.timedelta(milliseconds=1)
    for record in records:
        arrival = record["ApproximateArrivalTimestamp"]
        assert before - millisecond <= arrival <= after + millisecond, (before, arrival, after)
    for n in range(8):
        world.put(name, str(n))
        time.sleep(0.007)
    arrivals = [record["ApproximateArrivalTimestamp"].microsecond for record in world.drain(name, 0)[0]]
    assert any(arrivals), "arrival times have whole seconds only"


@check
def sequence_numbers_grow_with_every_record_of_a_shard(world):
    name = world.stream(2)
    numbers = {shard_id(0): [], shard_id(1): []}
    for n in range(5):
        answer = world.kinesis.put_records(
            StreamName=name, Records=[{"Data": b"x", "PartitionKey": str(n * 20 + at)} for at in range(20)]
        )
        same(answer["FailedRecordCount"], 0)
        for record in answer["Records"]:
            numbers[record["ShardId"]].append(int(record["SequenceNumber"]))
    for of_shard in numbers.values():
        assert of_shard == sorted(set(of_shard)) and of_shard, of_shard
    everything = numbers[shard_id(0)] + numbers[shard_id(1)]
    same(len(set(everything)), 100, "numbers are unique in the stream")
    last = str(numbers[shard_id(0)][-1])
    ordered = world.put(name, "y", ExplicitHashKey="0", SequenceNumberForOrdering=last)
    assert int(ordered["SequenceNumber"]) > int(last)


@check
def many_writers_at_the_same_time_get_numbers_in_the_order_of_reading(world):
    name = world.stream()
    write = lambda writer: lambda: [world.put(name, f"{writer}/{n}")["SequenceNumber"] for n in range(10)]
    results = together([write(writer) for writer in range(8)])
    records, _ = world.drain(name, 0)
    numbers = [int(record["SequenceNumber"]) for record in records]
    same(numbers, sorted(numbers))
    same(sorted(number for result in results for number in map(int, result)), numbers)
    for writer in range(8):
        mine = [r["Data"].decode() for r in records if r["Data"].decode().startswith(f"{writer}/")]
        same(mine, [f"{writer}/{n}" for n in range(10)])


@check
def a_record_goes_to_the_shard_of_its_keys_md5_or_of_its_explicit_hash_key(world):
    name = world.stream(4)
    ranges = {shard["ShardId"]: hashes(shard) for shard in world.shards(name)}
    owner = lambda value: next(shard for shard, (start, end) in ranges.items() if start <= value <= end)
    keys = [f"key-{n}" for n in range(60)]
    answer = world.kinesis.put_records(
        StreamName=name, Records=[{"Data": b"x", "PartitionKey": key} for key in keys]
    )
    same([record["ShardId"] for record in answer["Records"]], [owner(hash_of(key)) for key in keys])
    places = [0, KEYS - 1, KEYS // 4 - 1, KEYS // 4, KEYS // 2]
    answer = world.kinesis.put_records(
        StreamName=name, Records=[{"Data": b"x", "PartitionKey": "k", "ExplicitHashKey": str(at)} for at in places]
    )
    same([record["ShardId"] for record in answer["Records"]], [owner(at) for at in places])


@check
def a_request_of_500_records_is_taken_and_one_of_501_or_none_is_not(world):
    name = world.stream()
    answer = world.strict.put_records(StreamName=name, Records=entries(500))
    same((answer["FailedRecordCount"], len(answer["Records"])), (0, 500))
    refused(VALIDATION, world.strict.put_records, StreamName=name, Records=entries(501))
    refused(VALIDATION, world.strict.put_records, StreamName=name, Records=[])
    same(len(world.drain(name, 0)[0]), 500)


@check
def keys_have_their_bounds(world):
    name = world.stream()
    refused(VALIDATION, world.strict.put_record, StreamName=name, Data=b"x", PartitionKey="")
    refused(VALIDATION, world.strict.put_record, StreamName=name, Data=b"x", PartitionKey="x" * 257)
    refused(VALIDATION, world.strict.put_record, StreamName=name, Data=b"x")
    refused(VALIDATION, world.strict.put_record, StreamName=name, PartitionKey="k")
    for bad in ("abc", "-1", "007"):
        refused(
            VALIDATION, world.strict.put_record, StreamName=name, Data=b"x", PartitionKey="k", ExplicitHashKey=bad
        )
    refused(
        INVALID, world.strict.put_record, StreamName=name, Data=b"x", PartitionKey="k", ExplicitHashKey=str(KEYS)
    )
    same(world.read(name), [])


@check
def a_record_has_at_most_a_mebibyte_with_its_key_until_the_stream_allows_more(world):
    name = world.stream(1, world.free)
    put = lambda size: world.free_strict.put_record(StreamName=name, Data=b"x" * size, PartitionKey="k")
    put(MIB - 1)
    refused({VALIDATION, INVALID}, put, MIB)
    arn = world.summary(name, world.free)["StreamARN"]
    for bad in (1023, 10241):
        refused({VALIDATION, INVALID}, world.free_strict.update_max_record_size, StreamARN=arn, MaxRecordSizeInKiB=bad)
    world.free.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=2048)
    world.active(name, world.free)
    same(world.summary(name, world.free)["MaxRecordSizeInKiB"], 2048)
    put(2 * MIB - 1)
    refused({VALIDATION, INVALID}, put, 2 * MIB)


@check
def a_request_has_at_most_ten_mebibytes_with_its_keys(world):
    name = world.stream(1, world.free)
    exact = entries(10, MIB - 1)
    same(world.free_strict.put_records(StreamName=name, Records=exact)["FailedRecordCount"], 0)
    refused(
        {VALIDATION, INVALID}, world.free_strict.put_records, StreamName=name, Records=exact + entries(1, 0)
    )


# Rates


@check
def a_shard_takes_a_thousand_records_a_second_and_says_which_it_did_not_take(world):
    name, began, taken, failed = world.stream(2), time.monotonic(), [], 0

    def put(at):
        records = [{"Data": f"{at}/{n}".encode(), "PartitionKey": "k", "ExplicitHashKey": "0"} for n in range(500)]
        return records, world.strict.put_records(StreamName=name, Records=records)

    for turn in itertools.count():
        requests = together([lambda at=turn * 8 + n: put(at) for n in range(8)])
        for records, answer in requests:
            refusals = [result for result in answer["Records"] if "ErrorCode" in result]
            same(answer["FailedRecordCount"], len(refusals))
            failed += len(refusals)
            for refusal in refusals:
                same((refusal["ErrorCode"], "SequenceNumber" in refusal), (THROTTLED, False))
                assert name in refusal["ErrorMessage"] and shard_id(0) in refusal["ErrorMessage"], refusal
            taken += [r["Data"] for r, result in zip(records, answer["Records"]) if "ErrorCode" not in result]
        elapsed = time.monotonic() - began
        assert len(taken) <= 1000 * (elapsed + 1), f"{len(taken)} records in {elapsed} s"
        if failed:
            break
        assert elapsed < PATIENCE, f"{len(taken)} records were taken without a refusal"
    elsewhere = world.strict.put_records(StreamName=name, Records=entries(10, ExplicitHashKey=str(KEYS - 1)))
    same(elsewhere["FailedRecordCount"], 0, "the other shard has its own rate")
    same(sorted(record["Data"] for record in world.drain(name, 0)[0]), sorted(taken))


@check
def a_shard_takes_a_mebibyte_a_second(world):
    name = world.stream()
    answer = world.strict.put_records(StreamName=name, Records=entries(50, 100_000))
    same(answer["FailedRecordCount"], 40, "a rested shard takes a second's worth at once")
    same([result.get("ErrorCode") for result in answer["Records"]], [None] * 10 + [THROTTLED] * 40)
    world.put(name, b"x" * 100_000)


@check
def a_shard_answers_five_reads_a_second(world):
    name = world.stream()
    iterator = world.iterator(name)
    began, answered, refusals = time.monotonic(), 0, set()
    while not refusals:
        # At the same time: one after the other they may come slower than the shard allows.
        results = together([lambda: world.strict.get_records(ShardIterator=iterator) for _ in range(20)])
        refused = [result for result in results if isinstance(result, ClientError)]
        refusals.update(result.response["Error"]["Code"] for result in refused)
        answered += len(results) - len(refused)
        assert time.monotonic() - began < 60, f"{answered} reads were answered without a refusal"
    same(refusals, {THROTTLED})
    assert 5 <= answered <= 5 * (time.monotonic() - began + 1), answered
    same(world.texts(iterator), [])


@check
def the_control_plane_has_its_rates(world):
    refusals = [
        result.response["Error"]["Code"]
        for result in together([lambda: world.strict.describe_limits() for _ in range(20)])
        if isinstance(result, ClientError)
    ]
    same(set(refusals), {LIMIT})


@check
def an_answer_has_at_most_ten_mebibytes_and_then_the_shard_rests(world):
    name = world.stream(MaxRecordSizeInKiB=10240)
    put = lambda: world.strict.put_record(StreamName=name, Data=b"x" * 6 * MIB, PartitionKey="k")
    put()

    def second():
        try:
            return put()
        except ClientError as error:
            same(error.response["Error"]["Code"], THROTTLED)

    until(second, "room for a second record of 6 MiB")
    answer = world.strict.get_records(ShardIterator=world.iterator(name))
    same([len(record["Data"]) for record in answer["Records"]], [6 * MIB])
    assert answer["MillisBehindLatest"] > 0
    following = answer["NextShardIterator"]
    refused(THROTTLED, world.strict.get_records, ShardIterator=following)
    rest = world.kinesis.get_records(ShardIterator=following)
    same(([len(record["Data"]) for record in rest["Records"]], rest["MillisBehindLatest"]), ([6 * MIB], 0))


@check
def rates_can_be_switched_off(world):
    name = world.stream(1, world.free)
    for _ in range(6):
        answer = world.free_strict.put_records(StreamName=name, Records=entries(500, 2000))
        same(answer["FailedRecordCount"], 0)
    ask = {"StreamName": name, "ShardId": shard_id(0), "ShardIteratorType": "LATEST"}
    for _ in range(20):
        iterator = world.free_strict.get_shard_iterator(**ask)["ShardIterator"]
        world.free_strict.get_records(ShardIterator=iterator)
        world.free_strict.describe_limits()


# Reading


@check
def each_kind_of_iterator_begins_where_it_says(world):
    name = world.stream()
    numbers = []
    for text in "abc":
        numbers.append(world.put(name, text)["SequenceNumber"])
        time.sleep(0.01)
    times = [record["ApproximateArrivalTimestamp"] for record in world.drain(name, 0)[0]]
    same(world.read(name, "TRIM_HORIZON"), ["a", "b", "c"])
    same(world.read(name, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1]), ["b", "c"])
    same(world.read(name, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1]), ["c"])
    same(world.read(name, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]), [])
    time.sleep(1)
    millisecond = datetime.timedelta(milliseconds=1)
    same(world.read(name, "AT_TIMESTAMP", Timestamp=times[1]), ["b", "c"], "at the time of a record")
    same(world.read(name, "AT_TIMESTAMP", Timestamp=times[1] + millisecond), ["c"], "after the time of a record")
    same(world.read(name, "AT_TIMESTAMP", Timestamp=0), ["a", "b", "c"], "before the trim horizon")
    latest = world.iterator(name, "LATEST")
    same(world.texts(latest), [])
    world.put(name, "d")
    time.sleep(1)
    same(world.texts(latest), ["d"])


@check
def an_iterator_that_makes_no_sense_is_refused(world):
    name = world.stream(2)
    number = world.put(name, "a", ExplicitHashKey="0")["SequenceNumber"]
    ask = lambda **more: {"StreamName": name, "ShardId": shard_id(0), **more}
    iterator = world.strict.get_shard_iterator
    refused(VALIDATION, iterator, **ask(ShardIteratorType="SOMEWHERE"))
    refused(INVALID, iterator, **ask(ShardIteratorType="AT_SEQUENCE_NUMBER"))
    refused(INVALID, iterator, **ask(ShardIteratorType="AT_TIMESTAMP"))
    refused(INVALID, iterator, **ask(ShardIteratorType="AT_TIMESTAMP", Timestamp=time.time() + 3600))
    elsewhere = {"StreamName": name, "ShardId": shard_id(1), "ShardIteratorType": "AT_SEQUENCE_NUMBER"}
    refused(INVALID, iterator, **elsewhere, StartingSequenceNumber=number)
    refused(INVALID, iterator, **ask(ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber="12"))
    refused({INVALID, VALIDATION}, world.strict.get_records, ShardIterator="bm90aGluZw==")
    refused({INVALID, VALIDATION}, world.strict.get_records, ShardIterator=world.iterator(name), Limit=10_001)
    refused({INVALID, VALIDATION}, world.strict.get_records, ShardIterator=world.iterator(name), Limit=0)


@check
def reading_with_a_limit_goes_on_and_tells_how_far_behind_it_is(world):
    name = world.stream()
    for text in "abc":
        world.put(name, text)
    time.sleep(0.3)
    answer = world.kinesis.get_records(ShardIterator=world.iterator(name), Limit=2)
    same([record["Data"] for record in answer["Records"]], [b"a", b"b"])
    behind = answer["MillisBehindLatest"]
    assert 300 <= behind < 60_000, behind
    again = world.kinesis.get_records(ShardIterator=answer["NextShardIterator"])
    same([record["Data"] for record in again["Records"]], [b"c"])
    same(again["MillisBehindLatest"], 0)
    tip = world.kinesis.get_records(ShardIterator=again["NextShardIterator"])
    same((tip["Records"], tip["MillisBehindLatest"]), ([], 0))
    assert tip["NextShardIterator"]
    same(world.texts(answer["NextShardIterator"]), ["c"], "an iterator may be used again")


# Resharding


@check
def a_split_closes_the_parent_and_its_reader_finds_both_children(world):
    name = world.stream()
    before = int(world.put(name, "before")["SequenceNumber"])
    middle = KEYS // 2
    world.kinesis.split_shard(StreamName=name, ShardToSplit=shard_id(0), NewStartingHashKey=str(middle))
    world.active(name)
    parent, left, right = world.shards(name)
    assert not is_open(parent) and is_open(left) and is_open(right)
    same([left["ParentShardId"], right["ParentShardId"]], [shard_id(0)] * 2)
    assert "AdjacentParentShardId" not in left
    same((hashes(left), hashes(right)), ((0, middle - 1), (middle, KEYS - 1)))
    records, end = world.drain(name, 0)
    same([record["Data"] for record in records], [b"before"])
    assert end.get("NextShardIterator") is None, "the end of a closed shard has no next iterator"
    same(
        [(child["ShardId"], child["ParentShards"], hashes(child)) for child in end["ChildShards"]],
        [(shard_id(1), [shard_id(0)], (0, middle - 1)), (shard_id(2), [shard_id(0)], (middle, KEYS - 1))],
    )
    after = world.put(name, "after", ExplicitHashKey=str(middle))
    same(after["ShardId"], shard_id(2))
    assert int(after["SequenceNumber"]) > before, "a child's numbers are larger than its parent's"
    assert int(parent["SequenceNumberRange"]["EndingSequenceNumber"]) >= before
    assert int(left["SequenceNumberRange"]["StartingSequenceNumber"]) > before
    same(world.summary(name)["OpenShardCount"], 2)
    refused(
        INVALID, world.strict.split_shard, StreamName=name, ShardToSplit=shard_id(0), NewStartingHashKey=str(middle)
    )


@check
def a_merge_has_one_child_of_two_parents(world):
    name = world.stream(3)
    for place in (0, KEYS // 2, KEYS - 1):
        world.put(name, "before", ExplicitHashKey=str(place))
    merge = {"ShardToMerge": shard_id(0), "AdjacentShardToMerge": shard_id(2)}
    refused(INVALID, world.strict.merge_shards, StreamName=name, **merge)
    world.kinesis.merge_shards(StreamName=name, ShardToMerge=shard_id(0), AdjacentShardToMerge=shard_id(1))
    world.active(name)
    child = world.shards(name)[-1]
    same((child["ParentShardId"], child["AdjacentParentShardId"]), (shard_id(0), shard_id(1)))
    same(hashes(child)[0], 0)
    for parent in (0, 1):
        records, end = world.drain(name, parent)
        same([record["Data"] for record in records], [b"before"])
        assert end.get("NextShardIterator") is None
        same(
            [(child["ShardId"], child["ParentShards"]) for child in end["ChildShards"]],
            [(shard_id(3), [shard_id(0), shard_id(1)])],
        )


@check
def a_split_needs_a_hash_key_inside_the_shard(world):
    name = world.stream(2)
    split = lambda at: {"StreamName": name, "ShardToSplit": shard_id(0), "NewStartingHashKey": str(at)}
    for bad in (0, KEYS // 2, KEYS - 1):
        refused(INVALID, world.strict.split_shard, **split(bad))
    time.sleep(1)
    refused({VALIDATION, INVALID}, world.strict.split_shard, **split("middle"))
    missing = {"StreamName": name, "ShardToSplit": shard_id(9), "NewStartingHashKey": "5"}
    refused(MISSING, world.strict.split_shard, **missing)


@check
def scaling_keeps_every_record_in_the_order_of_its_key_along_the_lineage(world):
    name = world.stream(2)
    sent = {f"key-{n}": [] for n in range(12)}
    for step, target in enumerate((4, 3, 5, 3)):
        for key, texts in sent.items():
            texts.append(f"{key}/{step}")
            world.put(name, texts[-1], key)
        answer = world.kinesis.update_shard_count(
            StreamName=name, TargetShardCount=target, ScalingType="UNIFORM_SCALING"
        )
        same(answer["TargetShardCount"], target)
        world.active(name)
        open_shards = sorted(hashes(shard) for shard in world.shards(name) if is_open(shard))
        same(len(open_shards), target)
        same([start for start, _ in open_shards], [KEYS // target * n for n in range(target)])
    for key, texts in sent.items():
        texts.append(f"{key}/last")
        world.put(name, texts[-1], key)
    everything = {shard["ShardId"]: shard for shard in world.shards(name)}
    read, done, waiting = {key: [] for key in sent}, set(), [shard_id(0), shard_id(1)]
    while waiting:
        shard = waiting.pop(0)
        if shard in done:
            continue
        parents = [everything[shard].get("ParentShardId"), everything[shard].get("AdjacentParentShardId")]
        if any(parent and parent not in done for parent in parents):
            waiting.append(shard)
            continue
        records, end = world.drain(name, shard)
        for record in records:
            read[record["PartitionKey"]].append(record["Data"].decode())
        done.add(shard)
        waiting += [child["ShardId"] for child in end.get("ChildShards", [])]
    same(read, sent)
    same(done, set(everything), "every shard is found by following children")


@check
def scaling_has_its_bounds(world):
    name = world.stream(4)
    scale = lambda to, kind="UNIFORM_SCALING": {"StreamName": name, "TargetShardCount": to, "ScalingType": kind}
    for bad in (9, 1):
        refused(INVALID, world.strict.update_shard_count, **scale(bad))
    refused(VALIDATION, world.strict.update_shard_count, **scale(5, "SOMEHOW"))
    refused(MISSING, world.strict.update_shard_count, **{**scale(5), "StreamName": "missing"})
    for n in range(10):
        world.kinesis.update_shard_count(**scale(5 if n % 2 == 0 else 4))
        world.active(name)
    refused(LIMIT, world.strict.update_shard_count, **scale(5))


@check
def shard_filters_name_the_shards_of_their_time(world):
    name = world.stream(2)
    time.sleep(0.1)
    before = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.1)
    world.kinesis.merge_shards(StreamName=name, ShardToMerge=shard_id(0), AdjacentShardToMerge=shard_id(1))
    world.active(name)
    listed = lambda **filter: [shard["ShardId"] for shard in world.shards(name, ShardFilter=filter)]
    same(listed(Type="AT_LATEST"), [shard_id(2)])
    same(listed(Type="AT_TRIM_HORIZON"), [shard_id(0), shard_id(1)])
    same(listed(Type="FROM_TRIM_HORIZON"), [shard_id(0), shard_id(1), shard_id(2)])
    same(listed(Type="AFTER_SHARD_ID", ShardId=shard_id(0)), [shard_id(1), shard_id(2)])
    same(listed(Type="AT_TIMESTAMP", Timestamp=before), [shard_id(0), shard_id(1)])
    same(listed(Type="FROM_TIMESTAMP", Timestamp=before), [shard_id(0), shard_id(1), shard_id(2)])
    now = datetime.datetime.now(datetime.timezone.utc)
    same(listed(Type="AT_TIMESTAMP", Timestamp=now), [shard_id(2)])
    same(listed(Type="FROM_TIMESTAMP", Timestamp=now), [shard_id(2)])
    refused({INVALID, VALIDATION}, world.strict.list_shards, StreamName=name, ShardFilter={"Type": "AT_TIMESTAMP"})


# Settings


@check
def an_on_demand_stream_begins_with_four_shards_and_is_not_resharded_by_hand(world):
    name = world.stream(None, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    same((world.summary(name)["OpenShardCount"], world.summary(name)["StreamModeDetails"]["StreamMode"]), (4, "ON_DEMAND"))
    refused(
        VALIDATION, world.strict.split_shard, StreamName=name, ShardToSplit=shard_id(0), NewStartingHashKey="1000"
    )
    refused(
        VALIDATION,
        world.strict.merge_shards,
        StreamName=name,
        ShardToMerge=shard_id(0),
        AdjacentShardToMerge=shard_id(1),
    )
    refused(
        VALIDATION,
        world.strict.update_shard_count,
        StreamName=name,
        TargetShardCount=5,
        ScalingType="UNIFORM_SCALING",
    )
    same(world.put(name, "x")["ShardId"] in [shard_id(n) for n in range(4)], True)


@check
def the_mode_is_switched_at_most_twice_a_day(world):
    name = world.stream(2)
    arn = world.summary(name)["StreamARN"]
    world.put(name, "kept", ExplicitHashKey="0")
    for mode in ("ON_DEMAND", "PROVISIONED"):
        world.kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": mode})
        world.active(name)
        same(world.summary(name)["StreamModeDetails"], {"StreamMode": mode})
        same(world.summary(name)["OpenShardCount"], 2, "a switch keeps the shards")
    again = {"StreamARN": arn, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}
    refused(LIMIT, world.strict.update_stream_mode, **again)
    same(world.read(name), ["kept"])


@check
def retention_goes_from_24_hours_to_365_days(world):
    name = world.stream()
    hours = lambda hours: {"StreamName": name, "RetentionPeriodHours": hours}
    refused(INVALID, world.strict.increase_stream_retention_period, **hours(8761))
    refused(INVALID, world.strict.decrease_stream_retention_period, **hours(23))
    world.kinesis.increase_stream_retention_period(**hours(8760))
    world.active(name)
    same(world.summary(name)["RetentionPeriodHours"], 8760)
    refused(INVALID, world.strict.increase_stream_retention_period, **hours(48))
    world.kinesis.decrease_stream_retention_period(**hours(48))
    world.active(name)
    same(world.summary(name)["RetentionPeriodHours"], 48)
    refused(INVALID, world.strict.decrease_stream_retention_period, **hours(72))


@check
def encryption_is_a_setting_that_answers_name(world):
    name = world.stream()
    key = {"StreamName": name, "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    world.kinesis.start_stream_encryption(**key)
    world.active(name)
    summary = world.summary(name)
    same((summary["EncryptionType"], summary["KeyId"]), ("KMS", "alias/aws/kinesis"))
    same(world.put(name, "x")["EncryptionType"], "KMS")
    same(world.drain(name, 0)[0][0]["EncryptionType"], "KMS")
    world.kinesis.stop_stream_encryption(**key)
    world.active(name)
    same(world.summary(name)["EncryptionType"], "NONE")


@check
def shard_metrics_are_switched_on_and_off(world):
    name = world.stream()
    on = world.kinesis.enable_enhanced_monitoring(StreamName=name, ShardLevelMetrics=["IncomingBytes", "OutgoingBytes"])
    same((on["CurrentShardLevelMetrics"], sorted(on["DesiredShardLevelMetrics"])), ([], ["IncomingBytes", "OutgoingBytes"]))
    world.active(name)
    off = world.kinesis.disable_enhanced_monitoring(StreamName=name, ShardLevelMetrics=["IncomingBytes"])
    same(off["DesiredShardLevelMetrics"], ["OutgoingBytes"])
    world.active(name)
    same(world.summary(name)["EnhancedMonitoring"], [{"ShardLevelMetrics": ["OutgoingBytes"]}])
    refused({VALIDATION, INVALID}, world.strict.enable_enhanced_monitoring, StreamName=name, ShardLevelMetrics=["No"])


@check
def limits_are_described(world):
    time.sleep(1.1)
    limits = world.kinesis.describe_limits()
    assert limits["OpenShardCount"] >= 1 and limits["ShardLimit"] >= limits["OpenShardCount"], limits
    assert limits["OnDemandStreamCount"] >= 1 and limits["OnDemandStreamCountLimit"] >= 50, limits


# Tags


@check
def tags_are_added_listed_by_pages_and_removed(world):
    name = world.stream(Tags={"made": "at creation"})
    tags = lambda: {tag["Key"]: tag["Value"] for tag in world.kinesis.list_tags_for_stream(StreamName=name)["Tags"]}
    same(tags(), {"made": "at creation"})
    world.kinesis.add_tags_to_stream(StreamName=name, Tags={"a": "1", "b": "2", "made": "again"})
    same(tags(), {"a": "1", "b": "2", "made": "again"})
    page = world.kinesis.list_tags_for_stream(StreamName=name, Limit=2)
    same(([tag["Key"] for tag in page["Tags"]], page["HasMoreTags"]), (["a", "b"], True))
    page = world.kinesis.list_tags_for_stream(StreamName=name, Limit=2, ExclusiveStartTagKey="b")
    same(([tag["Key"] for tag in page["Tags"]], page["HasMoreTags"]), (["made"], False))
    world.kinesis.remove_tags_from_stream(StreamName=name, TagKeys=["a", "not there"])
    same(tags(), {"b": "2", "made": "again"})


@check
def a_resource_has_at_most_fifty_tags(world):
    name = world.stream()
    arn = world.summary(name)["StreamARN"]
    world.kinesis.tag_resource(ResourceARN=arn, Tags={f"{n:02}": "" for n in range(50)})
    refused({INVALID, LIMIT}, world.strict.add_tags_to_stream, StreamName=name, Tags={"one": "more"})
    refused({VALIDATION, INVALID}, world.strict.tag_resource, ResourceARN=arn, Tags={"x" * 129: ""})
    refused({VALIDATION, INVALID}, world.strict.tag_resource, ResourceARN=arn, Tags={"x": "y" * 257})
    same(len(world.kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"]), 50)
    world.kinesis.untag_resource(ResourceARN=arn, TagKeys=[f"{n:02}" for n in range(48)])
    same([tag["Key"] for tag in world.kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"]], ["48", "49"])


# Registered consumers


@check
def a_consumer_is_registered_described_listed_and_deregistered(world):
    name = world.stream()
    arn = world.summary(name)["StreamARN"]
    consumer = world.consumer(name)
    assert consumer.startswith(f"{arn}/consumer/fan:"), consumer
    described = world.kinesis.describe_stream_consumer(StreamARN=arn, ConsumerName="fan")["ConsumerDescription"]
    same((described["ConsumerARN"], described["StreamARN"]), (consumer, arn))
    refused(IN_USE, world.strict.register_stream_consumer, StreamARN=arn, ConsumerName="fan")
    refused(IN_USE, world.strict.delete_stream, StreamName=name)
    same(world.summary(name)["ConsumerCount"], 1)
    world.kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="second", Tags={"a": "b"})
    pages = world.kinesis.get_paginator("list_stream_consumers").paginate(
        StreamARN=arn, PaginationConfig={"PageSize": 1}
    )
    same(sorted(c["ConsumerName"] for page in pages for c in page["Consumers"]), ["fan", "second"])
    world.kinesis.deregister_stream_consumer(StreamARN=arn, ConsumerName="second")
    world.kinesis.deregister_stream_consumer(ConsumerARN=consumer)
    gone = lambda: world.summary(name)["ConsumerCount"] == 0
    until(gone, "no consumers")
    refused(MISSING, world.strict.describe_stream_consumer, ConsumerARN=consumer)
    refused(MISSING, world.strict.deregister_stream_consumer, StreamARN=arn, ConsumerName="fan")
    world.kinesis.delete_stream(StreamName=name)


@check
def a_stream_with_consumers_is_deleted_only_when_that_is_said(world):
    name = world.stream()
    world.consumer(name)
    refused(IN_USE, world.strict.delete_stream, StreamName=name)
    world.kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
    world.kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})


@check
def a_stream_has_at_most_twenty_consumers(world):
    name = world.stream(1, world.free)
    arn = world.summary(name, world.free)["StreamARN"]
    for n in range(20):
        world.free.register_stream_consumer(StreamARN=arn, ConsumerName=f"fan-{n}")
    refused(LIMIT, world.free_strict.register_stream_consumer, StreamARN=arn, ConsumerName="one-more")


@check
def a_subscription_pushes_what_is_there_and_what_comes(world):
    name = world.stream()
    consumer = world.consumer(name)
    world.put(name, "one")
    events = world.subscribe(consumer)
    seen, numbers = [], []
    for event in events:
        event = event["SubscribeToShardEvent"]
        seen += [record["Data"] for record in event["Records"]]
        numbers.append(int(event["ContinuationSequenceNumber"]))
        assert event["MillisBehindLatest"] >= 0
        assert not event.get("ChildShards")
        if seen == [b"one"]:
            world.put(name, "two")
        if seen == [b"one", b"two"]:
            break
    same(seen, [b"one", b"two"])
    same(numbers, sorted(numbers), "continuation numbers")
    events.close()


@check
def a_subscription_is_refused_within_five_seconds_then_taken_over_and_goes_on(world):
    name = world.stream()
    consumer = world.consumer(name)
    world.put(name, "one")
    first = world.subscribe(consumer)
    event = next(iter(first))["SubscribeToShardEvent"]
    same([record["Data"] for record in event["Records"]], [b"one"])
    began = time.monotonic()
    goes_on = {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": event["ContinuationSequenceNumber"]}
    refused(IN_USE, world.subscribe, consumer, **goes_on)
    world.put(name, "two")

    def take_over():
        try:
            return world.subscribe(consumer, **goes_on)
        except ClientError as error:
            same(error.response["Error"]["Code"], IN_USE)

    second = until(take_over, "a subscription that takes over", 20)
    # The first call was answered a moment before the clock of this check was started.
    assert time.monotonic() - began > 4, "a young subscription was taken over"
    event = next(iter(second))["SubscribeToShardEvent"]
    same([record["Data"] for record in event["Records"]], [b"two"])
    rest = [record["Data"] for event in first for record in event["SubscribeToShardEvent"]["Records"]]
    assert rest in ([], [b"two"]), f"the subscription that was taken over ends without an error: {rest}"
    second.close()


@check
def a_subscription_ends_with_the_children_of_a_closed_shard(world):
    name = world.stream()
    consumer = world.consumer(name)
    world.put(name, "last")
    world.kinesis.split_shard(StreamName=name, ShardToSplit=shard_id(0), NewStartingHashKey=str(KEYS // 2))
    events = [event["SubscribeToShardEvent"] for event in world.subscribe(consumer)]
    same([record["Data"] for event in events for record in event["Records"]], [b"last"])
    assert events[-1].get("ContinuationSequenceNumber") in (None, ""), events[-1]
    same([child["ShardId"] for child in events[-1]["ChildShards"]], [shard_id(1), shard_id(2)])
    same([child["ParentShards"] for child in events[-1]["ChildShards"]], [[shard_id(0)]] * 2)


@check
def subscriptions_begin_at_the_tip_at_a_time_and_at_a_number(world):
    name = world.stream()
    number = world.put(name, "one")["SequenceNumber"]
    world.put(name, "two")
    first = world.drain(name, 0)[0][0]["ApproximateArrivalTimestamp"]
    positions = [
        ({"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": number}, [b"one", b"two"]),
        ({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number}, [b"two"]),
        ({"Type": "AT_TIMESTAMP", "Timestamp": first}, [b"one", b"two"]),
        ({"Type": "LATEST"}, []),
    ]
    for at, (position, expected) in enumerate(positions):
        events = world.subscribe(world.consumer(name, f"fan-{at}"), **position)
        event = next(iter(events))["SubscribeToShardEvent"]
        same([record["Data"] for record in event["Records"]], expected, str(position))
        events.close()


@check
def a_subscription_needs_a_consumer_and_a_shard(world):
    name = world.stream()
    consumer = world.consumer(name)
    refused(MISSING, world.subscribe, consumer.replace("/fan:", "/nobody:"))
    refused(MISSING, world.subscribe, consumer, shard=5)
    refused({INVALID, VALIDATION}, world.subscribe, consumer, Type="AT_SEQUENCE_NUMBER")


if __name__ == "__main__":
    args = options(without_rates="the endpoint of an engine with `--limits sizes`")
    run(World(args.endpoint, args.without_rates), args.only)
