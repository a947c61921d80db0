"""Messages with file descriptors between the processes of one server, over stream sockets.

``link`` is for those with gevent's loop, ``sender`` for those that are given a link to send over, and
``request`` for those that ask one question and wait. ``framing`` and ``spares`` are what they are made of.
"""
