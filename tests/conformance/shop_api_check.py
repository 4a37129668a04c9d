"""Asks the shop's query API every question and compares with what the CSV that was sent comes to.

Independent of Penstock: the csv module, decimal arithmetic and urllib. Prints what was asked as JSON; exits with 1 when
an answer differs.
"""

import argparse
import collections
import csv
import datetime
import decimal
import gzip
import io
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

D = decimal.Decimal
PLACES = D("0.000001")
decimal.getcontext().prec = 60
problems = []
asked = collections.Counter()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--key-file", required=True)
    parser.add_argument("--csv", required=True)
    return parser.parse_args()


def rows(path):
    data = open(path, "rb").read()
    data = gzip.decompress(data) if path.endswith(".gz") else data
    for row in csv.DictReader(io.StringIO(data.decode("iso-8859-1"), newline="")):
        row["Quantity"], row["UnitPrice"] = D(row["Quantity"]), D(row["UnitPrice"])
        row["Amount"] = row["Quantity"] * row["UnitPrice"]
        try:
            moment = datetime.datetime.strptime(row["InvoiceDate"], "%m/%d/%Y %H:%M")
            row["Hour"] = moment.strftime("%Y-%m-%dT%H")
        except ValueError:
            row["Hour"] = None
        yield row


def average(numbers):
    return (sum(numbers) / len(numbers)).quantize(PLACES, decimal.ROUND_HALF_EVEN) if numbers else None


def same(what, found, wanted):
    if found != wanted and len(problems) < 50:
        problems.append(f"{what}: found {str(found)[:300]}, wanted {str(wanted)[:300]}")


