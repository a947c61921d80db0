"""One hub: a process that serves connections, or a server inside a program.

For who runs one: ``worker``, which obeys a broker, and ``node``, which an embedded server uses by itself.
``node`` puts the rooms together: ``accepting``, ``serving``, ``actors``, ``calls``, ``moving``, ``topics``,
``metering`` and ``runtime``; the worker has ``watching`` beside them. ``python -m gevent.monkey --module
actorrpc.hub`` is the program.
"""
