"""Topics: publishing, and subscriptions that are cursors.

``engine`` is for connections and their actors: it is all that these know of topics. ``embedded`` is for the
node: the one engine that there is, whose parts are the other files.
"""
