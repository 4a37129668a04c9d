"""DynamoDB, asked by boto3: tables, items, conditions, batches, pages, transactions, indexes, streams and expiry."""

import itertools
import threading
import time
from decimal import Decimal

import boto3
from botocore.exceptions import ClientError

from checks import REGION, check, client, differs, options, refused, run, same, together, until

VALIDATION = "ValidationException"
MISSING = "ResourceNotFoundException"
IN_USE = "ResourceInUseException"
FAILED = "ConditionalCheckFailedException"
CANCELED = "TransactionCanceledException"


class World:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.dynamodb = client("dynamodb", endpoint)
        self.strict = client("dynamodb", endpoint, retries=False, parameter_validation=False)
        self.streams = client("dynamodbstreams", endpoint, parameter_validation=False)
        self.resource = boto3.resource(
            "dynamodb",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        self.names = (f"table-{n}" for n in itertools.count())
        self.sort, self.hash = self.table(), self.table(sort=None)
        self.keys = (f"p-{n}" for n in itertools.count())

    def table(self, sort="S", **parameters):
        """A table with partition key `p` and, if wanted, sort key `s`."""
        name = next(self.names)
        attributes, schema = [attribute("p", "S")], [key("p", "HASH")]
        if sort:
            attributes.append(attribute("s", sort))
            schema.append(key("s", "RANGE"))
        attributes += parameters.pop("attributes", [])
        self.dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=attributes,
            KeySchema=schema,
            BillingMode="PAY_PER_REQUEST",
            **parameters,
        )
        self.dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        return name

    def item(self, p, table=None):
        """An item of the table without sort keys, as plain values."""
        return self.resource.Table(table or self.hash).get_item(Key={"p": p}, ConsistentRead=True).get("Item")

    def changes(self, table):
        """What a table's stream tells, from its beginning."""
        arn = self.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        records = []
        for shard in self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            start = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = self.streams.get_shard_iterator(**start)["ShardIterator"]
            records += self.streams.get_records(ShardIterator=iterator)["Records"]
        return records

    def fill(self, table, p, count, **attributes):
        with self.resource.Table(table).batch_writer() as batch:
            for n in range(count):
                batch.put_item(Item={"p": p, "s": f"{n:03}", "n": n, **attributes})


def attribute(name, kind):
    return {"AttributeName": name, "AttributeType": kind}


def key(name, kind):
    return {"AttributeName": name, "KeyType": kind}


def s(text):
    return {"S": text}


def n(number):
    return {"N": str(number)}


# Tables


@check
def a_table_is_created_described_listed_and_deleted(world):
    name = world.table()
    table = world.dynamodb.describe_table(TableName=name)["Table"]
    same(table["TableStatus"], "ACTIVE")
    same(table["KeySchema"], [key("p", "HASH"), key("s", "RANGE")])
    same(sorted(a["AttributeName"] for a in table["AttributeDefinitions"]), ["p", "s"])
    same(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")
    assert table["TableId"] and table["CreationDateTime"]
    assert table["TableArn"].endswith(f":table/{name}"), table["TableArn"]
    assert name in world.dynamodb.list_tables()["TableNames"]
    world.dynamodb.delete_table(TableName=name)
    world.dynamodb.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    refused(MISSING, world.strict.describe_table, TableName=name)
    refused(MISSING, world.strict.delete_table, TableName=name)


@differs("dynoxide names its own region in ARNs, whatever the region is")
def an_arn_names_the_region_of_the_engine(world):
    arn = world.dynamodb.describe_table(TableName=world.hash)["Table"]["TableArn"]
    same(arn.split(":")[:4], ["arn", "aws", "dynamodb", REGION])


@check
def a_table_that_exists_is_not_created_again(world):
    refused(
        IN_USE,
        world.strict.create_table,
        TableName=world.hash,
        AttributeDefinitions=[attribute("p", "S")],
        KeySchema=[key("p", "HASH")],
        BillingMode="PAY_PER_REQUEST",
    )


@check
def a_table_whose_definition_is_wrong_is_refused(world):
    def create(**changes):
        return {
            "TableName": "wrong",
            "AttributeDefinitions": [attribute("p", "S")],
            "KeySchema": [key("p", "HASH")],
            "BillingMode": "PAY_PER_REQUEST",
            **changes,
        }

    refused(VALIDATION, world.strict.create_table, **create(KeySchema=[key("q", "HASH")]))
    refused(VALIDATION, world.strict.create_table, **create(KeySchema=[key("p", "RANGE")]))
    refused(VALIDATION, world.strict.create_table, **create(TableName="x"))
    refused(VALIDATION, world.strict.create_table, **create(TableName="a b c"))
    unused = [attribute("p", "S"), attribute("unused", "S")]
    refused(VALIDATION, world.strict.create_table, **create(AttributeDefinitions=unused))
    refused(VALIDATION, world.strict.create_table, **create(AttributeDefinitions=[attribute("p", "BOOL")]))


@check
def tables_are_listed_by_pages(world):
    names = world.dynamodb.list_tables()["TableNames"]
    same(names, sorted(names))
    pages = world.dynamodb.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1})
    pages = [page["TableNames"] for page in pages]
    same([name for page in pages for name in page], names)
    assert max(map(len, pages)) == 1


