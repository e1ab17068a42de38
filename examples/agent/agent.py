"""A refund agent. Its state is a list of events in a file, and a step is a function of it.

    python3 agent.py STATE [ANSWER]

Every tool call is put to the kernel before it is made. The exit code is 0 when the work is
done, and 3 when it waits for a person: run it again, in any process, to go on.
"""
import json, os, sys, time, urllib.error, urllib.request

SERVER = os.environ.get("HELM_SERVER", "http://127.0.0.1:7714")
AGENT = "agent.refunds"


def kernel(path, body):
    """Ask the kernel. That it cannot be asked ends the run: nothing is done unasked."""
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        raise SystemExit(f"the kernel refuses: {refused.read().decode()}")
    except OSError as error:
        raise SystemExit(f"no kernel answers at {SERVER}: {error}")


def model(events):
    """The next step, as structured output. Put a language model here, with a prompt of your
    own that shows it the events; this one is scripted, and corrects itself when it is denied."""
    last = next((e["result"] for e in reversed(events) if "result" in e), None)
    if last is None:
        return {"tool": "orders.lookup", "arguments": {"order": "A-17"}}
    if "paid" in last:
        return {"tool": "refund.pay", "arguments": {"order": "A-17", "amount": 90000}}
    if last.get("answer", "").isdecimal():
        return {"tool": "refund.pay", "arguments": {"order": "A-17", "amount": int(last["answer"])}}
    if "denied" in last or "answer" in last:
        question = last.get("message", "That is no amount.") + " How much shall I refund?"
        return {"tool": "human.ask", "arguments": {"question": question}}
    return {"tool": "done", "arguments": {}}


TOOLS = {
    "orders.lookup": lambda order: {"order": order, "paid": 120000},
    "refund.pay": lambda order, amount: {"paid_out": amount},
}


def step(state, answer):
    """One step: the state before it, and the state after it or None while a person is awaited."""
    events = state["events"]
    if not events or "result" in events[-1]:
        return {**state, "events": events + [{"call": model(events)}]}
    call = events[-1]["call"]
    me = {"agent": AGENT, "session": state["session"]}
    if call["tool"] == "done":
        kernel("/v1/sessions/close", me)
        return {**state, "done": True}
    decision = kernel("/v1/decisions", {**me, "call_id": f"step-{len(events)}", **call})
    if decision["verdict"] == "ESCALATE":
        print(f"{call['tool']} waits for a person: helm-ai-kernel approvals approve {decision['approval']['id']}")
        return None
    if decision["verdict"] == "DENY" and call["tool"] == "human.ask":  # whom else: it would ask for ever
        raise SystemExit(f"the kernel denies human.ask, {decision['reason']['code']}: does it run under this agent's policy?")
    if decision["verdict"] == "DENY":
        result = {"denied": decision["reason"]["code"], "message": decision["reason"]["message"]}
    elif call["tool"] == "human.ask" and answer is None:
        print(f"{call['arguments']['question']} Run it again with the answer.")
        return None
    elif decision.get("repeated") and call["tool"] != "human.ask":
        raise SystemExit(f"{call['tool']} was allowed before, and may have been done: look, and report its outcome")
    else:
        result = {"answer": answer} if call["tool"] == "human.ask" else TOOLS[call["tool"]](**call["arguments"])
        kernel("/v1/outcomes", {"decision": decision["id"], "status": "ok", "result": result})
    return {**state, "events": events + [{"result": result}]}


def main(path, answer=None):
    state = {"session": f"refund-{time.time_ns()}", "events": []}
    if os.path.exists(path):
        with open(path) as file:
            state = json.load(file)
    while not state.get("done"):
        after = step(state, answer)
        if after is None:
            return 3
        with open(path + ".new", "w") as file:
            json.dump(after, file, indent=1)
        os.replace(path + ".new", path)  # before the next step, so that a kill loses none
        state = after
        if "answer" in state["events"][-1].get("result", {}):
            answer = None  # to one question
    print(json.dumps(state["events"][-2]["result"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
