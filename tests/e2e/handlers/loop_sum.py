#!/usr/bin/python3
"""A persistent command in Python: adds up the numbers of a JSON array, and listens for cancels meanwhile."""
import json, queue, sys, threading

def say(*fields):
    print(*fields, sep="\t", flush=True)

def listen():
    for line in sys.stdin:
        verb, *fields = line.rstrip("\n").split("\t")
        canceled.add(fields[0]) if verb == "cancel" else lines.put((verb, fields))
    lines.put(("end", []))

canceled, lines = set(), queue.Queue()
threading.Thread(target=listen, daemon=True).start()
while (line := lines.get())[0] != "end":
    verb, fields = line
    if verb == "longhaul":
        say("ready", 1)  # here comes what takes long to load, once
    elif verb == "job":
        job, attempt, input, result, media = fields[:5]
        try:
            numbers = json.load(open(input))
            total = 0
            for n, number in enumerate(numbers):
                if job in canceled:
                    break
                total += number
                say("progress", job, n + 1, len(numbers))
            json.dump({"sum": total}, open(result, "w"))
            say("canceled", job) if job in canceled else say("done", job, "application/json")
        except (ValueError, TypeError) as error:
            say("failed", job, 422, "invalid-input", "The input is no array of numbers", error)