@check
def tables_have_tags(world):
    arn = world.dynamodb.describe_table(TableName=world.hash)["Table"]["TableArn"]
    tags = lambda: {t["Key"]: t["Value"] for t in world.dynamodb.list_tags_of_resource(ResourceArn=arn).get("Tags", [])}
    world.dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    same(tags(), {"a": "1", "b": "2"})
    world.dynamodb.untag_resource(ResourceArn=arn, TagKeys=["a"])
    same(tags(), {"b": "2"})


@check
def continuous_backups_are_a_setting(world):
    status = lambda answer: answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"][
        "PointInTimeRecoveryStatus"
    ]
    same(status(world.dynamodb.describe_continuous_backups(TableName=world.hash)), "DISABLED")
    on = {"PointInTimeRecoveryEnabled": True}
    world.dynamodb.update_continuous_backups(TableName=world.hash, PointInTimeRecoverySpecification=on)
    same(status(world.dynamodb.describe_continuous_backups(TableName=world.hash)), "ENABLED")
    refused("TableNotFoundException", world.strict.describe_continuous_backups, TableName="missing")


# Items


@check
def every_type_of_value_comes_back_as_it_was(world):
    item = {
        "p": s(next(world.keys)),
        "string": s("é\U0001f600\n\"\\"),
        "empty": s(""),
        "number": n("12345678901234567890123456789012345678"),
        "small": n("1E-130"),
        "large": n("-9.9E+125"),
        "binary": {"B": bytes(range(256))},
        "yes": {"BOOL": True},
        "null": {"NULL": True},
        "list": {"L": [s("a"), n("1"), {"L": []}, {"M": {}}]},
        "map": {"M": {"a": {"M": {"b": {"L": [n("2")]}}}, "key with.dots": s("x")}},
        "strings": {"SS": ["a", "b"]},
        "binaries": {"BS": [b"\x00", b"\x01"]},
    }
    world.dynamodb.put_item(TableName=world.hash, Item=item)
    found = world.dynamodb.get_item(TableName=world.hash, Key={"p": item["p"]}, ConsistentRead=True)["Item"]
    number = lambda value: Decimal(value["N"])
    same(number(found["small"]), Decimal("1E-130"))
    same(number(found["large"]), Decimal("-9.9E+125"))
    for name, value in item.items():
        if name in ("strings", "binaries"):
            kind = next(iter(value))
            same(sorted(found[name][kind]), value[kind], name)
        elif name not in ("small", "large"):
            same(found[name], value, name)
    numbers = {"p": s(next(world.keys)), "numbers": {"NS": ["1", "2.50", "3"]}}
    world.dynamodb.put_item(TableName=world.hash, Item=numbers)
    found = world.dynamodb.get_item(TableName=world.hash, Key={"p": numbers["p"]})["Item"]
    same(sorted(map(Decimal, found["numbers"]["NS"])), [1, Decimal("2.5"), 3])


@check
def values_that_no_item_may_hold_are_refused(world):
    bad = {
        "a number of 39 digits": n("1" * 39),
        "a number that is none": n("x"),
        "a number above the range": n("1E+126"),
        "an empty set": {"SS": []},
        "a set with duplicates": {"SS": ["a", "a"]},
    }
    for what, value in bad.items():
        try:
            refused(VALIDATION, world.strict.put_item, TableName=world.hash, Item={"p": s("bad"), "x": value})
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from None
    same(world.item("bad"), None)


@check
def keys_have_their_type_and_their_bounds(world):
    for item in ({"x": s("1")}, {"p": n(1)}, {"p": s("")}, {"p": s("x" * 2049)}):
        refused(VALIDATION, world.strict.put_item, TableName=world.hash, Item=item)
    refused(VALIDATION, world.strict.put_item, TableName=world.sort, Item={"p": s("a"), "s": s("x" * 1025)})
    refused(VALIDATION, world.strict.put_item, TableName=world.sort, Item={"p": s("a")})
    refused(VALIDATION, world.strict.get_item, TableName=world.hash, Key={"p": s("a"), "q": s("a")})
    refused(VALIDATION, world.strict.get_item, TableName=world.sort, Key={"p": s("a")})
    refused(MISSING, world.strict.put_item, TableName="missing", Item={"p": s("a")})
    refused(MISSING, world.strict.get_item, TableName="missing", Key={"p": s("a")})


@check
def an_item_has_at_most_400_kib_with_its_names(world):
    p = next(world.keys)
    fits = 400 * 1024 - len("p") - len(p) - len("x")
    world.strict.put_item(TableName=world.hash, Item={"p": s(p), "x": s("x" * fits)})
    refused(VALIDATION, world.strict.put_item, TableName=world.hash, Item={"p": s(p), "x": s("x" * (fits + 1))})


