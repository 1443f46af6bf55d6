"""What an agent does with hoist, by the MCP SDK that many agents are made with.

    client.py legacy|auto|2026-07-28 COMMAND...      over stdio
    client.py legacy|auto|2026-07-28 URL TOKEN       over HTTP

The project has the steps `quick` (exit code 3), `long` (some seconds) and `slow` (for ever),
and `live`, which deploys.
"""
import json
import os
import sys
from pathlib import Path

import anyio
import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult

TOOLS = {
    "list_pipelines",
    "validate_pipeline",
    "run_pipeline",
    "get_run",
    "list_runs",
    "cancel_run",
    "get_failure_summary",
    "read_log",
    "search_log",
    "list_artifacts",
    "read_artifact",
    "approve_deploy",
}


async def call(client, tool, **arguments):
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, f"{tool}: {answer}"
    return answer.structured_content


async def newest_run(client, status):
    """The ID of the newest run, once it stands so."""
    with anyio.fail_after(30):
        while True:
            runs = (await call(client, "list_runs", limit=1))["runs"]
            if runs and runs[0]["status"] == status:
                return runs[0]["run_id"]
            await anyio.sleep(0.1)


async def begun(client):
    """The ID of the run whose `slow` has said that it begins."""
    with anyio.fail_after(30):
        run = await newest_run(client, "running")
        while True:
            answer = await client.call_tool("read_log", {"run_id": run, "step": "slow"})
            if not answer.is_error and "begun" in str(answer.structured_content):
                return run
            await anyio.sleep(0.1)


async def is_cancelled(client, run):
    state = await call(client, "get_run", run_id=run, wait_seconds=40)
    assert state["status"] == "cancelled", state


async def lists(client):
    tools = (await client.list_tools()).tools
    assert TOOLS <= {tool.name for tool in tools}, tools
    for tool in tools:
        assert tool.description and tool.output_schema and tool.annotations, tool
    pipelines = (await call(client, "list_pipelines"))["pipelines"]
    assert len(pipelines) == 1 and "live" in pipelines[0]["environments"], pipelines


async def validates(client):
    answer = await call(client, "validate_pipeline")
    assert answer["valid"] is True, answer
    refused = await client.call_tool("validate_pipeline", {"path": "x"})
    assert refused.is_error, refused


async def runs(client):
    run = (await call(client, "run_pipeline", steps=["quick"]))["run"]
    assert run["status"] == "failed", run
    summary = await call(client, "get_failure_summary", run_id=run["run_id"])
    assert summary["failed"][0]["exit_code"] == 3, summary


async def reads_resources_and_prompts(client):
    run = (await call(client, "list_runs", limit=1))["runs"][0]["run_id"]
    templates = (await client.list_resource_templates()).resource_templates
    assert {template.uri_template.split("{run_id}/")[1].split("{")[0] for template in templates} == {
        "summary",
        "failures",
        "log",
        "artifacts",
        "junit.xml",
        "scan.sarif",
    }, templates
    read = await client.read_resource(f"pipeline://runs/{run}/failures")
    shown, told = json.loads(read.contents[0].text), await call(client, "get_failure_summary", run_id=run)
    for summary in (shown, told):
        # Between marks that are new each time.
        assert "said by a container" in summary["failed"][0].pop("log_tail"), summary
    assert shown == told, shown
    read = await client.read_resource(f"pipeline://runs/{run}/log?step=quick")
    assert "said by a container" in read.contents[0].text, read
    try:
        await client.read_resource("pipeline://runs/none/summary")
    except MCPError as error:
        assert "none" in str(error), error
    else:
        raise AssertionError("there is no such run")
    prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
    assert prompts == {"diagnose_run", "write_pipeline"}, prompts
    prompt = await client.get_prompt("diagnose_run", {"run_id": run})
    assert "exit" in prompt.messages[0].content.text, prompt


async def hears_of_progress(client):
    heard = []

    async def progress(progress, total, message):
        heard.append((progress, total, message))

    answer = await client.call_tool("run_pipeline", {"steps": ["long"]}, progress_callback=progress)
    assert answer.structured_content["run"]["status"] == "succeeded", answer
    assert heard, "no progress was told"
    steps = [progress for progress, _, _ in heard]
    assert steps == sorted(steps), heard


