"""Where connections are that other hubs have, for calls of their actors by reference.

``search`` asks the other hubs, ``departures`` knows which connections have just left this one, and ``places``
joins this with the directory of keyed actors.
"""