@check
def a_put_replaces_the_whole_item_and_gives_back_the_old_one(world):
    p = next(world.keys)
    put = lambda **item: world.dynamodb.put_item(TableName=world.hash, Item={"p": s(p), **item}, ReturnValues="ALL_OLD")
    assert "Attributes" not in put(a=n(1))
    same(put(b=n(2))["Attributes"], {"p": s(p), "a": n(1)})
    same(world.item(p), {"p": p, "b": 2})
    deleted = world.dynamodb.delete_item(TableName=world.hash, Key={"p": s(p)}, ReturnValues="ALL_OLD")
    same(deleted["Attributes"], {"p": s(p), "b": n(2)})
    again = world.dynamodb.delete_item(TableName=world.hash, Key={"p": s(p)}, ReturnValues="ALL_OLD")
    assert "Attributes" not in again
    assert "Item" not in world.dynamodb.get_item(TableName=world.hash, Key={"p": s(p)})


@check
def a_projection_gives_the_named_paths_only(world):
    p = next(world.keys)
    item = {"p": p, "a": {"b": 1, "c": 2}, "many": [1, 2, 3], "size": 4}
    world.resource.Table(world.hash).put_item(Item=item)
    found = world.resource.Table(world.hash).get_item(
        Key={"p": p}, ProjectionExpression="a.b, many[1], #s", ExpressionAttributeNames={"#s": "size"}
    )["Item"]
    same(found, {"a": {"b": 1}, "many": [2], "size": 4})


# Conditions and updates


