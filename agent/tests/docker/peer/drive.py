"""docker-compose 1.29 itself, kept in one process: starting it takes a second, and there are many files.

Reads one request per line from standard input and answers each with one line on standard output, both JSON:
`{"up": {"folder": …, "files": […], "project": …, "start": bool}}` makes a project, looks at it and takes it down
again; `{"look": LABEL}` looks at what carries a label. The answer holds what the engine says, as it says it.
"""

import json
import os
import sys
import traceback

import docker
from compose.cli.main import main
from compose.service import Service

# It waits for the conditions of depends_on even where nothing is started, and so for ever.
Service.is_healthy = lambda self: True
Service.is_completed_successfully = lambda self: True

# The protocol has standard output to itself; whatever docker-compose prints goes to standard error.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

engine = docker.APIClient(version="auto", timeout=60)


def compose(ask, *arguments):
    files = [part for name in ask["files"] for part in ("--file", os.path.join(ask["folder"], name))]
    environment = os.path.join(ask["folder"], ".env")
    sys.argv = ["docker-compose", *files, "--env-file", environment, "--project-name", ask["project"], *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise RuntimeError("docker-compose %s ended with %s" % (" ".join(arguments), end.code))


def look(label):
    filters = {"label": label}
    return {
        "containers": [engine.inspect_container(found["Id"]) for found in engine.containers(all=True, filters=filters)],
        "networks": [engine.inspect_network(found["Id"]) for found in engine.networks(filters=filters)],
        "volumes": engine.volumes(filters=filters)["Volumes"] or [],
    }


def up(ask):
    # Its own settings come from variables too: only those of this project count.
    for name in [name for name in os.environ if name.startswith("COMPOSE_")]:
        del os.environ[name]
    try:
        compose(ask, "up", "--detach" if ask["start"] else "--no-start")
        return look("com.docker.compose.project=" + ask["project"])
    finally:
        compose(ask, "down", "--volumes", "--timeout", "1")


for line in sys.stdin:
    request = json.loads(line)
    try:
        found = up(request["up"]) if "up" in request else look(request["look"])
        answer = {"found": found}
    except Exception:
        answer = {"error": traceback.format_exc()}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
