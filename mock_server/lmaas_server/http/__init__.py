"""What every route shares, from the socket up; knows Flask and no noun.

    listener.py  wire.py  heads.py  chunks.py     connections, and HTTP/1.1 on each of them
    exchange.py     one request on a connection, and the way back
    opening.py      what answers while the application is loaded
    loop.py  lane.py     what is asked often is answered on the loop
    bridge.py       all else: WSGI in a thread
    gateway.py      who asks (auth.py, limits.py), whether again (idempotency.py), and what for (operation.py)
    bodies.py  validation.py  multipart.py  uploads.py     how bodies are read
    files.py  sse.py     how long answers are written; errors.py: how errors look

Nothing is imported here: the loop is there before Flask is.
"""