class Api:
    def __init__(self, url, key):
        self.url, self.key = url, key

    def get(self, path, accept="application/json", **query):
        asked[path.split("/")[1] + "/…/" + path.split("/")[-1] if path.count("/") > 2 else path.split("/")[1]] += 1
        url = self.url + urllib.parse.quote(path) + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(url, headers={"Authorization": "Bearer " + self.key, "Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = answer.read().decode()
                return json.loads(body, parse_float=D, parse_int=D) if accept == "application/json" else body
        except urllib.error.HTTPError as error:
            return error.code

    def all(self, path, **query):
        """All items of a list, page by page, and the totals."""
        items, page = [], self.get(path, **query)
        while isinstance(page, dict):
            items += page["items"]
            if "next" not in page:
                return items, page.get("totals")
            page = self.get(path, next=page["next"], **query)
        return page, None


def by(lines, key):
    groups = collections.defaultdict(list)
    for line in lines:
        groups[key(line)].append(line)
    return groups


def amount(lines):
    return sum(line["Amount"] for line in lines)


def invoices(api, lines):
    columns = ("StockCode", "Description", "Quantity", "UnitPrice", "Amount", "InvoiceDate", "CustomerID", "Country")
    for number, of in by(lines, lambda line: line["InvoiceNo"]).items():
        items, totals = api.all(f"/invoices/{number}")
        wanted = sorted(str([line[column] or None for column in columns[:2]] + [line["Quantity"], line["UnitPrice"].normalize(), (line["Amount"] + 0).normalize()] + [line[column] or None for column in columns[5:]]) for line in of)
        plain = lambda value: value.normalize() if isinstance(value, D) and value != value.to_integral_value() else value
        found = sorted(str([item[column] for column in columns[:3]] + [item["UnitPrice"].normalize(), (item["Amount"] + 0).normalize()] + [plain(item[column]) for column in columns[5:]]) for item in items)
        same(f"invoice {number}", found, wanted)
        same(f"totals of {number}", totals, {"lines": len(of), "pieces": sum(l["Quantity"] for l in of), "amount": amount(of)})
    same("an unknown invoice", api.get("/invoices/none"), 404)


def customers(api, lines):
    for customer, of in by((l for l in lines if l["CustomerID"]), lambda line: line["CustomerID"]).items():
        wanted = {number: (amount(some), len(some)) for number, some in by(of, lambda line: line["InvoiceNo"]).items()}
        for path in ("invoices", "history"):
            items, totals = api.all(f"/customers/{customer}/{path}", limit=7)
            same(f"{path} of {customer}", {i["InvoiceNo"]: (i["Amount"], i["Lines"]) for i in items}, wanted)
            same(f"order of {path} of {customer}", [i["InvoiceNo"] for i in items], sorted(wanted))
            dates = {l["InvoiceNo"]: {m["InvoiceDate"] for m in of if m["InvoiceNo"] == l["InvoiceNo"]} for l in of}
            same(f"dates of {path} of {customer}", all(i["Date"] in dates[i["InvoiceNo"]] for i in items), True)
        sums = [total for total, _ in wanted.values()]
        same(f"totals of {customer}", totals, {"invoices": len(sums), "total": sum(sums), "average": average(sums), "least": min(sums), "most": max(sums)})
    same("an unknown customer", api.get("/customers/none/history"), 404)


def sales_of(lines):
    """Each invoice in each hour is a sale."""
    return [amount(of) for of in by(lines, lambda line: (line["Hour"], line["InvoiceNo"])).values()]


def came_to(lines):
    sales = sales_of(lines)
    return {"invoices": len(sales), "revenue": sum(sales), "average": average(sales)}


def sales(api, lines):
    sold = [line for line in lines if not line["InvoiceNo"].startswith("C")]
    for year, of in by(sold, lambda line: line["Hour"][:4]).items():
        same(f"sales of {year}", api.get(f"/years/{year}/sales"), came_to(of))
        items, _ = api.all(f"/years/{year}/sales-by-month")
        months = sorted(by(of, lambda line: line["Hour"][:7]).items())
        same(f"months of {year}", items, [dict(came_to(some), Month=month) for month, some in months])
        countries(api, f"/years/{year}/sales-by-country", of)
    for month, of in by(sold, lambda line: line["Hour"][:7]).items():
        same(f"sales of {month}", api.get(f"/months/{month}/sales"), came_to(of))
        days, _ = api.all(f"/months/{month}/sales-by-day")
        same(f"days of {month}", days, [dict(came_to(some), Day=day) for day, some in sorted(by(of, lambda line: line["Hour"][:10]).items())])
        hours, _ = api.all(f"/months/{month}/sales-by-hour")
        same(f"hours of {month}", hours, [dict(came_to(some), Hour=hour) for hour, some in sorted(by(of, lambda line: line["Hour"]).items())])
        countries(api, f"/months/{month}/sales-by-country", of)
        for part, some in list(by(of, lambda line: line["Hour"][:10]).items()) + list(by(of, lambda line: line["Hour"]).items()):
            same(f"sales of {part}", api.get(f"/months/{month}/sales", within=part), came_to(some))
            countries(api, f"/months/{month}/sales-by-country", some, within=part)
        gone = [line for line in lines if line["InvoiceNo"].startswith("C") and line["Hour"].startswith(month)]
        items, totals = api.all(f"/months/{month}/cancellations")
        same(f"cancellations of {month}", totals, came_to(gone))
        same(f"items of them", sorted((i["InvoiceNo"], i["Amount"]) for i in items), sorted((number, amount(of)) for (_, number), of in by(gone, lambda line: (line["Hour"], line["InvoiceNo"])).items()))


def countries(api, path, lines, **query):
    items, _ = api.all(path, **query)
    same(f"order of {path}", [i["revenue"] for i in items], sorted((i["revenue"] for i in items), reverse=True))
    wanted = {country: came_to(some) for country, some in by(lines, lambda line: line["Country"]).items()}
    same(f"countries {path} {query}", {i.pop("Country"): i for i in items}, wanted)


def products(api, lines):
    sold = [line for line in lines if not line["InvoiceNo"].startswith("C")]
    for length, path in ((4, "/years/{}"), (7, "/months/{}"), (10, "/days/{}")):
        for part, of in by(sold, lambda line: line["Hour"][:length]).items():
            ranking(api, path.format(part), of)
    for hour, of in by(sold, lambda line: line["Hour"]).items():
        ranking(api, f"/days/{hour[:10]}", of, hour=hour[11:])


def ranking(api, path, lines, **query):
    wanted = {code: (sum(l["Quantity"] for l in some), amount(some)) for code, some in by(lines, lambda line: line["StockCode"]).items()}
    for what, place in (("most-sold", 0), ("most-valuable", 1)):
        items, _ = api.all(f"{path}/{what}", limit=1000, **query)
        same(f"{path}/{what} {query}", {i["StockCode"]: (i["pieces"], i["revenue"]) for i in items}, wanted)
        order = [(i["pieces"], i["revenue"])[place] for i in items]
        same(f"order of {path}/{what}", order, sorted(order, reverse=True))
        top = api.get(f"{path}/{what}", limit=10, **query)
        same(f"top of {path}/{what}", [(i["pieces"], i["revenue"])[place] for i in top["items"]], order[:10])
        described = {(l["StockCode"], l["Description"]) for l in lines if l["Description"]}
        same(f"names of {path}/{what}", [i for i in items if i["Description"] and length_of(path) == 10 and (i["StockCode"], i["Description"]) not in described], [])


def length_of(path):
    return len(path.split("/")[2])


def formats(api, lines):
    day = min(line["Hour"][:10] for line in lines)
    items, _ = api.all(f"/days/{day}/most-sold", limit=1000)
    table = list(csv.DictReader(io.StringIO(api.get(f"/days/{day}/most-sold", accept="text/csv"))))
    same("the CSV", [(row["StockCode"], D(row["pieces"]), D(row["revenue"])) for row in table], [(i["StockCode"], i["pieces"], i["revenue"]) for i in items])
    text = api.get(f"/days/{day}/most-sold", accept="application/x-ndjson").splitlines()
    same("the NDJSON", [json.loads(line, parse_float=D, parse_int=D) for line in text], items)


def main():
    args = arguments()
    api = Api(args.url, open(args.key_file).read().strip())
    lines = list(rows(args.csv))
    dated = [line for line in lines if line["Hour"]]
    invoices(api, lines)
    customers(api, lines)
    sales(api, dated)
    products(api, dated)
    formats(api, dated)
    print(json.dumps({"rows": len(lines), "asked": asked, "problems": problems}, indent=1))
    sys.exit(1 if problems else 0)


main()
