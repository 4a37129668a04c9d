"""What the scripts share: a list of checks, each a function whose name is a sentence, and clients.

A check asserts what AWS documents, never what the engine happens to do. Where the engine is known to differ, the
check says so with `differs`: it is counted apart, and fails as soon as the difference is gone.
"""

import argparse
import sys
import threading
import time
import traceback

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "eu-west-1"
ACCOUNT = "000000000000"
PATIENCE = 60

_checks = []


def check(function):
    """Adds a check to the list."""
    _checks.append((function, None))
    return function


def differs(why):
    """Adds a check that the engine is known not to pass."""

    def add(function):
        _checks.append((function, why))
        return function

    return add


def options(**more):
    """The command line: the engines' endpoint, and what a script needs beside it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--only", default="", help="run checks whose name contains this")
    for name, help_text in more.items():
        parser.add_argument("--" + name.replace("_", "-"), required=True, help=help_text)
    return parser.parse_args()


def client(service, endpoint, retries=True, **config):
    """A client; without retries for checks of refusals, which a retry would hide."""
    attempts = {"mode": "standard", "max_attempts": 12} if retries else {"mode": "standard", "max_attempts": 1}
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries=attempts, max_pool_connections=40, connect_timeout=10, read_timeout=60, **config),
    )


def refused(codes, call, *args, attempts=20, **parameters):
    """Asserts that a call is refused with one of the codes; gives the error back.

    A call that other checks have used up the rate of is made again: which code is asked for, not when.
    """
    codes = {codes} if isinstance(codes, str) else set(codes)
    try:
        answer = call(*args, **parameters)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        too_fast = code == "LimitExceededException" and "Rate exceeded" in str(error)
        if too_fast and code not in codes and attempts > 0:
            time.sleep(0.5)
            return refused(codes, call, *args, attempts=attempts - 1, **parameters)
        assert code in codes, f"refused with {code} ({error}), expected {' or '.join(sorted(codes))}"
        return error.response
    raise AssertionError(f"was not refused with {' or '.join(sorted(codes))}: {str(answer)[:300]}")


def same(found, expected, what="the answer"):
    assert found == expected, f"{what}: found {str(found)[:500]}, expected {str(expected)[:500]}"


def until(ask, what, patience=PATIENCE):
    """Asks until the answer is true, and gives it back."""
    deadline = time.monotonic() + patience
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {patience} s for {what}"
        time.sleep(0.1)


def together(jobs):
    """Runs functions at the same time; gives back what they gave, or the error that they raised."""
    results = [None] * len(jobs)

    def run(at, job):
        try:
            results[at] = job()
        except Exception as error:  # noqa: BLE001 the check looks at it
            results[at] = error

    threads = [threading.Thread(target=run, args=(at, job)) for at, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def run(world, only=""):
    """Runs the checks in order, prints each, and ends the script."""
    passed = failed = known = 0
    for function, difference in _checks:
        if only not in function.__name__:
            continue
        sentence = function.__name__.replace("_", " ")
        try:
            function(world)
        except Exception as error:  # noqa: BLE001 any error fails the check
            if difference:
                known += 1
                print(f"differs {sentence}: {difference}", flush=True)
                continue
            failed += 1
            where = traceback.extract_tb(error.__traceback__)
            lines = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in where if "_check" in frame.filename]
            print(f"FAILED  {sentence}: {type(error).__name__}: {error} ({', '.join(lines[-2:])})", flush=True)
        else:
            if difference:
                failed += 1
                print(f"FAILED  {sentence}: the engine no longer differs; take the mark off ({difference})")
            else:
                passed += 1
                print(f"ok      {sentence}", flush=True)
    print(f"{passed} passed, {failed} failed" + (f", {known} known differences" if known else ""))
    sys.exit(1 if failed or passed == 0 else 0)
