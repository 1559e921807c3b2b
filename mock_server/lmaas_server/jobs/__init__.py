"""Who runs a job and where: a fork server, a process per job, and the runner that watches them; knows no HTTP.

    runner.py       takes queued jobs, one supervision each; starts and stops all of it
    supervision.py  one attempt of one job: writes down what the process says, and how it ends
    kinds.py        what must be known of a kind of job (services bring them)
    processes.py    the server's end of ... forkserver.py, the program that jobs are forked from
    child.py        what runs in the fork; work.py: the engine's work there
    protocol.py  channel.py  outcome.py     the messages, the socket, and what outlives a crash

Nothing is imported here: the fork server and its children must not load the database.
"""
