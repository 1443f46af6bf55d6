"""Holds the conversation that a page of the docs tells, line by line.

    conversation.py PAGE URL TOKEN

A line is a number with text. Of what stands in backticks there, `tool {...}` is called with these
arguments, where "..." stands for what the answer before said under that key; all else that holds a
quotation mark, a slash or a blank is to be in what was answered.
"""
import json
import re
import sys
from pathlib import Path

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

CALL = re.compile(r"([a-z_]+) (\{.*\})")


def lines(page):
    section = page.read_text().split("## A conversation")[1].split("\n## ")[0]
    return re.findall(r"^\d+\. (.*)$", section, re.MULTILINE)


def under(key, answer):
    """The first value under a key, however deep."""
    if isinstance(answer, dict):
        if key in answer:
            return answer[key]
        answer = list(answer.values())
    found = (under(key, each) for each in answer) if isinstance(answer, list) else ()
    return next((each for each in found if each is not None), None)


async def call(client, tool, arguments):
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, f"{tool} {arguments}: {answer}"
    return answer.structured_content


async def follow(client, page):
    told = lines(page)
    assert len(told) >= 5, told
    answer = {}
    for line in told:
        print(line, flush=True)
        if "mends" in line:
            store = Path("shop/store.py")
            store.write_text(store.read_text().replace("quantity == 1", "quantity == 0"))
        quoted = re.findall(r"`([^`]+)`", line)
        calls = [made for made in map(CALL.fullmatch, quoted) if made]
        assert len(calls) == 1, line
        tool, arguments = calls[0].group(1), json.loads(calls[0].group(2))
        arguments = {key: under(key, answer) if value == "..." else value for key, value in arguments.items()}
        answer = await call(client, tool, arguments)
        while under("status", answer) == "running":
            answer = await call(client, "get_run", {"run_id": "latest", "wait_seconds": 55})
        after = quoted[quoted.index(calls[0].group(0)) + 1 :]
        text = json.dumps(answer)
        for said in after:
            if re.search(r'["/ ]|^test_', said):
                assert said in text, f"{said} is not in {text}"


async def main(page, url, token):
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=90) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport) as client:
            with anyio.fail_after(300):
                await follow(client, Path(page))
    print("all of it")


anyio.run(main, *sys.argv[1:])