async def cancels_in_the_middle(client):
    async with anyio.create_task_group() as tasks:

        async def run():
            await client.call_tool("run_pipeline", {"steps": ["slow"]})

        tasks.start_soon(run)
        begun_run = await begun(client)
        tasks.cancel_scope.cancel()
    await is_cancelled(client, begun_run)


async def cancels_by_its_tool(client):
    run = (await call(client, "run_pipeline", steps=["slow"], wait_seconds=0))["run"]
    assert run["status"] == "running", run
    assert await begun(client) == run["run_id"]
    state = await call(client, "cancel_run", run_id=run["run_id"])
    await is_cancelled(client, run["run_id"])
    assert state["run_id"] == run["run_id"], state


async def runs_out_of_patience(client):
    try:
        await client.call_tool("run_pipeline", {"steps": ["slow"]}, read_timeout_seconds=4)
    except MCPError:
        pass
    else:
        raise AssertionError("the client waited")
    await is_cancelled(client, await newest_run(client, "cancelled"))


class Person:
    """Whoever sits before the client: accepts or declines what is asked, and has seen it."""

    def __init__(self):
        self.asked = []
        self.answers = []

    async def answer(self, context, params):
        self.asked.append(params.message)
        content = self.answers.pop(0)
        if content is None:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content=content)


async def deploys(client, person):
    """Nothing is deployed unasked, whether the server asks at once or by its answer."""
    person.answers = [None]
    run = (await call(client, "run_pipeline", steps=["live"]))["run"]
    assert run["status"] == "awaiting_approval", run
    awaits = run["awaits"][0]
    assert len(person.asked) == 1, person.asked
    assert all("Deploy to live?" in text and awaits["plan_digest"] in text for text in person.asked)
    # A decline is not an absence: it stays open, and nobody is asked twice.
    state = await call(client, "get_run", run_id=run["run_id"], wait_seconds=1)
    assert state["status"] == "awaiting_approval" and len(person.asked) == 1, state
    approval = {"run_id": run["run_id"], "environment": "live"}
    refused = await client.call_tool("approve_deploy", {**approval, "plan_digest": "0" * 32})
    assert refused.is_error, refused
    await call(client, "cancel_run", run_id=run["run_id"])
    # What is accepted without its name being typed is not approved of.
    person.answers = [{"environment": "yes"}]
    run = (await call(client, "run_pipeline", steps=["live"]))["run"]
    assert run["status"] == "awaiting_approval", run
    await call(client, "cancel_run", run_id=run["run_id"])
    # The question may come while a run that was begun before is waited for.
    person.answers = [{"environment": "live"}]
    begun = (await call(client, "run_pipeline", steps=["live"], wait_seconds=0))["run"]
    run = await call(client, "get_run", run_id=begun["run_id"], wait_seconds=50)
    assert run["status"] == "succeeded" and run["run_id"] == begun["run_id"], run
    assert len(person.asked) == 3, person.asked
    person.answers = [{"environment": "live"}]
    before = {each["run_id"] for each in (await call(client, "list_runs"))["runs"]}
    pipeline = Path("pipeline.toml")
    pipeline.write_text(pipeline.read_text().replace('["sleep", "300"]', '["sleep", "301"]'))
    run = (await call(client, "run_pipeline", steps=["live"]))["run"]
    assert run["status"] == "succeeded", run
    after = {each["run_id"] for each in (await call(client, "list_runs"))["runs"]}
    assert after - before == {run["run_id"]}, "asking begins no second run"


async def main(mode, *server):
    person = Person()

    async def each(client):
        parts = [
            lists,
            validates,
            runs,
            reads_resources_and_prompts,
            hears_of_progress,
            cancels_in_the_middle,
            cancels_by_its_tool,
            runs_out_of_patience,
        ]
        for part in parts:
            print(part.__name__, flush=True)
            with anyio.fail_after(120):
                await part(client)
        print("deploys", flush=True)
        await deploys(client, person)

    if server[0].startswith("http"):
        url, token = server
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=90) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, mode=mode, elicitation_callback=person.answer) as client:
                await each(client)
    else:
        command, *arguments = server
        # The SDK hands on a few variables only, and not those that name images where none can be pulled.
        tools = {name: value for name, value in os.environ.items() if name.startswith("HOIST_TOOLS_")}
        process = StdioServerParameters(command=command, args=arguments, env=tools)
        async with Client(process, mode=mode, elicitation_callback=person.answer) as client:
            await each(client)
    print("all of it")


anyio.run(main, *sys.argv[1:])
