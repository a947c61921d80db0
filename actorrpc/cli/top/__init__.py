"""``actorrpc top``: the hubs and the heaviest connections of a running server, live in a terminal.

``command`` is what is typed. ``loop`` joins the parts: ``asking`` asks the broker beside it, ``picture`` is
what that has answered, ``rates`` what lies between two answers, ``model`` is what is shown and what keys do,
``layout`` what there is room for, ``view`` how it looks, and ``terminal`` and ``keys`` have the terminal.
"""
