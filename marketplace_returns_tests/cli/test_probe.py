import json
from starlette.responses import Response
def test_probe(shell):
    app = shell.sandbox.gate.app
    async def broken(scope, receive, send):
        if scope["path"] == "/mirakl/api/orders":
            page = {"orders": [{"order_id": f"bad-{n}", "customer": {"firstname": "Sam"}, "last_updated_date": "never", "created_date": 17, "order_lines": "none"} for n in range(5)], "total_count": 5}
            await Response(json.dumps(page), media_type="application/json")(scope, receive, send)
        else:
            await app(scope, receive, send)
    shell.sandbox.gate.app = broken
    e = shell.run("sync", "--json")
    print(e.code, e.err, e.out[:3000])
    e = shell.run("sync")
    print(e.out)
    print(shell.run("exceptions","list").out)
    from marketplace_returns.cli.context import opened
    with opened() as a:
        for r in a.con.execute("select source, table_name,row_key,reason,raw_row from lake.landing.quarantine").fetchall(): print(r)