@check
def a_conditional_write_happens_only_when_its_condition_holds(world):
    p = next(world.keys)
    put = {"TableName": world.hash, "Item": {"p": s(p), "v": n(1)}, "ConditionExpression": "attribute_not_exists(p)"}
    world.strict.put_item(**put)
    refused(FAILED, world.strict.put_item, **put)
    answer = refused(FAILED, world.strict.put_item, **put, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    same(answer["Item"], {"p": s(p), "v": n(1)}, "the item that was there")
    one = {":one": n(1), ":two": n(2)}
    delete = {"TableName": world.hash, "Key": {"p": s(p)}, "ExpressionAttributeValues": {":two": n(2)}}
    refused(FAILED, world.strict.delete_item, **delete, ConditionExpression="v = :two")
    update = {"TableName": world.hash, "Key": {"p": s(p)}, "UpdateExpression": "SET v = :two"}
    world.strict.update_item(**update, ConditionExpression="v BETWEEN :one AND :two", ExpressionAttributeValues=one)
    refused(
        FAILED, world.strict.update_item, **update, ConditionExpression="v = :one", ExpressionAttributeValues=one
    )
    same(world.item(p)["v"], 2)


@check
def conditions_know_the_documented_functions_and_operators(world):
    p = next(world.keys)
    world.resource.Table(world.hash).put_item(
        Item={"p": p, "text": "hello", "n": 5, "list": [1, 2], "set": {"a", "b"}, "map": {"x": 1}}
    )

    def holds(condition, **values):
        values = {f":{name}": value for name, value in values.items()}
        parameters = {"ExpressionAttributeValues": values} if values else {}
        names = {"#t": "text", "#l": "list", "#s": "set", "#m": "map"}
        names = {name: value for name, value in names.items() if name in condition}
        parameters |= {"ExpressionAttributeNames": names} if names else {}
        try:
            world.resource.Table(world.hash).update_item(
                Key={"p": p}, UpdateExpression="REMOVE nothing", ConditionExpression=condition, **parameters
            )
            return True
        except ClientError as error:
            same(error.response["Error"]["Code"], FAILED, condition)
            return False

    true = [
        ("attribute_exists(#m.x) AND attribute_not_exists(#m.y)", {}),
        ("begins_with(#t, :a)", {"a": "he"}),
        ("contains(#t, :a)", {"a": "ell"}),
        ("contains(#s, :a)", {"a": "b"}),
        ("contains(#l, :a)", {"a": 2}),
        ("size(#t) = :a", {"a": 5}),
        ("size(#l) < :a", {"a": 3}),
        ("attribute_type(n, :a)", {"a": "N"}),
        ("n IN (:a, :b)", {"a": 1, "b": 5}),
        ("NOT n <> :a", {"a": 5}),
        ("(n > :a OR n < :b) AND n >= :a AND n <= :a", {"a": 5, "b": 6}),
    ]
    for condition, values in true:
        same(holds(condition, **values), True, condition)
        same(holds(f"NOT ({condition})", **values), False, f"NOT ({condition})")
    same(holds("n = :a", a="5"), False, "a number is not a string")


@check
def of_many_conditional_writers_exactly_one_wins(world):
    p = next(world.keys)

    def put(writer):
        return lambda: world.dynamodb.put_item(
            TableName=world.hash, Item={"p": s(p), "w": n(writer)}, ConditionExpression="attribute_not_exists(p)"
        )

    results = together([put(writer) for writer in range(16)])
    refusals = [r.response["Error"]["Code"] for r in results if isinstance(r, ClientError)]
    same((len(refusals), set(refusals)), (15, {FAILED}))


@check
def updates_set_remove_add_and_delete(world):
    p = next(world.keys)
    table = world.resource.Table(world.hash)
    table.put_item(Item={"p": p, "a": 1, "list": [1], "set": {"x", "y"}, "gone": 1, "map": {"k": 1}})
    answer = table.update_item(
        Key={"p": p},
        UpdateExpression=(
            "SET a = a + :one, b = if_not_exists(b, :ten), c = if_not_exists(a, :ten), "
            "#list = list_append(#list, :more), #map.k = :ten, #map.fresh = :one "
            "REMOVE gone ADD added :one, marks :set DELETE #set :x"
        ),
        ExpressionAttributeNames={"#list": "list", "#set": "set", "#map": "map"},
        ExpressionAttributeValues={":one": 1, ":ten": 10, ":more": [2, 3], ":x": {"x"}, ":set": {"t"}},
        ReturnValues="ALL_NEW",
    )
    expected = {
        "p": p, "a": 2, "b": 10, "c": 1, "list": [1, 2, 3], "set": {"y"}, "map": {"k": 10, "fresh": 1}, "added": 1,
        "marks": {"t"},
    }  # fmt: skip
    same(answer["Attributes"], expected)
    same(world.item(p), expected)


@check
def an_update_creates_an_item_and_returns_what_is_asked_for(world):
    p = next(world.keys)
    update = lambda returned: world.resource.Table(world.hash).update_item(
        Key={"p": p}, UpdateExpression="ADD a :one", ExpressionAttributeValues={":one": 1}, ReturnValues=returned
    ).get("Attributes")
    same(update("UPDATED_NEW"), {"a": 1})
    same(update("UPDATED_OLD"), {"a": 1})
    same(update("ALL_OLD"), {"p": p, "a": 2})
    same(update("ALL_NEW"), {"p": p, "a": 4})
    same(update("NONE"), None)


@check
def sums_are_exact_decimals(world):
    p = next(world.keys)
    for _ in range(10):
        world.resource.Table(world.hash).update_item(
            Key={"p": p}, UpdateExpression="ADD a :x", ExpressionAttributeValues={":x": Decimal("0.1")}
        )
    same(world.item(p)["a"], Decimal("1"))
    world.resource.Table(world.hash).update_item(
        Key={"p": p},
        UpdateExpression="SET a = :x ADD b :y",
        ExpressionAttributeValues={":x": Decimal("0.30000000000000000001"), ":y": Decimal("-12345678901234567.89")},
    )
    item = world.item(p)
    same((item["a"], item["b"]), (Decimal("0.30000000000000000001"), Decimal("-12345678901234567.89")))


@check
def sums_of_many_writers_lose_nothing(world):
    p = next(world.keys)

    def add():
        for _ in range(25):
            world.dynamodb.update_item(
                TableName=world.hash,
                Key={"p": s(p)},
                UpdateExpression="ADD a :one",
                ExpressionAttributeValues={":one": n(1)},
            )

    results = together([add] * 8)
    same([r for r in results if r], [])
    same(world.item(p)["a"], 200)


@check
def updates_that_make_no_sense_are_refused(world):
    p = next(world.keys)
    world.resource.Table(world.hash).put_item(Item={"p": p, "text": "x"})
    update = lambda expression, **more: {
        "TableName": world.hash, "Key": {"p": s(p)}, "UpdateExpression": expression, **more,
    }  # fmt: skip
    one = {"ExpressionAttributeValues": {":one": n(1)}}
    refused(VALIDATION, world.strict.update_item, **update("SET p = :one", **one))
    refused(VALIDATION, world.strict.update_item, **update("SET size = :one", **one))
    refused(VALIDATION, world.strict.update_item, **update("SET a = :two", **one))
    refused(VALIDATION, world.strict.update_item, **update("SET a = :one, a = :one", **one))
    refused(VALIDATION, world.strict.update_item, **update("SET a = missing + :one", **one))
    refused(VALIDATION, world.strict.update_item, **update("ADD #t :one", ExpressionAttributeNames={"#t": "text"}, **one))
    refused(VALIDATION, world.strict.update_item, **update("SET missing.a = :one", **one))
    refused(VALIDATION, world.strict.update_item, **update("REMOVE a", **one))
    refused(VALIDATION, world.strict.update_item, **update("NONSENSE"))
    same(world.item(p), {"p": p, "text": "x"})


# Batches


@check
def a_batch_writes_up_to_25_items_of_several_tables(world):
    p = next(world.keys)
    put = lambda **item: {"PutRequest": {"Item": item}}
    requests = {
        world.sort: [put(p=s(p), s=s(f"{at:02}")) for at in range(20)],
        world.hash: [put(p=s(f"{p}-{at}")) for at in range(5)],
    }
    answer = world.strict.batch_write_item(RequestItems=requests)
    same(answer["UnprocessedItems"], {})
    deletes = [{"DeleteRequest": {"Key": {"p": s(p), "s": s(f"{at:02}")}}} for at in range(10)]
    world.strict.batch_write_item(RequestItems={world.sort: deletes})
    query = world.dynamodb.query(
        TableName=world.sort, KeyConditionExpression="p = :p", ExpressionAttributeValues={":p": s(p)}
    )
    same([item["s"]["S"] for item in query["Items"]], [f"{at:02}" for at in range(10, 20)])
    too_many = [put(p=s(p), s=s(str(at))) for at in range(26)]
    refused(VALIDATION, world.strict.batch_write_item, RequestItems={world.sort: too_many})
    twice = [put(p=s(p), s=s("a")), put(p=s(p), s=s("a"))]
    refused(VALIDATION, world.strict.batch_write_item, RequestItems={world.sort: twice})
    refused(VALIDATION, world.strict.batch_write_item, RequestItems={world.sort: []})
    refused(MISSING, world.strict.batch_write_item, RequestItems={"missing": [put(p=s(p))]})


@check
def a_batch_with_one_bad_item_writes_nothing(world):
    p = next(world.keys)
    requests = [{"PutRequest": {"Item": {"p": s(p)}}}, {"PutRequest": {"Item": {"q": s(p)}}}]
    refused(VALIDATION, world.strict.batch_write_item, RequestItems={world.hash: requests})
    same(world.item(p), None)


@check
def a_batch_reads_up_to_100_items(world):
    p = next(world.keys)
    world.fill(world.sort, p, 100)
    keys = [{"p": s(p), "s": s(f"{at:03}")} for at in range(100)]
    answer = world.strict.batch_get_item(RequestItems={world.sort: {"Keys": keys, "ConsistentRead": True}})
    same(sorted(item["s"]["S"] for item in answer["Responses"][world.sort]), [f"{at:03}" for at in range(100)])
    same(answer["UnprocessedKeys"], {})
    missing = {"p": s(p), "s": s("missing")}
    refused(VALIDATION, world.strict.batch_get_item, RequestItems={world.sort: {"Keys": keys + [missing]}})
    refused(VALIDATION, world.strict.batch_get_item, RequestItems={world.sort: {"Keys": [missing, missing]}})
    answer = world.strict.batch_get_item(RequestItems={world.sort: {"Keys": [missing]}})
    same(answer["Responses"], {world.sort: []})


@check
def a_batch_that_reads_more_than_16_mib_leaves_keys_to_ask_for_again(world):
    table = world.table(sort=None)
    for at in range(50):
        world.dynamodb.put_item(TableName=table, Item={"p": s(f"{at:02}"), "x": s("x" * 390_000)})
    wanted, found, asked = {table: {"Keys": [{"p": s(f"{at:02}")} for at in range(50)]}}, [], 0
    while wanted:
        answer = world.dynamodb.batch_get_item(RequestItems=wanted)
        items = answer["Responses"].get(table, [])
        assert sum(len(item["x"]["S"]) for item in items) <= 16 * 1024 * 1024
        found += [item["p"]["S"] for item in items]
        wanted, asked = answer["UnprocessedKeys"], asked + 1
    same(sorted(found), [f"{at:02}" for at in range(50)])
    assert asked > 1


# Queries and scans


@check
def a_query_reads_a_part_of_a_partition_in_order(world):
    p = next(world.keys)
    world.fill(world.sort, p, 20)
    world.fill(world.sort, p + "-other", 5)

    def query(condition, **more):
        values = {":p": s(p), **{f":{name}": s(value) for name, value in more.pop("values", {}).items()}}
        return world.dynamodb.query(
            TableName=world.sort, KeyConditionExpression=condition, ExpressionAttributeValues=values, **more
        )

    found = lambda answer: [int(item["s"]["S"]) for item in answer["Items"]]
    same(found(query("p = :p")), list(range(20)))
    same(found(query("p = :p", ScanIndexForward=False)), list(reversed(range(20))))
    same(found(query("p = :p AND begins_with(s, :a)", values={"a": "01"})), list(range(10, 20)))
    same(found(query("p = :p AND s BETWEEN :a AND :b", values={"a": "003", "b": "005"})), [3, 4, 5])
    same(found(query("p = :p AND s < :a", values={"a": "003"})), [0, 1, 2])
    same(found(query("p = :p AND s >= :a", values={"a": "018"})), [18, 19])
    same(found(query("p = :p AND s = :a", values={"a": "007"})), [7])
    count = query("p = :p", Select="COUNT")
    same((count["Count"], "Items" in count), (20, False))


@check
def numbers_sort_as_numbers_and_binaries_as_unsigned_bytes(world):
    table = world.table(sort="N")
    numbers = ["-100", "-5.5", "0", "1E-5", "2", "10", "123456789012345678901234567890"]
    for number in reversed(numbers):
        world.dynamodb.put_item(TableName=table, Item={"p": s("a"), "s": n(number)})
    query = {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": s("a")}}
    found = world.dynamodb.query(TableName=table, **query)["Items"]
    same([Decimal(item["s"]["N"]) for item in found], [Decimal(number) for number in numbers])
    table = world.table(sort="B")
    for byte in (b"\xff", b"\x00", b"\x7f", b"\x80", b"\x7f\x00"):
        world.dynamodb.put_item(TableName=table, Item={"p": s("a"), "s": {"B": byte}})
    found = world.dynamodb.query(TableName=table, **query)["Items"]
    same([item["s"]["B"] for item in found], [b"\x00", b"\x7f", b"\x7f\x00", b"\x80", b"\xff"])


@check
def pages_hold_each_item_once_whatever_their_size(world):
    p = next(world.keys)
    world.fill(world.sort, p, 23)
    for size in (1, 7, 23, 100):
        pages = world.dynamodb.get_paginator("query").paginate(
            TableName=world.sort,
            KeyConditionExpression="p = :p",
            ExpressionAttributeValues={":p": s(p)},
            PaginationConfig={"PageSize": size},
        )
        pages = [page["Items"] for page in pages]
        same([item["n"]["N"] for page in pages for item in page], [str(at) for at in range(23)], f"pages of {size}")
        assert all(len(page) <= size for page in pages)


@check
def a_page_has_at_most_a_mebibyte(world):
    p = next(world.keys)
    world.fill(world.sort, p, 10, x="x" * 300_000)
    query = {
        "TableName": world.sort, "KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": s(p)},
    }  # fmt: skip
    first = world.dynamodb.query(**query)
    assert 3 <= first["Count"] <= 4, first["Count"]
    same(first["LastEvaluatedKey"], {"p": s(p), "s": first["Items"][-1]["s"]})
    pages = world.dynamodb.get_paginator("query").paginate(**query)
    same([item["n"]["N"] for page in pages for item in page["Items"]], [str(at) for at in range(10)])


@check
def a_filter_is_applied_after_the_page_was_read(world):
    p = next(world.keys)
    world.fill(world.sort, p, 10)
    answer = world.dynamodb.query(
        TableName=world.sort,
        KeyConditionExpression="p = :p",
        FilterExpression="n > :n",
        ExpressionAttributeValues={":p": s(p), ":n": n(3)},
        Limit=5,
    )
    same((answer["Count"], answer["ScannedCount"], len(answer["Items"])), (1, 5, 1))
    same(answer["LastEvaluatedKey"], {"p": s(p), "s": s("004")})


@check
def queries_that_make_no_sense_are_refused(world):
    query = lambda condition, **more: {
        "TableName": world.sort, "KeyConditionExpression": condition,
        "ExpressionAttributeValues": {":p": s("a"), ":q": s("b")}, **more,
    }  # fmt: skip
    refused(VALIDATION, world.strict.query, **query("s = :p AND s = :q"))
    refused(VALIDATION, world.strict.query, **query("p > :p AND s = :q"))
    refused(VALIDATION, world.strict.query, **query("p = :p AND n = :q"))
    refused(VALIDATION, world.strict.query, **query("p = :p AND contains(s, :q)"))
    refused(VALIDATION, world.strict.query, **query("p = :p AND s = :q", Limit=0))
    refused(VALIDATION, world.strict.query, **query("p = :p AND s = :q", FilterExpression="s = :q"))
    refused(VALIDATION, world.strict.query, **query("p = :p AND s = :q", IndexName="missing"))
    refused(VALIDATION, world.strict.query, TableName=world.sort)


@check
def a_scan_reads_everything_by_pages_and_in_parallel_segments(world):
    table = world.table()
    for p in range(10):
        world.fill(table, f"p-{p}", 7)
    expected = sorted((f"p-{p}", f"{at:03}") for p in range(10) for at in range(7))
    found = lambda pages: [(item["p"]["S"], item["s"]["S"]) for page in pages for item in page["Items"]]
    scan = world.dynamodb.get_paginator("scan")
    same(sorted(found(scan.paginate(TableName=table, PaginationConfig={"PageSize": 9}))), expected)
    segments = [found(scan.paginate(TableName=table, Segment=at, TotalSegments=4)) for at in range(4)]
    same(sorted(item for segment in segments for item in segment), expected)
    filtered = world.dynamodb.scan(
        TableName=table, FilterExpression="n = :n", ExpressionAttributeValues={":n": n(3)}, Select="COUNT"
    )
    same((filtered["Count"], filtered["ScannedCount"]), (10, 70))
    refused(VALIDATION, world.strict.scan, TableName=table, Segment=4, TotalSegments=4)


# Transactions


@check
def a_transaction_writes_all_or_nothing(world):
    a, b, c = (next(world.keys) for _ in range(3))
    put = lambda p, **more: {"Put": {"TableName": world.hash, "Item": {"p": s(p), "v": n(1)}, **more}}
    world.dynamodb.put_item(TableName=world.hash, Item={"p": s(c), "v": n(5)})
    world.strict.transact_write_items(
        TransactItems=[
            put(a),
            {
                "Update": {
                    "TableName": world.hash,
                    "Key": {"p": s(b)},
                    "UpdateExpression": "ADD v :v",
                    "ExpressionAttributeValues": {":v": n(2)},
                }
            },
            {
                "ConditionCheck": {
                    "TableName": world.hash,
                    "Key": {"p": s(c)},
                    "ConditionExpression": "v = :v",
                    "ExpressionAttributeValues": {":v": n(5)},
                }
            },
        ]
    )
    same((world.item(a)["v"], world.item(b)["v"]), (1, 2))
    new = next(world.keys)
    answer = refused(
        CANCELED,
        world.strict.transact_write_items,
        TransactItems=[
            put(new),
            put(a, ConditionExpression="attribute_not_exists(p)", ReturnValuesOnConditionCheckFailure="ALL_OLD"),
            {"Delete": {"TableName": world.hash, "Key": {"p": s(c)}}},
        ],
    )
    reasons = answer["CancellationReasons"]
    same([reason["Code"] for reason in reasons], ["None", "ConditionalCheckFailed", "None"])
    same(reasons[1]["Item"], {"p": s(a), "v": n(1)})
    same((world.item(new), world.item(c)["v"]), (None, 5))


@check
def a_transaction_with_the_same_token_happens_once(world):
    p = next(world.keys)
    add = lambda amount: [
        {
            "Update": {
                "TableName": world.hash,
                "Key": {"p": s(p)},
                "UpdateExpression": "ADD v :v",
                "ExpressionAttributeValues": {":v": n(amount)},
            }
        }
    ]
    for _ in range(3):
        world.strict.transact_write_items(TransactItems=add(1), ClientRequestToken="token-" + p)
    same(world.item(p)["v"], 1)
    refused(
        "IdempotentParameterMismatchException",
        world.strict.transact_write_items,
        TransactItems=add(2),
        ClientRequestToken="token-" + p,
    )
    same(world.item(p)["v"], 1)


@check
def a_transaction_has_at_most_100_items_each_once(world):
    p = next(world.keys)
    put = lambda at: {"Put": {"TableName": world.hash, "Item": {"p": s(f"{p}-{at}")}}}
    world.strict.transact_write_items(TransactItems=[put(at) for at in range(100)])
    same(world.item(f"{p}-99"), {"p": f"{p}-99"})
    refused(VALIDATION, world.strict.transact_write_items, TransactItems=[put(at) for at in range(101)])
    refused(VALIDATION, world.strict.transact_write_items, TransactItems=[put(1), put(1)])
    refused(VALIDATION, world.strict.transact_write_items, TransactItems=[])
    large = [{"Put": {"TableName": world.hash, "Item": {"p": s(f"{p}-{at}"), "x": s("x" * 390_000)}}} for at in range(12)]
    refused(VALIDATION, world.strict.transact_write_items, TransactItems=large)


@check
def a_transaction_reads_a_consistent_whole(world):
    a, b = next(world.keys), next(world.keys)
    add = lambda p: {
        "Update": {
            "TableName": world.hash,
            "Key": {"p": s(p)},
            "UpdateExpression": "ADD v :v",
            "ExpressionAttributeValues": {":v": n(1)},
        }
    }
    stop = threading.Event()

    def write():
        while not stop.is_set():
            world.dynamodb.transact_write_items(TransactItems=[add(a), add(b)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        get = lambda p: {"Get": {"TableName": world.hash, "Key": {"p": s(p)}}}
        for _ in range(50):
            answer = world.dynamodb.transact_get_items(TransactItems=[get(a), get(b)])
            values = [response.get("Item", {}).get("v") for response in answer["Responses"]]
            same(values[0], values[1])
    finally:
        stop.set()
        writer.join()


# Indexes


@check
def a_global_index_is_queried_by_its_own_keys(world):
    index = {
        "IndexName": "by-customer",
        "KeySchema": [key("c", "HASH"), key("n", "RANGE")],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["shown"]},
    }
    table = world.table(attributes=[attribute("c", "S"), attribute("n", "N")], GlobalSecondaryIndexes=[index])
    for at in range(10):
        world.dynamodb.put_item(
            TableName=table,
            Item={
                "p": s(f"p-{at}"), "s": s("x"), "c": s(f"c-{at % 2}"), "n": n(at), "shown": s("y"), "hidden": s("z"),
            },  # fmt: skip
        )
    world.dynamodb.put_item(TableName=table, Item={"p": s("sparse"), "s": s("x"), "n": n(0)})
    query = lambda **more: world.dynamodb.query(
        TableName=table,
        IndexName="by-customer",
        KeyConditionExpression="c = :c AND n > :n",
        ExpressionAttributeValues={":c": s("c-1"), ":n": n(2)},
        **more,
    )
    same([item["n"]["N"] for item in query()["Items"]], ["3", "5", "7", "9"])
    same(sorted(query()["Items"][0]), ["c", "n", "p", "s", "shown"])
    refused(VALIDATION, world.strict.query, TableName=table, IndexName="by-customer", ConsistentRead=True,
            KeyConditionExpression="c = :c", ExpressionAttributeValues={":c": s("c-1")})  # fmt: skip
    same(world.dynamodb.scan(TableName=table, IndexName="by-customer")["Count"], 10)
    world.dynamodb.update_item(
        TableName=table,
        Key={"p": s("p-9"), "s": s("x")},
        UpdateExpression="SET c = :c",
        ExpressionAttributeValues={":c": s("c-0")},
    )
    same([item["n"]["N"] for item in query()["Items"]], ["3", "5", "7"])
    first = query(Limit=2)
    same(sorted(first["LastEvaluatedKey"]), ["c", "n", "p", "s"])
    same([item["n"]["N"] for item in query(ExclusiveStartKey=first["LastEvaluatedKey"])["Items"]], ["7"])
    refused(VALIDATION, world.strict.put_item, TableName=table, Item={"p": s("a"), "s": s("b"), "c": n(1)})


@check
def a_local_index_sorts_a_partition_otherwise(world):
    index = {
        "IndexName": "by-n", "KeySchema": [key("p", "HASH"), key("n", "RANGE")], "Projection": {"ProjectionType": "ALL"},
    }  # fmt: skip
    table = world.table(attributes=[attribute("n", "N")], LocalSecondaryIndexes=[index])
    for at in range(5):
        world.dynamodb.put_item(TableName=table, Item={"p": s("a"), "s": s(str(at)), "n": n(10 - at)})
    found = world.dynamodb.query(
        TableName=table,
        IndexName="by-n",
        ConsistentRead=True,
        KeyConditionExpression="p = :p",
        ExpressionAttributeValues={":p": s("a")},
    )["Items"]
    same([item["n"]["N"] for item in found], ["6", "7", "8", "9", "10"])


# Capacity, streams, expiry


@check
def consumed_capacity_is_told_when_it_is_asked_for(world):
    p = next(world.keys)
    put = world.dynamodb.put_item(
        TableName=world.hash, Item={"p": s(p), "x": s("x" * 2500)}, ReturnConsumedCapacity="TOTAL"
    )
    same(put["ConsumedCapacity"]["CapacityUnits"], 3.0)
    get = lambda consistent: world.dynamodb.get_item(
        TableName=world.hash, Key={"p": s(p)}, ConsistentRead=consistent, ReturnConsumedCapacity="TOTAL"
    )["ConsumedCapacity"]["CapacityUnits"]
    same((get(True), get(False)), (1.0, 0.5))


@check
def a_stream_tells_every_change_in_order(world):
    table = world.table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    at = {"p": s("a"), "s": s("b")}
    world.dynamodb.put_item(TableName=table, Item={**at, "v": n(1)})
    world.dynamodb.put_item(TableName=table, Item={**at, "v": n(2)})
    world.dynamodb.delete_item(TableName=table, Key=at)
    records = world.changes(table)
    same([record["eventName"] for record in records], ["INSERT", "MODIFY", "REMOVE"])
    same(records[1]["dynamodb"]["OldImage"]["v"], n(1))
    same(records[1]["dynamodb"]["NewImage"]["v"], n(2))
    same(records[2]["dynamodb"]["Keys"], at)


@differs("dynoxide's streams also tell writes that change nothing")
def a_write_that_changes_nothing_is_not_told(world):
    table = world.table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    for _ in range(2):
        world.dynamodb.put_item(TableName=table, Item={"p": s("a"), "s": s("b"), "v": n(1)})
    same([record["eventName"] for record in world.changes(table)], ["INSERT"])


@differs("dynoxide's shards have 24 characters, so boto3 refuses to ask for them")
def a_shard_of_a_stream_has_a_name_of_at_least_28_characters(world):
    table = world.table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    world.dynamodb.put_item(TableName=table, Item={"p": s("a"), "s": s("b")})
    arn = world.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    for shard in world.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        assert 28 <= len(shard["ShardId"]) <= 65, shard["ShardId"]


@check
def items_whose_time_is_over_are_removed(world):
    table = world.table(sort=None)
    on = {"AttributeName": "ttl", "Enabled": True}
    world.dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=on)
    same(
        world.dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"],
        {"AttributeName": "ttl", "TimeToLiveStatus": "ENABLED"},
    )
    now = int(time.time())
    items = {
        "over": n(now - 3600),
        "later": n(now + 3600),
        "no number": s(str(now - 3600)),
    }
    for p, ttl in items.items():
        world.dynamodb.put_item(TableName=table, Item={"p": s(p), "ttl": ttl})
    world.dynamodb.put_item(TableName=table, Item={"p": s("none")})
    left = lambda: {item["p"]["S"] for item in world.dynamodb.scan(TableName=table)["Items"]}
    until(lambda: "over" not in left(), "the removal of an item", 120)
    same(left(), {"later", "no number", "none"})


@differs("dynoxide removes items however long ago their time was over")
def items_whose_time_was_over_more_than_five_years_ago_are_kept(world):
    table = world.table(sort=None)
    on = {"AttributeName": "ttl", "Enabled": True}
    world.dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=on)
    now = int(time.time())
    for p, ttl in (("over", now - 3600), ("long over", now - 6 * 365 * 86_400)):
        world.dynamodb.put_item(TableName=table, Item={"p": s(p), "ttl": n(ttl)})
    left = lambda: {item["p"]["S"] for item in world.dynamodb.scan(TableName=table)["Items"]}
    until(lambda: "over" not in left(), "the removal of an item", 120)
    same(left(), {"long over"})


if __name__ == "__main__":
    args = options()
    run(World(args.endpoint), args.only)
